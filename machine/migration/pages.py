"""Pages of memory, saved or present, and which of them differ."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from blockdev.errors import QemuError
from machine.memory import CHUNK_BITS, PAGE_BITS, PAGE_SIZE
from machine.migration.ram_records import CONTINUE, PAGE, PAGE_RECORD_SIZE, ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from machine.memory import Memory
    from machine.migration.decode_ram import Run
    from machine.migration.decode_source import Source

_AT_ONCE = 256  # pages that are compared together
_DATA = -1  # pages of any bytes; otherwise the byte that fills them


class Piece:
    """Pages in a row, of one kind.

    Attributes:
        first, end: page numbers.
        fill: the byte that fills them, or `_DATA`.
        position: where the first one's bytes are in the source.
    """

    __slots__ = ("end", "fill", "first", "position")

    def __init__(self, first: int, end: int, fill: int, position: int = 0) -> None:
        self.first = first
        self.end = end
        self.fill = fill
        self.position = position


class Pages:
    """The content of RAM blocks; what no piece says of a block is zero.

    Attributes:
        step: bytes from one page to the next where `read` gives several.
    """

    step = PAGE_SIZE

    @property
    def names(self) -> Sequence[str]:
        """The blocks."""
        raise NotImplementedError

    def pieces(self, name: str) -> Sequence[Piece]:
        """What is in a block, in order and without overlaps."""
        raise NotImplementedError

    def read(self, name: str, piece: Piece, first: int, count: int) -> bytes | bytearray:
        """Pages of a piece of data, `step` bytes from the start of one to that of the next.

        What it gives is good up to the next time.
        """
        raise NotImplementedError


class SavedPages(Pages):
    """Those of a stream; where it has a page twice, the later one counts."""

    step = PAGE_RECORD_SIZE

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: dict[str, list[Piece]] = {}
        self._buffer = bytearray()  # made once: the kernel clears each new one

    @property
    def names(self) -> Sequence[str]:
        return list(self._blocks)

    def pieces(self, name: str) -> Sequence[Piece]:
        return self._blocks.get(name, ())

    def note(self, block: bytes, run: Run) -> None:
        """Take a run of records, as the stream is looked through.

        Raises:
            QemuError: they say only what has changed in a page.
        """
        kind = run.flags & ~CONTINUE
        if kind not in (ZERO, PAGE):
            raise QemuError("The pages of the state are packed, so they can't be compared")
        fill = run.payload[0] if kind == ZERO and run.payload else _DATA
        first = run.offset >> PAGE_BITS
        new = Piece(first, first + run.pages, fill, run.position)
        pieces = self._blocks.setdefault(block.decode("utf-8", "surrogateescape"), [])
        if pieces and new.first < pieces[-1].end:
            low = bisect_right(pieces, new.first, key=_end)
            high = bisect_left(pieces, new.end, key=_first)
            left, right = _beside(pieces[low:high], new)
            pieces[low:high] = [*left, new, *right]
        else:
            pieces.append(new)

    def read(self, name: str, piece: Piece, first: int, count: int) -> bytearray:
        offset = piece.position + (first - piece.first) * PAGE_RECORD_SIZE
        size = (count - 1) * PAGE_RECORD_SIZE + PAGE_SIZE
        if len(self._buffer) != size:
            self._buffer = bytearray(size)
        self._source.read_into(offset, memoryview(self._buffer))
        return self._buffer


def _beside(pieces: Sequence[Piece], new: Piece) -> tuple[list[Piece], list[Piece]]:
    """What is left of pieces that another one touches: before it, and behind it."""
    left, right = [], []
    if pieces and pieces[0].first < new.first:
        old = pieces[0]
        left.append(Piece(old.first, new.first, old.fill, old.position))
    if pieces and pieces[-1].end > new.end:
        old = pieces[-1]
        position = old.position + (new.end - old.first) * PAGE_RECORD_SIZE
        right.append(Piece(new.end, old.end, old.fill, position))
    return left, right


class PresentPages(Pages):
    """Those of a machine's memory."""

    def __init__(self, memory: Memory) -> None:
        self._blocks = {block.name: block for block in memory.blocks}

    @property
    def names(self) -> Sequence[str]:
        return list(self._blocks)

    def pieces(self, name: str) -> Sequence[Piece]:
        block = self._blocks.get(name)
        if block is None:
            return ()
        bits = CHUNK_BITS - PAGE_BITS
        return [
            Piece(chunk << bits, (chunk << bits) + (block.chunk_size(chunk) >> PAGE_BITS), _DATA)
            for chunk in range(block.chunks)
            if block.is_touched(chunk)
        ]

    def read(self, name: str, piece: Piece, first: int, count: int) -> bytes:
        return self._blocks[name].read(first << PAGE_BITS, count << PAGE_BITS)


# --- comparing


def differing_pages(a: Pages, b: Pages) -> Iterator[tuple[str, int]]:
    """The pages that aren't the same in both: block and page number, in order."""
    for name in dict.fromkeys([*a.names, *b.names]):
        for first, end, in_a, in_b in _together(a.pieces(name), b.pieces(name)):
            if in_a.fill == in_b.fill != _DATA:
                continue
            for start in range(first, end, _AT_ONCE):
                count = min(_AT_ONCE, end - start)
                for page in _differing(
                    _Window(a, name, in_a, start, count), _Window(b, name, in_b, start, count)
                ):
                    yield name, page


def page_bytes(pages: Pages, name: str, page: int) -> bytes:
    """What one page holds."""
    for piece in pages.pieces(name):
        if piece.first <= page < piece.end:
            return bytes(_Window(pages, name, piece, page, 1).page(0))
    return bytes(PAGE_SIZE)


class _Window:
    """Some pages of one piece, read."""

    def __init__(self, pages: Pages, name: str, piece: Piece, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.data: bytes | bytearray
        if piece.fill == _DATA:
            self.step = pages.step
            self.data = pages.read(name, piece, first, count)
        else:
            self.step = 0
            self.data = bytes([piece.fill]) * PAGE_SIZE

    def page(self, index: int) -> bytes | bytearray:
        start = index * self.step
        return self.data[start : start + PAGE_SIZE]


def _differing(a: _Window, b: _Window) -> Iterator[int]:
    # Between the pages of a stream stand their headers, which are the same for the same pages.
    if a.step == b.step and a.data == b.data:
        return
    for index in range(a.count):
        if a.page(index) != b.page(index):
            yield a.first + index


def _together(a: Sequence[Piece], b: Sequence[Piece]) -> Iterator[tuple[int, int, Piece, Piece]]:
    """Rows of pages that lie in one piece of each; where one has none, it is zero there."""
    borders = sorted({border for piece in (*a, *b) for border in (piece.first, piece.end)})
    next_a = next_b = 0
    for first, end in pairwise(borders):
        while next_a < len(a) and a[next_a].end <= first:
            next_a += 1
        while next_b < len(b) and b[next_b].end <= first:
            next_b += 1
        yield first, end, _piece_at(a, next_a, first, end), _piece_at(b, next_b, first, end)


def _piece_at(pieces: Sequence[Piece], index: int, first: int, end: int) -> Piece:
    if index < len(pieces) and pieces[index].first <= first:
        return pieces[index]
    return Piece(first, end, 0)


def _first(piece: Piece) -> int:
    return piece.first


def _end(piece: Piece) -> int:
    return piece.end
