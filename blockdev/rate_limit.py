"""How fast a job may go: a share of bytes for each tenth of a second."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_NS = 100_000_000
_WINDOWS_PER_SECOND = 10


class RateLimit:
    """Counts what was done, and says how long to rest before more.

    Attributes:
        speed: bytes a second; 0 for no limit.
    """

    __slots__ = ("_end_ns", "_now_ns", "speed")

    def __init__(self, speed: int = 0, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.speed = speed
        self._now_ns = now_ns
        self._end_ns = 0  # when what was done so far is paid for

    def count(self, size: int) -> None:
        """So many bytes were done."""
        if self.speed:
            start_ns = max(self._end_ns, self._now_ns())
            self._end_ns = start_ns + size * 1_000_000_000 // self.speed

    def delay_ns(self) -> int:
        """How long to rest now; 0 where more may be done at once.

        A window's share may go in one piece, so that a fast job doesn't rest at every step.
        """
        if not self.speed:
            return 0
        ahead = self._end_ns - self._now_ns()
        return ahead if ahead > WINDOW_NS else 0

    def set_speed(self, speed: int) -> None:
        """Another limit, which begins now."""
        self.speed = speed
        self._end_ns = 0
