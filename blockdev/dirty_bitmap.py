"""Which parts of a node were written: QEMU's BdrvDirtyBitmap, in memory."""

from __future__ import annotations


class DirtyBitmap:
    """Marks the pieces of a disk that are written while the bitmap is on its node.

    Args:
        size: of the disk, bytes.
        granularity: bytes of a piece.

    Attributes:
        count: how many pieces were written.
    """

    # A byte for each piece: ranges are set and counted at the speed of memory. The sum is kept:
    # whoever shows it does so at each key, and a big disk has millions of pieces.
    __slots__ = ("_marks", "count", "granularity")

    def __init__(self, size: int, granularity: int) -> None:
        self.granularity = granularity
        self.count = 0
        self._marks = bytearray(-(-size // granularity))

    def mark(self, offset: int, size: int) -> None:
        """These bytes were written; a disk that grew meanwhile has more pieces."""
        if not size:
            return
        first = offset // self.granularity
        end = -(-(offset + size) // self.granularity)
        if end > len(self._marks):
            self._marks.extend(bytes(end - len(self._marks)))
        self.count += self._marks.count(0, first, end)
        self._marks[first:end] = b"\1" * (end - first)
