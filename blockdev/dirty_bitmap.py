"""Which parts of a node were written: QEMU's BdrvDirtyBitmap, in memory."""

from __future__ import annotations


class DirtyBitmap:
    """Marks the pieces of a disk that are written while the bitmap is on its node.

    Args:
        size: of the disk, bytes.
        granularity: bytes of a piece.
    """

    # A byte for each piece: ranges are set, and all are counted, at the speed of memory.
    __slots__ = ("_marks", "granularity")

    def __init__(self, size: int, granularity: int) -> None:
        self.granularity = granularity
        self._marks = bytearray(-(-size // granularity))

    def mark(self, offset: int, size: int) -> None:
        """These bytes were written; a disk that grew meanwhile has more pieces."""
        first = offset // self.granularity
        end = -(-(offset + size) // self.granularity)
        if end > len(self._marks):
            self._marks.extend(bytes(end - len(self._marks)))
        self._marks[first:end] = b"\1" * (end - first)

    @property
    def count(self) -> int:
        """How many pieces were written."""
        return self._marks.count(1)
