"""The steps of savevm, loadvm and delvm, told to whoever listens as they begin.

A plan is made of the same steps, so that what is foretold can be put beside what happens.
"""

from __future__ import annotations

from machine.events import Listeners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.snapshot import Snapshot
    from machine.snapshot import Disk

# What a step does; those of one disk come once for each.
LOOK = "look"  # at the disks
FIND = "find"  # the snapshot on all disks
REPLACE = "replace"  # a snapshot of the same tag, on one disk
STOP = "stop"
WRITE_STATE = "write state"  # to one disk
MAKE = "make"  # the snapshot, on one disk
GO_BACK = "go back"  # to the snapshot, on one disk
LOAD_STATE = "load state"  # from one disk
DELETE = "delete"  # the snapshot, on one disk
RESUME = "resume"
END = "end"  # of all of them, also after a failure


class Step:
    """One step.

    Attributes:
        kind: one of those above.
        disk: of a step that is of one disk.
        snapshot: the one that is made, gone to, or deleted; it may not have its ID yet.
    """

    __slots__ = ("disk", "kind", "snapshot")

    def __init__(
        self, kind: str, disk: Disk | None = None, snapshot: Snapshot | None = None
    ) -> None:
        self.kind = kind
        self.disk = disk
        self.snapshot = snapshot


class Steps(Listeners):
    """Takes steps, and tells the listeners of each before it is done."""

    __slots__ = ()

    def tell(self, kind: str, disk: Disk | None = None, snapshot: Snapshot | None = None) -> None:
        """A step begins."""
        if self._listeners:
            step = Step(kind, disk, snapshot)
            for listener in tuple(self._listeners):
                listener(step)
