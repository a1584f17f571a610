"""What a snapshot is, whatever format keeps it, and how it is looked up."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Snapshot:
    """A snapshot of one node.

    Args:
        id: the format's own number, as text; "" for one that isn't stored yet.
        name: the tag.
        date_sec, date_nsec: wall-clock time of its making.
        vm_clock_nsec: the virtual clock then, ns.
        vm_state_size: bytes of machine state; 0 where there is none.
        icount: instructions executed, None where they weren't counted.
        disk_size: bytes of the disk then.
    """

    __slots__ = (
        "date_nsec",
        "date_sec",
        "disk_size",
        "icount",
        "id",
        "name",
        "vm_clock_nsec",
        "vm_state_size",
    )

    def __init__(
        self,
        *,
        name: str,
        date_sec: int,
        date_nsec: int = 0,
        vm_clock_nsec: int = 0,
        vm_state_size: int = 0,
        icount: int | None = None,
        id: str = "",
        disk_size: int = 0,
    ) -> None:
        self.id = id
        self.name = name
        self.date_sec = date_sec
        self.date_nsec = date_nsec
        self.vm_clock_nsec = vm_clock_nsec
        self.vm_state_size = vm_state_size
        self.icount = icount
        self.disk_size = disk_size


def find_by_name(snapshots: Sequence[Snapshot], name: str) -> Snapshot | None:
    """The first snapshot with this tag: what the monitor's commands go by."""
    return next((snapshot for snapshot in snapshots if snapshot.name == name), None)


def find_by_id_and_name(
    snapshots: Sequence[Snapshot], id: str | None, name: str | None
) -> Snapshot | None:
    """The first snapshot that has the id and the tag; None for either means any."""
    for snapshot in snapshots:
        if (id is None or snapshot.id == id) and (name is None or snapshot.name == name):
            return snapshot
    return None


def find_to_go_to(snapshots: Sequence[Snapshot], id_or_name: str) -> Snapshot | None:
    """Which snapshot a disk goes back to: the one whose *id* is the word, else by tag."""
    for snapshot in snapshots:
        if snapshot.id == id_or_name:
            return snapshot
    return find_by_name(snapshots, id_or_name)
