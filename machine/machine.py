"""The simulated machine: one object for memory, processors, drives, run state and clock."""

from __future__ import annotations

import errno
import os
import time

from blockdev.errors import QemuError
from blockdev.graph import Graph
from machine.boards import BOARDS, REPLACED_DRIVES, Board, firmware_image
from machine.clock import VirtualClock
from machine.devices.bus import board_buses
from machine.drives import Drive, Drives
from machine.events import Events
from machine.loop import MainLoop
from machine.memory import PAGE_SIZE, Memory, RamBlock
from machine.runstate import RunState, follow
from machine.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from machine.chardev import Chardev
    from machine.cpu.slices import GuestSlices
    from machine.cpu.x86 import X86Cpu
    from machine.devices.loader import Rom
    from machine.devices.qdev import Plugs
    from machine.head import Head
    from machine.lineage import Lineage
    from machine.migration.announce import Announcement
    from machine.migration.incoming import Incoming
    from machine.migration.migrate import Migration
    from machine.migration.savevm import SavedState
    from machine.net import Network
    from machine.qom.objects import Objects
    from machine.rtc import RtcClock
    from machine.vmstate.blockers import Blockers
    from machine.vmstate.description import VMStateDescription

    RtcOptions = tuple[int | None, bool, bool]

_GIB = 1 << 30
_LOW_RAM_LIMIT = 0xE0000000  # a PC's RAM from here on lies above 4 GiB
_BIOS_IN_LOW_MEMORY = 128 << 10


class Machine:
    """A machine, stopped until `start`.

    Args:
        board: the machine type.
        ram_size: bytes; None for the board's own.
        cpus: how many processors, on a board that has any.
        name, uuid: what the user calls it; the UUID in its usual text form.
        program: what begins a line on stderr.
        wall_clock_ns: ns since 1970, UTC; dates snapshots.

    Attributes:
        reporter: takes a line from the depths; the monitor puts itself here while its command
            runs, otherwise lines go to stderr.
        location: what stands before such a line on stderr, such as the option that it is about.
        autostart: whether a machine that comes in runs on, if it ran where it came from.
        head: the snapshot that it was last saved to or put back to; None for none.
        console: takes lines of stderr in its stead, where a front end draws on the terminal.
        events: what happens, for whoever listens.
        steps: likewise of snapshots while they are made, loaded and deleted.
        guest: what executes while the machine runs; None for nothing.
    """

    def __init__(
        self,
        board: Board = BOARDS[0],
        *,
        ram_size: int | None = None,
        cpus: int = 1,
        name: str = "",
        uuid: str = "00000000-0000-0000-0000-000000000000",
        program: str = "hmp",
        wall_clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.board = board
        self.name = name
        self.uuid = uuid
        self.program = program
        self.wall_clock_ns = wall_clock_ns
        self.reporter: Callable[[str], object] | None = None
        self.location = ""
        self.console: Callable[[str], object] | None = None
        self.loop = MainLoop()
        self.clock = VirtualClock()
        self.events = Events()
        self.steps = Steps()
        self.runstate = RunState.PRELAUNCH
        self.autostart = True
        self.graph = Graph(self.report, self.complain)
        self.drives = Drives(self.graph, default_interface=board.default_interface)
        self.memory = Memory()
        self.ram_size = _rounded(board.default_ram if ram_size is None else ram_size)
        self.cpus: list[X86Cpu] = []
        self.guest: GuestSlices | None = None
        self.roms: list[Rom] = []
        self.buses = board_buses(board.buses)
        self.ide_units_used = 0
        self.serial_count = 0
        self.serials: list[Chardev | None] = []
        self.chardevs: list[Chardev] = []
        self.announcements: dict[str, Announcement] = {}
        self.board_states: list[tuple[VMStateDescription, Any]] = []
        self.switches: dict[str, bool] = {}
        self.is_single_stepping = False
        self.shutdown_requested = False
        self.exit_status = 0
        self._cpu_count = cpus if board.has_cpu else 0
        self._rtc_options: RtcOptions = (None, False, False)
        self._rtc_clock: RtcClock | None = None
        self._network: Network | None = None
        self._objects: Objects | None = None
        self._plugs: Plugs | None = None
        self.head: Head | None = None
        self._lineage: Lineage | None = None
        self._saved_state: SavedState | None = None
        self._blockers: Blockers | None = None
        self._migration: Migration | None = None
        self._incoming: Incoming | None = None

    # --- building

    def build(self) -> None:
        """Make memory, processors and the board's own devices.

        Raises:
            QemuError: the host can't give so much memory.
        """
        board = self.board
        if self.ram_size:
            self._map_ram(board)
        if board.firmware:
            bios = RamBlock("pc.bios", board.firmware)
            bios.write(0, firmware_image(board.firmware))
            self.memory.map((4 * _GIB) - board.firmware, bios, readonly=True)
            low = min(board.firmware, _BIOS_IN_LOW_MEMORY)
            self.memory.map((1 << 20) - low, bios, board.firmware - low, low, readonly=True)
        if self._cpu_count:
            from machine.cpu.x86 import X86Cpu

            self.cpus = [X86Cpu(index, self.memory) for index in range(self._cpu_count)]
        if "ISA" in board.buses:
            self._build_isa()

    def _build_isa(self) -> None:
        """The clock, and the serial ports that the user asked for."""
        from machine.devices.mc146818rtc import MC146818RTC, Mc146818Rtc
        from machine.devices.serial import PORT_COUNT, SERIAL, Serial16550

        self.board_states.append((MC146818RTC, Mc146818Rtc(self.rtc_clock)))
        for chardev in self.serials[:PORT_COUNT]:
            if chardev is not None:
                self.board_states.append((SERIAL, Serial16550(chardev)))
                self.serial_count += 1

    def _map_ram(self, board: Board) -> None:
        try:
            ram = RamBlock(board.ram_name, self.ram_size)
        except (OSError, OverflowError) as error:
            text = os.strerror(errno.ENOMEM)
            raise QemuError(f"cannot set up guest memory '{board.ram_name}': {text}") from error
        if not board.has_cpu or self.ram_size <= _LOW_RAM_LIMIT:
            self.memory.map(0, ram)
        else:
            self.memory.map(0, ram, 0, _LOW_RAM_LIMIT)
            self.memory.map(4 * _GIB, ram, _LOW_RAM_LIMIT)

    def add_default_drives(self, models: Iterable[str] = ()) -> None:
        """Add the empty drives that the board has where the user put none.

        Args:
            models: of the devices that the user plugs in; some stand for a default drive.
        """
        replaced = {REPLACED_DRIVES.get(model) for model in models}
        for interface, index, media in self.board.default_drives:
            if interface in replaced:
                continue
            per_bus = 2 if interface == "ide" else 0
            bus, unit = divmod(index, per_bus) if per_bus else (0, index)
            if self.drives.place(interface, bus, unit) is None:
                options = {"if": interface, "index": str(index), "media": media}
                self.drives.add(options)

    def plug_board_drives(self) -> None:
        """Give each drive with an interface to a device of the board.

        Raises:
            QemuError: of the first drive whose place the board doesn't have; its option's
                text stands before QEMU's words.
        """
        kinds = self.board.buses
        for drive in sorted(self.drives.drives, key=_board_order):
            place = (drive.interface, drive.bus, drive.unit)
            path = self._unattached_path(drive)
            if drive.interface == "virtio":
                try:
                    self.plugs.plug({"driver": "virtio-blk-pci", "drive": drive.backend.name})
                except QemuError as error:
                    raise QemuError(f"{drive.text}: {error}") from error
            elif drive.interface == "ide" and "IDE" in kinds and drive.bus < 2:
                self.ide_units_used += 1
                is_cd = drive.media == "cdrom"
                drive.backend.attach(path, removable=is_cd, has_tray=is_cd)
            elif drive.interface == "floppy" and "floppy-bus" in kinds and drive.unit < 2:
                drive.backend.attach(path, removable=True)
            elif drive.interface not in ("none", "sd") or (drive.interface == "sd" and drive.text):
                where = "if={},bus={},unit={}".format(*place)
                raise QemuError(f"{drive.text}: machine type does not support {where}")

    def _unattached_path(self, drive: Drive) -> str:
        first = 23 if drive.interface == "ide" else 16
        return f"/machine/unattached/device[{first + 2 * drive.bus + drive.unit}]"

    # --- rooms that are made when they are first asked for

    @property
    def network(self) -> Network:
        """Network cards and back ends."""
        if self._network is None:
            from machine.net import Network

            self._network = Network()
            self._network.is_running = self.is_running
        return self._network

    @property
    def has_network(self) -> bool:
        """Whether somebody asked for `network` already."""
        return self._network is not None

    @property
    def objects(self) -> Objects:
        """The objects beside the machine."""
        if self._objects is None:
            from machine.qom.objects import Objects

            self._objects = Objects(self)
        return self._objects

    @property
    def plugs(self) -> Plugs:
        """The devices that were plugged in."""
        if self._plugs is None:
            from machine.devices.qdev import Plugs

            self._plugs = Plugs(self)
        return self._plugs

    @property
    def rtc_clock(self) -> RtcClock:
        """The guest's wall clock."""
        if self._rtc_clock is None:
            from machine.rtc import RtcClock

            base, is_local, follows_guest = self._rtc_options
            self._rtc_clock = RtcClock(
                self.wall_clock_ns,
                self.clock,
                base=base,
                is_local=is_local,
                follows_guest=follows_guest,
            )
        return self._rtc_clock

    def set_rtc(self, *, base: int | None, is_local: bool, follows_guest: bool) -> None:
        """Choose the date that the machine begins with; see `machine.rtc.RtcClock`."""
        self._rtc_options = (base, is_local, follows_guest)
        self._rtc_clock = None

    @property
    def has_saved_state(self) -> bool:
        """Whether somebody asked for `saved_state` already."""
        return self._saved_state is not None

    @property
    def states(self) -> Iterator[tuple[VMStateDescription, Any, str]]:
        """What is saved of the devices: the description, who has the attributes, the bus path."""
        for description, state in self.board_states:
            yield description, state, ""
        for device in self.plugs.devices if self._plugs is not None else ():
            for description, state in device.states:
                yield description, state, device.bus_path

    @property
    def saved_state(self) -> SavedState:
        """What is saved of this machine; made when it is first asked for."""
        if self._saved_state is None:
            from machine.migration.savevm import SavedState

            self._saved_state = SavedState(self)
        return self._saved_state

    @property
    def blockers(self) -> Blockers:
        """Reasons why the machine can't be saved."""
        if self._blockers is None:
            from machine.vmstate.blockers import Blockers

            only_migratable = self.switches.get("only-migratable", False)
            self._blockers = Blockers(only_migratable=only_migratable)
        return self._blockers

    @property
    def migration(self) -> Migration:
        """What leaves the machine, and the settings of that."""
        if self._migration is None:
            from machine.migration.migrate import Migration

            self._migration = Migration(self)
        return self._migration

    @property
    def incoming(self) -> Incoming:
        """What the machine waits for in `RunState.INMIGRATE`."""
        if self._incoming is None:
            from machine.migration.incoming import Incoming

            self._incoming = Incoming(self)
        return self._incoming

    @property
    def lineage(self) -> Lineage:
        """Which snapshot came after which."""
        if self._lineage is None:
            from machine.lineage import Lineage

            self._lineage = Lineage()
        return self._lineage

    # --- running

    @property
    def is_running(self) -> bool:
        """Whether the guest executes."""
        return self.runstate is RunState.RUNNING

    def status_text(self) -> str:
        """What follows ``VM status: ``."""
        mode = " (single step mode)" if self.is_single_stepping else ""
        return self.runstate.status + mode

    def set_runstate(self, state: RunState) -> None:
        """Change the run state; guest time passes only in `RunState.RUNNING`."""
        was_running = self.is_running
        self.runstate = follow(self.runstate, state)
        if state is RunState.RUNNING:
            self.clock.start()
            if not was_running:
                self.events.emit("RESUME")
        else:
            self.clock.stop()
            if was_running:
                self.events.emit("STOP")
        if self.guest is not None:
            self.guest.set_running(self.is_running)
        if self._network is not None:
            self._network.set_running(self.is_running)

    def stop(self, state: RunState = RunState.PAUSED) -> None:
        """Stop a running machine; one that is stopped keeps its reason."""
        if self.is_running:
            self.set_runstate(state)
        elif self.runstate is RunState.INMIGRATE and state is RunState.PAUSED:
            self.autostart = False

    def cont(self) -> None:
        """Let the machine run; one that is yet to come, when it is there.

        Raises:
            QemuError: a state that only a reset or the end of a migration leaves, or somebody
                else has a disk.
        """
        if self.runstate in (RunState.SHUTDOWN, RunState.INTERNAL_ERROR):
            raise QemuError("Resetting the Virtual Machine is required")
        if self.runstate is RunState.FINISH_MIGRATE:
            raise QemuError("Migration is not finalized yet")
        self.graph.activate()
        if self.runstate is RunState.INMIGRATE:
            self.autostart = True
        else:
            self.set_runstate(RunState.RUNNING)

    def reset(self) -> None:
        """What the reset button does; a machine that is stopped is as before its launch then."""
        self.reset_devices()
        keeping = (RunState.RUNNING, RunState.INMIGRATE, RunState.FINISH_MIGRATE)
        if self.runstate not in keeping:
            self.set_runstate(RunState.PRELAUNCH)

    def reset_devices(self) -> None:
        """Put processors and loaded images back to their first state; RAM keeps its content."""
        if self._plugs is not None:
            self._plugs.reset()
        for cpu in self.cpus:
            cpu.reset()
        if self.guest is not None:
            self.guest.reset()
        for backend in self.drives.backends:
            backend.tray_open = False
        for rom in self.roms:
            rom.load_into(self.memory)

    def request_shutdown(self, status: int = 0) -> None:
        """End the program once the command that runs is done."""
        self.shutdown_requested = True
        self.exit_status = status

    def settle(self) -> None:
        """Bring to the files what drives still keep in memory.

        Raises:
            QemuError: a file can't be written; what waits is tried again the next time.
        """
        for node in self.graph.nodes.values():
            node.write_back()

    def close(self) -> None:
        """Close all drives, and what else has files and sockets.

        Raises:
            QemuError: a drive can't be written.
        """
        if self._objects is not None:
            self._objects.close()
        if self._network is not None:
            self._network.close()
        self.graph.close()

    def set_head(self, tag: str, nodes: Sequence[BlockNode]) -> None:
        """The machine is now what this snapshot, on these disks, has."""
        from machine.head import Head

        if self.head is not None:
            self.head.close()
        self.head = Head(tag, nodes, self.memory.blocks)

    def forget_head(self) -> None:
        """What the machine was saved to or put back to is no longer its affair."""
        if self.head is not None:
            self.head.close()
        self.head = self._lineage = None

    def job_names(self) -> list[str]:
        """What goes on beside the guest, such as ``migrate (active)``."""
        migration = self._migration
        if migration is None or not migration.status.is_under_way:
            return []
        return [f"migrate ({migration.status.name})"]

    # --- saying

    def report(self, text: str) -> None:
        """Say a line from the depths: on the monitor whose command runs, else on stderr."""
        if self.reporter is not None:
            self.reporter(text)
        else:
            self.complain(f"{self.program}: {self.location}{text}")

    def complain(self, text: str) -> None:
        """Write a line to stderr."""
        if self.console is not None:
            self.console(text)
            return
        try:
            os.write(2, f"{text}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # nobody listens there; the machine goes on

    def log_exception(self) -> None:
        """Keep the traceback of the exception being handled for whoever mends the program."""
        import traceback

        folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        try:
            os.makedirs(os.path.join(folder, "hmp"), exist_ok=True)
            with open(os.path.join(folder, "hmp", "errors.log"), "a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.program}\n")
                traceback.print_exc(file=log)
        except OSError:
            pass  # without a place for the log the monitor's line must do

    def complain_text(self, text: str) -> None:
        """Write text to stderr as it is."""
        self.complain(text.removesuffix("\n"))

    # --- what the monitor shows and completes

    def describe(self, topic: str) -> Sequence[str] | None:
        """The lines that answer an ``info`` topic: see `machine.inventory`."""
        from machine.inventory import describe

        return describe(self, topic)

    def find_chardev(self, label: str) -> Chardev | None:
        """The character device of this name."""
        return next((each for each in self.chardevs if each.label == label), None)

    def drop_drive(self, backend: Backend) -> None:
        """The device of a drive is gone, and takes the drive with it."""
        backend.device = None
        self.drives.backends.remove(backend)
        self.drives.drives = [each for each in self.drives.drives if each.backend is not backend]
        node = backend.remove()
        if node is not None and not node.monitor_owned:
            self.graph.remove(node)

    def option_ids(self, group: str) -> list[str]:
        """The ids that options of a group have taken."""
        return self.netdev_ids() if group == "netdev" else []

    def device_ids(self) -> list[str]:
        """The ids of the devices that were plugged in."""
        if self._plugs is None:
            return []
        return [device.id for device in self._plugs.devices if device.id]

    def object_ids(self) -> list[str]:
        """The ids of the objects."""
        return [] if self._objects is None else [each.id for each in self._objects]

    def netdev_ids(self) -> list[str]:
        """The ids of the network back ends."""
        return [] if self._network is None else [each.name for each in self._network.netdevs]

    def link_names(self) -> list[str]:
        """What ``set_link`` takes: back ends and network devices."""
        return [] if self._network is None else [each.name for each in self._network.clients]

    def block_device_names(self) -> list[str]:
        """The ids of all drives."""
        return [backend.name for backend in self.drives.backends if backend.name]

    def snapshot_names(self) -> list[str]:
        """Ids and tags of the snapshots of all disks."""
        from machine.snapshot import disks

        snapshots = [s for disk in disks(self) for s in disk.node.snapshots()]
        return [s.id for s in snapshots] + [s.name for s in snapshots]


def _rounded(size: int) -> int:
    """RAM comes in two pages or more at a time (QEMU rounds up to 8 KiB)."""
    step = 2 * PAGE_SIZE
    return -(-size // step) * step


def _board_order(drive: Drive) -> int:
    # PCI devices are made before the interfaces' leftovers are looked at.
    return 0 if drive.interface in ("ide", "floppy") else 1
