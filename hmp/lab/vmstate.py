"""`%vmstate TAG`: what the machine's state in a snapshot holds, field by field."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.state_text import stream_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.snapshot import Snapshot
    from hmp.monitor import Monitor
    from machine.machine import Machine
    from machine.migration.decode_source import AreaSource
    from machine.snapshot import Disk


def vmstate(monitor: Monitor, *, name: str) -> None:
    from machine.migration.decode import decode

    disk, snapshot, source = find_state(monitor.machine, name)
    for line in stream_lines(decode(source), disk.node.filename, snapshot.name):
        monitor.print_line(line)


def find_state(machine: Machine, tag: str) -> tuple[Disk, Snapshot, AreaSource]:
    """The first disk that has the machine's state in a snapshot, and that state.

    Args:
        tag: the snapshot's, or its ID where no tag is like that.

    Raises:
        QemuError: no disk has one.
    """
    from machine.migration.decode_source import snapshot_source
    from machine.snapshot import disks

    machine.settle()
    failure = QemuError(f"Snapshot '{tag}' does not exist in one or more devices")
    for disk in disks(machine):
        if disk.node.has_snapshots:
            try:
                source, snapshot = snapshot_source(disk.node, tag)
            except QemuError as error:
                if any(tag in (each.name, each.id) for each in disk.node.snapshots()):
                    failure = error
            else:
                return disk, snapshot, source
    raise failure
