"""Which parts of a node were written: QEMU's BdrvDirtyBitmap, in memory."""

from __future__ import annotations

from blockdev.dirty_marks import DirtyMarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class DirtyBitmap(DirtyMarks):
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

    def bytes_inside(self, size: int) -> int:
        """The bytes of all written pieces, as far as they lie on a disk of `size`."""
        total = self.count * self.granularity
        over = -size % self.granularity
        last = size // self.granularity
        if over and last < len(self._marks) and self._marks[last]:
            total -= over
        return total

    def runs(self) -> Iterator[tuple[int, int]]:
        """The written pieces in a row: where they begin, and their size in bytes."""
        stop = 0
        while (start := self._marks.find(1, stop)) >= 0:
            end = self._marks.find(0, start)
            stop = len(self._marks) if end < 0 else end
            yield start * self.granularity, (stop - start) * self.granularity

    def alike(self, offset: int) -> tuple[bool, int]:
        """Whether a byte's piece was written, and how many bytes from it on are like it."""
        index = offset // self.granularity
        is_marked = index < len(self._marks) and bool(self._marks[index])
        end = self._marks.find(0 if is_marked else 1, index)
        if end < 0 and not is_marked:
            return False, (1 << 63) - offset
        end = len(self._marks) if end < 0 else end
        return is_marked, end * self.granularity - offset

    def clear(self) -> None:
        """Nothing counts as written any more."""
        self._marks[:] = bytes(len(self._marks))
        self.count = 0

    def emptied(self) -> DirtyBitmap:
        """Another of the same disk that says nothing."""
        return DirtyBitmap(len(self._marks) * self.granularity, self.granularity)

    def resize(self, size: int) -> None:
        """The disk has `size` bytes now."""
        pieces = -(-size // self.granularity)
        del self._marks[pieces:]
        self._marks.extend(bytes(pieces - len(self._marks)))
        self.count = self._marks.count(1)

    def pack(self) -> bytes:
        """A bit for each piece, lowest first."""
        total = 0
        for bit in range(8):
            total |= int.from_bytes(self._marks[bit::8], "little") << bit
        return total.to_bytes(-(-len(self._marks) // 8), "little")

    def unpack(self, data: bytes) -> None:
        """Take over bits as `pack` gives them."""
        for bit in range(8):
            marks = data.translate(bytes(byte >> bit & 1 for byte in range(256)))
            places = range(bit, len(self._marks), 8)
            self._marks[bit::8] = marks[: len(places)]
        self.count = self._marks.count(1)

    def take_run(self, most: int) -> tuple[int, int] | None:
        """The first pieces in a row that were written, which no longer count as such.

        Args:
            most: how many bytes at most; one piece at least.

        Returns:
            Where they begin, and their size in bytes; None if there are none.
        """
        first = self._marks.find(1)
        if first < 0:
            return None
        limit = first + max(1, most // self.granularity)
        end = self._marks.find(0, first, limit)
        end = min(limit, len(self._marks)) if end < 0 else end
        self._marks[first:end] = bytes(end - first)
        self.count -= end - first
        return first * self.granularity, (end - first) * self.granularity

    def take_inside(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """The runs of written pieces that some bytes touch, which no longer count as such."""
        if not size:
            return
        first = offset // self.granularity
        end = min(-(-(offset + size) // self.granularity), len(self._marks))
        while (start := self._marks.find(1, first, end)) >= 0:
            stop = self._marks.find(0, start, end)
            first = end if stop < 0 else stop
            self._marks[start:first] = bytes(first - start)
            self.count -= first - start
            yield start * self.granularity, (first - start) * self.granularity
