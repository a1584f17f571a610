"""The virtual clock: guest time in nanoseconds, which stands still while the machine is stopped."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class VirtualClock:
    """QEMU's virtual clock, and beside it the guest's time stamp counter.

    While the machine runs, guest time is paced to the host's monotonic clock.  A `manual` clock
    never looks at the host and moves only by `advance`.

    The counter goes up by one each nanosecond of guest time (QEMU's does so under ``-icount``;
    otherwise it follows the host's own counter, which Python can't read).
    """

    __slots__ = ("_anchor_ns", "_host_now_ns", "_offset_ns", "_ticks_ahead", "is_running", "manual")

    def __init__(
        self, host_now_ns: Callable[[], int] = time.monotonic_ns, *, manual: bool = False
    ) -> None:
        self.manual = manual
        self.is_running = False
        self._host_now_ns = host_now_ns
        self._offset_ns = 0  # guest time at the anchor
        self._anchor_ns = 0  # host time when the clock was started
        self._ticks_ahead = 0  # the counter minus guest time

    def now_ns(self) -> int:
        """Guest time; negative only if a snapshot said so."""
        if self.is_running and not self.manual:
            return self._offset_ns + self._host_now_ns() - self._anchor_ns
        return self._offset_ns

    def start(self) -> None:
        if not self.is_running:
            self._anchor_ns = self._host_now_ns()
            self.is_running = True

    def stop(self) -> None:
        self._offset_ns = self.now_ns()
        self.is_running = False

    def set(self, ns: int) -> None:
        """Put guest time elsewhere, as loadvm does; the time stamp counter keeps its value."""
        self._ticks_ahead += self.now_ns() - ns
        self._offset_ns = ns
        self._anchor_ns = self._host_now_ns()

    def advance(self, ns: int) -> None:
        """Move a manual clock on, if the machine runs."""
        assert self.manual, "a paced clock moves by itself"
        assert ns >= 0, "guest time doesn't run backwards"
        if self.is_running:
            self._offset_ns += ns

    @property
    def cpu_ticks(self) -> int:
        """The guest's time stamp counter."""
        return self.now_ns() + self._ticks_ahead

    @cpu_ticks.setter
    def cpu_ticks(self, ticks: int) -> None:
        self._ticks_ahead = ticks - self.now_ns()
