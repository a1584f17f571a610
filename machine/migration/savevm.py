"""The machine's state into a disk's vmstate area, and back."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.devices.globalstate import GLOBALSTATE, GlobalState
from machine.devices.storage import TRAY
from machine.devices.timer import TIMER, TimerState
from machine.migration.area import AreaReader, AreaWriter
from machine.migration.block import BlockState
from machine.migration.loader import load_state
from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter, StreamError
from machine.migration.ram import RamState
from machine.migration.saver import StateSaver, save_state
from machine.migration.stream import Switches
from machine.vmstate.registry import Registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from blockdev.node import BlockNode
    from blockdev.snapshot import Snapshot
    from blockdev.vmstate_area import VMStateWriter
    from machine.machine import Machine
    from machine.runstate import RunState

# QEMU's own numbers for what every machine has.
_TIMER_SECTION, _BLOCK_SECTION, _RAM_SECTION, _GLOBALSTATE_SECTION = 0, 1, 2, 4


class SavedState:
    """All that belongs into a machine's saved state.

    Attributes:
        registry: the sections in order.
        block: the disks' section, for a migration that takes them along.
        ram: the memory's section.
        switches: which dialect is written and insisted on.
    """

    def __init__(self, machine: Machine) -> None:
        options = machine.switches
        self.switches = Switches(
            send_configuration=options.get("send-configuration", True),
            send_section_footer=options.get("send-section-footer", True),
            store_global_state=options.get("store-global-state", True),
            suppress_vmdesc=options.get("suppress-vmdesc", False),
        )
        self.global_state = GlobalState(always_stored=self.switches.store_global_state)
        self.registry = Registry(blockers=machine.blockers, trace=machine.trace)
        self.ram = RamState(
            machine.memory,
            lambda: machine.is_running,
            compression=lambda: machine.migration.compression,
            begin_pass=lambda number: machine.events.emit("MIGRATION_PASS", **{"pass": number}),
        )
        self.registry.register(TIMER, TimerState(machine.clock), section_id=_TIMER_SECTION)
        self.block = BlockState(
            machine.drives.backends,
            lambda: machine.migration.capabilities["zero-blocks"],
            machine.tell,
        )
        self.registry.register_live("block", 1, self.block, section_id=_BLOCK_SECTION)
        self.registry.register_live("ram", 4, self.ram, section_id=_RAM_SECTION)
        for backend in machine.drives.backends:
            if backend.has_tray:
                self.registry.register(TRAY, backend)
        for description, state, path in machine.states:
            self.registry.register(description, state, path=path)
        self.registry.register(GLOBALSTATE, self.global_state, section_id=_GLOBALSTATE_SECTION)


def write_state(
    machine: Machine, area: VMStateWriter, runstate: RunState
) -> Generator[object, None, int]:
    """Write a stopped machine's state.

    Args:
        area: where to.
        runstate: what the machine did before it was stopped for this.

    Returns:
        Bytes written.

    Raises:
        QemuError: the area couldn't take them, or a migration is under way.
    """
    migration, saved = machine.migration, machine.saved_state
    if migration.status.is_under_way:
        raise QemuError("There's a migration process in progress")
    if migration.capabilities["block"]:
        raise QemuError("Block migration and snapshots are incompatible")
    migration.begin()
    saved.global_state.store(runstate)
    file = QEMUFileWriter(AreaWriter(area))
    try:
        yield from save_state(
            saved.registry,
            file,
            machine_name=machine.board.name,
            switches=saved.switches,
            report=machine.report,
        )
        _write_rest(area)
    except QemuError:
        migration.fail("")
        raise
    migration.complete()
    return file.transferred


def _write_rest(area: VMStateWriter) -> None:
    """A small state is all written only now.

    Raises:
        QemuError: it can't be; said as of any part of the state.
    """
    try:
        area.write_rest()
    except QemuError as error:
        # QEMU says so whatever it was: its file of the state keeps no other error.
        text = f"Error while writing VM state: {os.strerror(errno.EIO)}"
        raise QemuError(text, errno.EIO) from error


def device_stream(machine: Machine) -> bytes:
    """The devices as they are now, as a stream without memory; nothing takes notice of it."""
    saved = machine.saved_state
    saved.global_state.store(machine.runstate)
    pieces: list[bytes] = []
    file = QEMUFileWriter(_Pieces(pieces))
    saver = StateSaver(
        saved.registry,
        file,
        machine_name=machine.board.name,
        switches=Switches(),
        report=machine.report,
        with_live=False,
    )
    saver.begin()
    for _ in saver.complete():
        pass
    return b"".join(pieces)


class _Pieces:
    """A channel that keeps what goes into it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def writev(self, buffers: list[bytes | memoryview]) -> int:
        piece = b"".join(buffers)
        self._pieces.append(piece)
        return len(piece)

    def close(self) -> None:
        """Nothing is held here."""


def read_state(machine: Machine, node: BlockNode, snapshot: Snapshot) -> Generator[object]:
    """Load a stopped machine's state.

    Raises:
        QemuError: it isn't this machine's state; what was loaded before that stays loaded.
    """
    saved = machine.saved_state
    file = QEMUFileReader(AreaReader(node, snapshot))
    try:
        yield from load_state(
            saved.registry,
            file,
            machine_name=machine.board.name,
            switches=saved.switches,
            report=machine.report,
        )
    except StreamError as error:
        value = error.errno_value
        raise QemuError(f"Error -{value} while loading VM state", value) from error
