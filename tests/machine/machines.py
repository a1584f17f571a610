"""A machine small enough to look into, and channels of its own kinds."""

import io

from machine.clock import VirtualClock
from machine.devices.globalstate import GLOBALSTATE, GlobalState
from machine.devices.timer import TIMER, TimerState
from machine.memory import Memory, RamBlock
from machine.migration.loader import load_state
from machine.migration.qemufile import MAX_BUFFERS, QEMUFileReader, QEMUFileWriter
from machine.migration.ram import RamState
from machine.migration.return_path import ReturnPath
from machine.migration.saver import StateSaver, save_state
from machine.migration.stream import Switches
from machine.runstate import RunState
from machine.vmstate.registry import Registry

MIB = 1 << 20
MODERN = Switches()
PLAIN = Switches(
    send_configuration=False,
    send_section_footer=False,
    store_global_state=False,
    suppress_vmdesc=True,
)
DIALECTS = {"modern": MODERN, "plain": PLAIN}
PLAIN_OPTIONS = [
    option
    for name in ("send-configuration", "send-section-footer", "store-global-state")
    for option in ("-global", f"migration.{name}=off")
]


class Collecting:
    """A channel into memory."""

    def __init__(self):
        self.data = bytearray()
        self.is_closed = False

    def writev(self, buffers):
        assert 0 < len(buffers) <= MAX_BUFFERS
        for buffer in buffers:
            self.data += buffer
        return sum(map(len, buffers))

    def close(self):
        self.is_closed = True


class Failing(Collecting):
    """A channel that takes so many bytes and no more."""

    def __init__(self, room, failure):
        super().__init__()
        self.room = room
        self.failure = failure

    def writev(self, buffers):
        size = super().writev(buffers)
        if len(self.data) > self.room:
            raise self.failure
        return size


class Bytes:
    """A channel out of memory."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def read(self, size):
        return self._file.read(size)

    def close(self):
        pass


class Dripping(Bytes):
    """A channel that has nothing every second time, and a few bytes otherwise."""

    def __init__(self, data, size):
        super().__init__(data)
        self._size = size
        self._is_dry = False

    def read(self, size):
        self._is_dry = not self._is_dry
        if self._is_dry:
            raise BlockingIOError
        return super().read(min(size, self._size))


class Endless(Bytes):
    """A channel like an image's vmstate area: zeros without end."""

    def readinto(self, view):
        size = self._file.readinto(view)
        view[size:] = bytes(len(view) - size)
        return len(view)


class SavedMachine:
    """What ``-M none -m SIZE`` saves, without a machine around it."""

    def __init__(self, size=16 * MIB, switches=MODERN):
        self.switches = switches
        self.clock = VirtualClock(manual=True)
        self.memory = Memory()
        if size:
            self.memory.map(0, RamBlock("ram", size))
        self.global_state = GlobalState(always_stored=switches.store_global_state)
        self.registry = Registry()
        self.registry.register(TIMER, TimerState(self.clock), section_id=0)
        self.registry.register_live("ram", 4, RamState(self.memory), section_id=2)
        self.registry.register(GLOBALSTATE, self.global_state, section_id=4)
        self.reports = []

    @property
    def ram(self):
        return self.memory.blocks[0]

    def content(self):
        return self.ram.read(0, self.ram.size)

    def options(self):
        return {
            "machine_name": "none",
            "switches": self.switches,
            "report": self.reports.append,
        }

    def saver(self, channel):
        file = QEMUFileWriter(channel)
        return file, StateSaver(self.registry, file, **self.options())

    def save(self, channel=None, state=RunState.RUNNING):
        """The stream, or with a channel of one's own the file."""
        self.global_state.store(state)
        collecting = channel or Collecting()
        file = QEMUFileWriter(collecting)
        for _ in save_state(self.registry, file, **self.options()):
            pass
        assert channel or len(collecting.data) == file.transferred
        return file if channel else bytes(collecting.data)

    def load(self, source):
        """Load from bytes or a channel; what the loading yielded."""
        channel = Bytes(source) if isinstance(source, bytes | bytearray) else source
        file, return_path = QEMUFileReader(channel), ReturnPath(Collecting())
        return list(load_state(self.registry, file, **self.options(), return_path=return_path))
