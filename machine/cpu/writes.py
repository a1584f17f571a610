"""Writes that come at a rate, or as fast as there is time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND_NS = 1_000_000_000


class Writes:
    """What is written one after the other, counted from 0.

    Args:
        at_once: how many are done before somebody else is due.
        write: does the n-th.
        wait_ns: how long the next one is held up by somebody else.

    Attributes:
        done: how many were.
        rate: writes a second; 0 for as many as there is time for, None for none.
        since_ns, before: when the rate began to count, and how many were done then.
    """

    __slots__ = ("_at_once", "_wait_ns", "_write", "before", "done", "rate", "since_ns")

    def __init__(
        self,
        at_once: int,
        write: Callable[[int], object],
        wait_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._wait_ns = wait_ns
        self._at_once = at_once
        self._write = write
        self.rate: float | None = None
        self.done = self.since_ns = self.before = 0

    def go_on(self, now_ns: int, flat_out: float | None = None) -> bool:
        """Do some of those that are due; whether there were any.

        Args:
            now_ns: guest time.
            flat_out: the rate that stands for as many as there is time for; None for no limit.
        """
        if self.rate is None:
            return False
        due = self.done + self._at_once
        rate = self.rate or flat_out
        if rate:
            due = min(due, self.before + int((now_ns - self.since_ns) * rate / _SECOND_NS))
        is_due = self.done < due and not self._wait_ns()
        while is_due and self.done < due:
            self._write(self.done)
            self.done += 1
        return is_due

    def next_ns(self, now_ns: int, flat_out: float | None = None) -> int | None:
        """When the next one is due, in guest time; None for never."""
        if self.rate is None:
            return None
        held_ns = self._wait_ns()
        due = self._due_ns(flat_out)
        return max(due, now_ns + held_ns) if held_ns else due

    def _due_ns(self, flat_out: float | None) -> int:
        assert self.rate is not None
        rate = self.rate or flat_out
        if not rate:
            return self.since_ns
        return self.since_ns + int((self.done - self.before + 1) * _SECOND_NS / rate) + 1
