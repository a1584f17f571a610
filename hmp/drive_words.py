"""The words of ``drive_add``: options as on the command line, for a machine that is there."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.option_list import BadIdentifier, is_identifier, parse_options
from machine.drives import INTERFACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor

# What QEMU calls an interface by number.
_TYPES = {name: number for number, name in enumerate(INTERFACES)}


def _options(monitor: Monitor, text: str) -> dict[str, str]:
    def warn(line: str) -> None:
        monitor.print_line(f"warning: {line}")

    pairs = parse_options(text, "", warn)
    found = dict(pairs)
    ids = [value for key, value in pairs if key == "id"]
    if ids:
        found["id"] = ids[0]  # of ids the first counts
        if not is_identifier(ids[0]):
            raise BadIdentifier()
    return found


def add_drive(monitor: Monitor, text: str) -> None:
    """Add a drive; one with an interface would need a bus that takes it now.

    Raises:
        QemuError: it can't be made.
    """
    machine = monitor.machine
    drive = machine.drives.add(_options(monitor, text), text=text)
    if drive.interface != "none":
        machine.drives.drop(drive.backend)
        monitor.print_line(f"Can't hot-add drive to type {_TYPES[drive.interface]}")
        return
    monitor.print_line("OK")


def add_node(monitor: Monitor, text: str) -> None:
    """Add a node.

    Raises:
        QemuError: it can't be made.
    """
    options = _options(monitor, text)
    if "node-name" not in options:
        raise QemuError("'node-name' needs to be specified")
    monitor.machine.drives.tree.add_loosely(options)
