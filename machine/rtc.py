"""The date that a machine's real-time clock begins with: ``-rtc``."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.clock import VirtualClock

_SECOND_NS = 1_000_000_000


class RtcClock:
    """The guest's wall clock.

    Args:
        wall_clock_ns: the host's, ns since 1970, UTC.
        clock: guest time.
        base: when it begins, in seconds since 1970; None for the host's date.
        is_local: the host's date is that of its time zone.
        follows_guest: it stands still with the guest (``clock=vm``); else it goes on.
    """

    def __init__(
        self,
        wall_clock_ns: Callable[[], int],
        clock: VirtualClock,
        *,
        base: int | None = None,
        is_local: bool = False,
        follows_guest: bool = False,
    ) -> None:
        self._clock = clock
        self._wall_clock_ns = clock.now_ns if follows_guest else wall_clock_ns
        self._ahead_ns = 0
        if base is not None:
            self._ahead_ns = base * _SECOND_NS - self._wall_clock_ns()
        elif is_local:
            self._ahead_ns = time.localtime(wall_clock_ns() // _SECOND_NS).tm_gmtoff * _SECOND_NS
        if base is None and follows_guest:
            self._ahead_ns += wall_clock_ns() - clock.now_ns()

    def source_ns(self) -> int:
        """The clock that it goes by."""
        return self._wall_clock_ns()

    def now_ns(self) -> int:
        """The guest's date, in ns since 1970."""
        return self._wall_clock_ns() + self._ahead_ns

    def stamps_us(self) -> Callable[[], int]:
        """What dates the frames of a dump: today's second and guest time together, in us."""
        first_us = self.now_ns() // _SECOND_NS * 1_000_000
        return lambda: first_us + self._clock.now_ns() // 1000
