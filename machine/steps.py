"""The steps of savevm, loadvm and delvm, told to whoever listens as they begin.

A plan is made of the same steps, so that what is foretold can be put beside what happens.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.snapshot import Snapshot
    from machine.snapshot import Disk

    Listener = Callable[["Step"], object]

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


class Steps:
    """Takes steps, and tells the listeners."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell it of every step from now on, before the step; it must not raise."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Tell it of none any more; harmless when it wasn't told before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def tell(self, kind: str, disk: Disk | None = None, snapshot: Snapshot | None = None) -> None:
        """A step begins."""
        if self._listeners:
            step = Step(kind, disk, snapshot)
            for listener in tuple(self._listeners):
                listener(step)
