"""Memory that bytes of files are read into again and again."""

from __future__ import annotations

# The C library lets a large piece of memory begin 16 bytes behind a page's start.  From a page of
# the kernel to there, many processors copy at half the speed that they have for other places.
_AWAY = 64  # bytes


class Memory:
    """Some memory; new memory for each piece would take longer to come by than to fill.

    Args:
        size: bytes.

    Attributes:
        view: for reading into.
    """

    __slots__ = ("_whole", "view")

    def __init__(self, size: int) -> None:
        self._whole = bytearray(_AWAY + size)
        self.view = memoryview(self._whole)[_AWAY:]

    def __eq__(self, other: object) -> bool:
        """Whether another piece, of the same size, holds the same."""
        return isinstance(other, Memory) and self._whole == other._whole

    __hash__ = None  # type: ignore[assignment]  # it changes
