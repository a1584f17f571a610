"""When a migration did what, and how fast it is: the times of `info migrate`."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.migration.statistics import RamStatistics

PERIOD_NS = 100_000_000  # over which the speed is measured
LEAST_BYTES = 10_000  # of which a downtime can be expected
_MS = 1_000_000


class Timing:
    """Moments of one migration, which begins now.

    Attributes:
        setup_ms: until the live sections began.
        total_ms: until it was complete; 0 before.
        downtime_ms: for how long the machine stood still.
        expected_downtime_ms: for how long it would have to.
        megabits_per_second: while it was last measured; in the end over all.
        pages_per_second: while it was last measured.
        bytes_per_second: likewise.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._start_ns = self._period_ns = self._stop_ns = now_ns()
        self._bytes_before = 0
        self._pages_before = 0
        self.setup_ms = 0
        self.total_ms = 0
        self.downtime_ms = 0
        self.expected_downtime_ms = 0
        self.megabits_per_second = 0.0
        self.pages_per_second = 0
        self.bytes_per_second = 0.0

    @property
    def elapsed_ms(self) -> int:
        """Since it began."""
        return (self._now_ns() - self._start_ns) // _MS

    def end_setup(self) -> None:
        self.setup_ms = self.elapsed_ms
        self._period_ns = self._now_ns()

    def measure(self, transferred: int, statistics: RamStatistics) -> bool:
        """Measure the speed, once a period.

        Args:
            transferred: bytes of stream since the beginning.
            statistics: for the pages.

        Returns:
            Whether a period was over.
        """
        passed = self._now_ns() - self._period_ns
        if passed < PERIOD_NS:
            return False
        pages = statistics.pages
        self.bytes_per_second = (transferred - self._bytes_before) * 1e9 / passed
        self.megabits_per_second = self.bytes_per_second * 8 / 1e6
        self.pages_per_second = (pages - self._pages_before) * 1_000_000_000 // passed
        self._period_ns += passed
        self._bytes_before, self._pages_before = transferred, pages
        return True

    def expect(self, pending: int, statistics: RamStatistics) -> None:
        """What the downtime would be now; known only once a guest was seen to write."""
        if statistics.dirty_pages_rate and self.bytes_per_second * PERIOD_NS / 1e9 > LEAST_BYTES:
            self.expected_downtime_ms = int(pending * 1000 / self.bytes_per_second)

    def begin_downtime(self) -> None:
        self._stop_ns = self._now_ns()

    def stop(self, statistics: RamStatistics) -> None:
        """It is complete."""
        self.total_ms = self.elapsed_ms
        self.downtime_ms = (self._now_ns() - self._stop_ns) // _MS
        if (transfer_ms := self.total_ms - self.setup_ms) > 0:
            self.megabits_per_second = statistics.transferred * 8 / transfer_ms / 1000
