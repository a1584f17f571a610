"""Takes clusters and gives them back, some at once and some only later.

A cluster that the file still refers to must not be counted down, let alone be handed out again,
before the file has stopped referring to it for good.  Such clusters wait in `free_later` until
the image's write order (see `blockdev.qcow2.image`) calls `apply_deferred` behind a barrier.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.refcounts import Refcounts


class Allocator:
    """Clusters by number, over an image's reference counts."""

    def __init__(self, refcounts: Refcounts) -> None:
        self._refcounts = refcounts
        self._deferred: list[tuple[int, int]] = []

    def allocate(self, wanted: int, *, exactly: bool) -> tuple[int, int]:
        """The first of some free clusters in a row, and how many: see `Refcounts.allocate`."""
        return self._refcounts.allocate(wanted, exactly=exactly)

    def free_now(self, first: int, count: int) -> None:
        """Give back clusters that nothing in the file refers to."""
        self._refcounts.add(first, count, -1)

    def free_later(self, first: int, count: int) -> None:
        """Give back clusters that the file refers to until the next barrier but one write."""
        self._deferred.append((first, count))

    def has_single_reference(self, cluster: int) -> bool:
        """Whether the count says that a cluster has one owner."""
        return self._refcounts.get(cluster) == 1

    @property
    def has_deferred(self) -> bool:
        """Whether clusters wait for `apply_deferred`."""
        return bool(self._deferred)

    def apply_deferred(self) -> None:
        """Count down what waited; the file doesn't refer to it any more."""
        while self._deferred:
            first, count = self._deferred.pop()
            self._refcounts.add(first, count, -1)
