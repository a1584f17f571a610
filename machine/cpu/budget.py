"""How long a processor may go on."""

from __future__ import annotations

import time


class Budget:
    """The time of one slice, by the host's clock.

    Args:
        slice_ns: from now on; None for no end.

    Attributes:
        is_endless: nothing depends on the host's speed; who would go on for ever goes on as fast
            as guest time says.
    """

    __slots__ = ("_end_ns", "is_endless")

    def __init__(self, slice_ns: int | None) -> None:
        self.is_endless = slice_ns is None
        self._end_ns = time.monotonic_ns() + (slice_ns or 0)

    def has_time(self) -> bool:
        """Whether it goes on; to be asked every few microseconds."""
        return self.is_endless or time.monotonic_ns() < self._end_ns
