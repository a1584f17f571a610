"""How long requests take, counted in bins: QEMU's latency histograms."""

from __future__ import annotations

from bisect import bisect_right

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class LatencyHistogram:
    """Counts requests by the time they took.

    Args:
        boundaries: between the bins, ns; each larger than the one before.

    Raises:
        QemuError: they aren't.
    """

    __slots__ = ("bins", "boundaries")

    def __init__(self, boundaries: Sequence[int]) -> None:
        before = 0
        for boundary in boundaries:
            if boundary <= before:
                raise QemuError("boundaries must grow")
            before = boundary
        self.boundaries = list(boundaries)
        self.bins = [0] * (len(boundaries) + 1)

    def count(self, ns: int) -> None:
        """A request took so long."""
        self.bins[bisect_right(self.boundaries, ns)] += 1
