"""How much of a stream may leave in a tenth of a second: QEMU's rate limit."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_NS = 100_000_000
WINDOWS_PER_SECOND = 10


class RateLimit:
    """Counts what leaves in the present window; a new window begins when its time is over.

    Attributes:
        bytes_per_second: 0 for no limit.
    """

    __slots__ = ("_now_ns", "_start_ns", "_used", "bytes_per_second")

    def __init__(
        self, bytes_per_second: int = 0, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.bytes_per_second = bytes_per_second
        self._now_ns = now_ns
        self._start_ns = now_ns()
        self._used = 0

    def count(self, size: int) -> None:
        self._used += size

    @property
    def room(self) -> int | None:
        """How many bytes may leave now; None for any number.

        What left beyond a window's share is taken off those that follow.
        """
        if not self.bytes_per_second:
            return None
        share = self.bytes_per_second // WINDOWS_PER_SECOND
        windows = (self._now_ns() - self._start_ns) // WINDOW_NS
        if windows:
            self._start_ns += windows * WINDOW_NS
            self._used = max(0, self._used - windows * share)
        return max(0, share - self._used)

    @property
    def is_reached(self) -> bool:
        """Whether nothing more should leave before `next_window_ns`."""
        return self.room == 0

    @property
    def next_window_ns(self) -> int:
        """When the present window is over, by the clock that was given."""
        return self._start_ns + WINDOW_NS
