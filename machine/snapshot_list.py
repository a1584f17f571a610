"""What ``info snapshots`` shows: the snapshots of the machine, and those of single disks."""

from __future__ import annotations

from machine.snapshot import disks, no_state_disk, state_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.snapshot import Snapshot
    from machine.machine import Machine


class Listing:
    """What ``info snapshots`` shows.

    Attributes:
        on_all: snapshots that every disk has, in the order of the state's disk.
        partial: for each disk with others, its device id and those others.
    """

    __slots__ = ("on_all", "partial")

    def __init__(self, on_all: list[Snapshot], partial: list[tuple[str, list[Snapshot]]]) -> None:
        self.on_all = on_all
        self.partial = partial


def list_snapshots(machine: Machine) -> Listing:
    """All snapshots of all disks that have any.

    Raises:
        QemuError: no disk can hold machine state.
    """
    first = state_disk(machine)
    if first is None:
        raise no_state_disk()
    # A disk that can't have a snapshot counts as one that hasn't.
    common = set.intersection(
        *({snapshot.name for snapshot in disk.node.snapshots()} for disk in disks(machine))
    )
    on_all = [snapshot for snapshot in first.node.snapshots() if snapshot.name in common]
    partial = []
    for device, node in machine.drives.shown_nodes():
        rest = [snapshot for snapshot in node.snapshots() if snapshot.name not in common]
        if node.is_inserted and node.has_snapshots and rest:
            partial.append((device, rest))
    return Listing(on_all, partial)
