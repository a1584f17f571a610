"""The devices' state in a file of its own, without memory and disks: what Xen saves itself."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.migration.channel import open_file
from machine.migration.loader import load_state
from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter, StreamError
from machine.migration.saver import StateSaver
from machine.migration.stream import Switches
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine


def save_devices(machine: Machine, path: str) -> Iterator[object]:
    """Write the devices' state; a machine that runs stops meanwhile.

    Raises:
        QemuError: the file can't be written.
    """
    was_running = machine.is_running
    machine.stop(RunState.SAVE_VM)
    try:
        saved = machine.saved_state
        saved.global_state.store(RunState.RUNNING)
        file = QEMUFileWriter(open_file(path, "wb"))
        saver = StateSaver(
            saved.registry,
            file,
            machine_name=machine.board.name,
            switches=Switches(send_configuration=False, suppress_vmdesc=True),
            report=machine.report,
            with_live=False,
        )
        try:
            saver.begin()
            yield from saver.complete()
        finally:
            file.close()
        if file.error:
            raise QemuError("An IO error has occurred", file.error)
    finally:
        if was_running:
            machine.cont()


def load_devices(machine: Machine, path: str) -> Iterator[object]:
    """Give the devices of a machine that stands still the state in a file.

    QEMU itself falls over when it has done so, and when it could not.

    Raises:
        QemuError: the machine runs, or the file has no such state; what was loaded stays loaded.
    """
    if machine.is_running:
        raise QemuError("Cannot update device state while vm is running")
    saved = machine.saved_state
    file = QEMUFileReader(open_file(path, "rb"))
    try:
        yield from load_state(
            saved.registry,
            file,
            machine_name=machine.board.name,
            switches=saved.switches,
            report=machine.report,
        )
    except StreamError as error:
        raise QemuError("An IO error has occurred", error.errno_value) from error
    finally:
        file.close()
