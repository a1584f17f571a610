"""Takes clusters and gives them back, some at once and some only later.

A cluster that the file still refers to must not be counted down, let alone be handed out again,
before the file has stopped referring to it for good.  Such clusters wait in `free_later` until
the image's write order (see `blockdev.qcow2.metadata`) calls `apply_deferred` behind a barrier.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.refcounts import Refcounts


class Allocator:
    """Clusters by number, over an image's reference counts."""

    def __init__(self, refcounts: Refcounts) -> None:
        self._refcounts = refcounts
        self._deferred: list[Reference] = []

    def allocate(self, wanted: int, *, exactly: bool) -> tuple[int, int]:
        """The first of some free clusters in a row, and how many: see `Refcounts.allocate`."""
        return self._refcounts.allocate(wanted, exactly=exactly)

    def count_up(self, reference: Reference) -> None:
        """Count one more reference to each cluster; all or none of them."""
        self._count(reference, 1)

    def free_now(self, reference: Reference) -> None:
        """Give back clusters that nothing in the file refers to."""
        self._count(reference, -1)

    def free_later(self, reference: Reference) -> None:
        """Give back clusters that the file refers to until it is written in order."""
        self._deferred.append(reference)

    def _count(self, reference: Reference, change: int) -> None:
        if isinstance(reference, list):
            self._refcounts.add_each(reference, change)
        else:
            self._refcounts.add(*reference, change)

    def counts(self, clusters: list[int]) -> list[int]:
        """The count of each cluster."""
        return self._refcounts.counts(clusters)

    def common_count(self, first: int, count: int) -> int | None:
        """The count that all clusters of a run have; None if they differ."""
        return self._refcounts.common_count(first, count)

    @property
    def has_deferred(self) -> bool:
        """Whether clusters wait for `apply_deferred`."""
        return bool(self._deferred)

    def apply_deferred(self) -> None:
        """Count down what waited; the file doesn't refer to it any more."""
        while self._deferred:
            self._count(self._deferred.pop(), -1)
