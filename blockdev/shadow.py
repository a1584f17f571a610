"""A node whose writes stay in memory: what would be done to a file, without doing it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from blockdev.node import BlockNode
from blockdev.raw import FileNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer


class ShadowNode(BlockNode):
    """Reads what was written, and below that another node, which it never changes.

    Buffers that are written aren't copied, so they must stay as they are.

    Attributes:
        writes: how many there were.
        bytes_written: of all of them together.
        barriers: how often somebody asked to wait for the disk, and there was what to wait for.
    """

    driver = "shadow"

    def __init__(self, below: BlockNode) -> None:
        super().__init__("", below.filename, read_only=False, cache=below.cache)
        self.writes = self.bytes_written = self.barriers = 0
        self._has_unflushed = isinstance(below, FileNode) and below.has_unflushed
        self._below = below
        self._size = below.size
        # Pieces that don't overlap, by their places: where each begins, and its bytes.
        self._starts: list[int] = []
        self._pieces: list[memoryview] = []

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(size)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_into(self, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        inside = max(0, min(len(view), self._below.size - offset))
        self._below.read_into(offset, view[:inside])
        view[inside:] = bytes(len(view) - inside)
        for index in range(self._first(offset), len(self._starts)):
            start, piece = self._starts[index], self._pieces[index]
            if start >= end:
                break
            low, high = max(start, offset), min(start + len(piece), end)
            view[low - offset : high - offset] = piece[low - start : high - start]

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.writes += 1
        self._has_unflushed = True
        for buffer in buffers:
            piece = memoryview(buffer).cast("B")
            if piece:
                self._cut_out(offset, offset + len(piece))
                index = bisect_left(self._starts, offset)
                self._starts.insert(index, offset)
                self._pieces.insert(index, piece)
                offset += len(piece)
                self.bytes_written += len(piece)
        self._size = max(self._size, offset)

    def truncate(self, size: int) -> None:
        if size < self._size:
            self._cut_out(size, self._size)
            zeros = memoryview(bytes(self._size - size))
            self._starts.append(size)
            self._pieces.append(zeros)
        self._size = size

    def flush(self) -> None:
        if self._has_unflushed and not self.cache.no_flush:
            self.barriers += 1
            self._has_unflushed = False

    def _first(self, offset: int) -> int:
        """The index of the first piece that ends behind an offset."""
        index = max(0, bisect_right(self._starts, offset) - 1)
        if index < len(self._starts) and self._starts[index] + len(self._pieces[index]) <= offset:
            index += 1
        return index

    def _cut_out(self, start: int, end: int) -> None:
        """Make room: nothing of the pieces between two places stays."""
        first = last = self._first(start)
        kept: list[tuple[int, memoryview]] = []
        while last < len(self._starts) and self._starts[last] < end:
            place, piece = self._starts[last], self._pieces[last]
            if place < start:
                kept.append((place, piece[: start - place]))
            if place + len(piece) > end:
                kept.append((end, piece[end - place :]))
            last += 1
        self._starts[first:last] = [place for place, _ in kept]
        self._pieces[first:last] = [piece for _, piece in kept]
