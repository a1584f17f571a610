"""Which snapshot came after which, noted as the machine is saved and put back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.snapshot import Snapshot
    from machine.machine import Machine
    from machine.snapshot import Disk


class Loss:
    """What the machine had done since a snapshot when it was put back to one.

    Attributes:
        clock_ns: machine time that passed since.
        pages, clusters: that were written since; None where nobody counted.
    """

    __slots__ = ("clock_ns", "clusters", "pages")

    def __init__(self, machine: Machine) -> None:
        head = machine.head
        self.clock_ns = machine.clock.now_ns() - machine.lineage.clock_ns
        self.pages = head.pages_changed if head else None
        self.clusters = head.clusters_changed if head else None

    @property
    def is_any(self) -> bool:
        """Whether there was something to lose."""
        return bool(self.clock_ns or self.pages or self.clusters)


class Point:
    """A saved machine, or the beginning.

    Attributes:
        tag: of the snapshot; "" for the beginning.
        date_ns: when it was made, ns since 1970; tells it from others of the same tag.
        clock_ns: the machine's clock then.
        is_older: it was made before anybody took notes.
        after: what went on from here, in the order of time: other points, or what was lost.
    """

    __slots__ = ("after", "clock_ns", "date_ns", "is_older", "tag")

    def __init__(self, snapshot: Snapshot | None, *, is_older: bool = False) -> None:
        self.tag = snapshot.name if snapshot else ""
        self.date_ns = _date_ns(snapshot) if snapshot else 0
        self.clock_ns = snapshot.vm_clock_nsec if snapshot else 0
        self.is_older = is_older
        self.after: list[Point | Loss] = []

    def is_of(self, snapshot: Snapshot) -> bool:
        return (self.tag, self.date_ns) == (snapshot.name, _date_ns(snapshot))

    def is_on(self, disks: list[Disk]) -> bool:
        """Whether one of the disks still has the snapshot."""
        return any(self.is_of(each) for disk in disks for each in disk.node.snapshots())


def _date_ns(snapshot: Snapshot) -> int:
    return snapshot.date_sec * 1_000_000_000 + snapshot.date_nsec


class Lineage:
    """The notes.

    Attributes:
        beginning: where the session began.
        older: snapshots from before that the machine was put back to.
        at: the point that the machine was last saved to or put back to.
    """

    __slots__ = ("_points", "at", "beginning", "older")

    def __init__(self) -> None:
        self.beginning = self.at = Point(None)
        self.older: list[Point] = []
        self._points: dict[tuple[str, int], Point] = {}

    @property
    def clock_ns(self) -> int:
        """The machine's clock at the point that it went on from."""
        return self.at.clock_ns

    def find(self, snapshot: Snapshot) -> Point | None:
        """The point that a snapshot is, if it is in the notes."""
        return self._points.get((snapshot.name, _date_ns(snapshot)))

    def saved(self, snapshot: Snapshot) -> None:
        """The machine was saved."""
        point = Point(snapshot)
        self.at.after.append(point)
        self._go_to(point)

    def loaded(self, snapshot: Snapshot, loss: Loss) -> None:
        """The machine was put back, and lost what it had done since the point before."""
        if loss.is_any:
            self.at.after.append(loss)
        point = self.find(snapshot)
        if point is None:
            point = Point(snapshot, is_older=True)
            self.older.append(point)
        self._go_to(point)

    def _go_to(self, point: Point) -> None:
        self._points[point.tag, point.date_ns] = point
        self.at = point
