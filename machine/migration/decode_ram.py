"""The body of a ``ram`` section, looked through record by record.

What the pages hold isn't kept: a run of records says where it lies, so that a gigabyte of memory
takes no more room than a few numbers for each block.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE
from machine.migration.decode_source import WINDOW
from machine.migration.ram_records import (
    COMPRESS,
    CONTINUE,
    EOS,
    FLAGS,
    HEADER,
    LONGEST_RECORD,
    MEM_SIZE,
    PAGE,
    PAGE_RECORD_SIZE,
    XBZRLE,
    ZERO,
    ZERO_RECORD_SIZE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.migration.decode_source import Cursor, Source
    from machine.migration.pages import SavedPages

MOST_BLOCKS = 65536
LARGEST_COMPRESSED_PAGE = 2 * PAGE_SIZE  # bytes; zlib never makes it that long


class RamBlockEntry:
    """A block in the list that the section begins with.

    Attributes:
        size: bytes.
        address: where the guest sees it; only with the capability x-ignore-shared.
    """

    __slots__ = ("address", "name", "size")

    def __init__(self, name: bytes, size: int, address: int | None) -> None:
        self.name = name
        self.size = size
        self.address = address


class Run:
    """Records of one kind, one page after the other, without anything between them.

    Attributes:
        flags: of all of them; only the first one may lack CONTINUE.
        block: the name in the first record, None if it has none.
        offset: of the first page.
        pages: how many.
        position: in the source, where what follows the (first) header and name lies.
        size: of what follows each header, bytes.
        payload: that, where it is the same for all or short; None: it is to be read.
        entries: the list of blocks of MEM_SIZE.
    """

    __slots__ = ("block", "entries", "flags", "offset", "pages", "payload", "position", "size")

    def __init__(
        self,
        flags: int,
        offset: int,
        *,
        block: bytes | None = None,
        pages: int = 1,
        position: int = 0,
        size: int = 0,
        payload: bytes | None = b"",
        entries: list[RamBlockEntry] | None = None,
    ) -> None:
        self.flags = flags
        self.offset = offset
        self.block = block
        self.pages = pages
        self.position = position
        self.size = size
        self.payload = payload
        self.entries = entries


class BlockCounts:
    """How many pages of a block a section has, by kind."""

    KINDS = ("zero", "filled", "data", "changed", "compressed")
    __slots__ = KINDS

    def __init__(self) -> None:
        self.zero = 0
        self.filled = 0  # of one byte that isn't zero
        self.data = 0
        self.changed = 0  # XBZRLE
        self.compressed = 0

    def add(self, run: Run) -> None:
        kind = run.flags & ~CONTINUE
        if kind == PAGE:
            self.data += run.pages
        elif kind == XBZRLE:
            self.changed += run.pages
        elif kind == COMPRESS:
            self.compressed += run.pages
        elif run.payload == b"\0":
            self.zero += run.pages
        else:
            self.filled += run.pages

    def merge(self, other: BlockCounts) -> None:
        """Add those of another section."""
        for kind in self.KINDS:
            setattr(self, kind, getattr(self, kind) + getattr(other, kind))


class RamBody:
    """What a section of RAM has in it.

    Attributes:
        entries: the list of blocks, None in sections without one.
        total: the size that goes with the list, bytes.
        counts: pages by block, in the order in which the blocks came.
    """

    __slots__ = ("counts", "entries", "total")

    def __init__(self) -> None:
        self.entries: list[RamBlockEntry] | None = None
        self.total = 0
        self.counts: dict[bytes, BlockCounts] = {}


class RamDecoder:
    """Looks through the RAM sections of one stream, one after the other.

    The block of a record without a name is the last one named, even sections ago.

    Args:
        pages: is told where each page is.
    """

    def __init__(self, *, has_addresses: bool = False, pages: SavedPages | None = None) -> None:
        self._has_addresses = has_addresses
        self._pages = pages
        self._block = b""

    def decode(self, cursor: Cursor) -> RamBody:
        """Look through one body, up to its end.

        Raises:
            QemuError: it is damaged.
        """
        body = RamBody()
        for run in read_runs(cursor, has_addresses=self._has_addresses):
            if run.entries is not None:
                body.entries = run.entries
                body.total = run.offset
            elif run.flags & ~CONTINUE != EOS:
                if run.block is not None:
                    self._block = run.block
                counts = body.counts.get(self._block)
                if counts is None:
                    if len(body.counts) == MOST_BLOCKS:
                        raise QemuError("The stream has too many RAM blocks")
                    counts = body.counts[self._block] = BlockCounts()
                counts.add(run)
                if self._pages is not None:
                    self._pages.note(self._block, run)
        return body


def read_runs(cursor: Cursor, *, has_addresses: bool) -> Iterator[Run]:
    """The records of a section's body, up to and with EOS.

    Raises:
        QemuError: the body is damaged.
    """
    what = "RAM"
    while True:
        cursor.have(LONGEST_RECORD, WINDOW)
        header = cursor.number(8, what)
        flags = header & FLAGS
        offset = header - flags
        kind = flags & ~CONTINUE
        if kind == EOS:
            yield Run(flags, offset)
            return
        if kind == MEM_SIZE:
            entries = _read_entries(cursor, offset, has_addresses)
            yield Run(flags, offset, entries=entries)
            continue
        if kind not in (ZERO, PAGE, XBZRLE, COMPRESS):
            raise QemuError(f"Unknown combination of migration flags: {flags:#x}")
        block = None if flags & CONTINUE else cursor.counted(what)
        position = cursor.position
        if kind == ZERO:
            fill = cursor.take(1, what)
            pages = 1 + _count_more(cursor, header | CONTINUE, ZERO_RECORD_SIZE, fill)
            yield Run(flags, offset, block=block, pages=pages, size=1, payload=fill)
        elif kind == PAGE:
            cursor.skip(PAGE_SIZE, what)
            pages = 1 + _count_more(cursor, header | CONTINUE, PAGE_RECORD_SIZE, b"")
            yield Run(
                flags,
                offset,
                block=block,
                pages=pages,
                position=position,
                size=PAGE_SIZE,
                payload=None,
            )
        else:
            yield Run(flags, offset, block=block, payload=_read_changes(cursor, kind))


def _count_more(cursor: Cursor, header: int, record_size: int, fill: bytes) -> int:
    """How many records of the same kind follow in the buffer, each for the next page; taken."""
    buffer = cursor.buffer
    position = start = cursor.position - cursor.base
    last = len(buffer) - record_size
    unpack = HEADER.unpack_from
    while position <= last:
        header += PAGE_SIZE
        if unpack(buffer, position)[0] != header:
            break
        if fill and buffer[position + 8] != fill[0]:
            break
        position += record_size
    cursor.position += position - start
    return (position - start) // record_size


def _read_entries(cursor: Cursor, total: int, has_addresses: bool) -> list[RamBlockEntry]:
    """The list of blocks: as many as it takes to make up the total size."""
    entries: list[RamBlockEntry] = []
    while total:
        if len(entries) == MOST_BLOCKS:
            raise QemuError("The stream has too many RAM blocks")
        name = cursor.counted("the list of RAM blocks")
        size = cursor.number(8, "the list of RAM blocks")
        address = cursor.number(8, "the list of RAM blocks") if has_addresses else None
        entries.append(RamBlockEntry(name, size, address))
        total = (total - size) % (1 << 64)
    return entries


def _read_changes(cursor: Cursor, kind: int) -> bytes:
    """What follows the header of a page that isn't whole: with its length."""
    if kind == XBZRLE:
        head = cursor.take(3, "RAM")
        size, limit = int.from_bytes(head[1:], "big"), PAGE_SIZE
    else:
        head = cursor.take(4, "RAM")
        size, limit = int.from_bytes(head, "big"), LARGEST_COMPRESSED_PAGE
    if size > limit:
        raise QemuError(f"A page of {size} bytes is too long")
    return head + cursor.take(size, "RAM")


# --- back to bytes


def encode_runs(runs: Iterator[Run], source: Source) -> Iterator[bytes]:
    """The bytes that the runs were read from, in pieces of bounded size."""
    for run in runs:
        header = run.offset | run.flags
        if run.entries is not None:
            yield HEADER.pack(header)
            for entry in run.entries:
                yield bytes([len(entry.name)]) + entry.name + HEADER.pack(entry.size)
                if entry.address is not None:
                    yield HEADER.pack(entry.address)
            continue
        pieces = [HEADER.pack(header)]
        if run.block is not None:
            pieces.append(bytes([len(run.block)]) + run.block)
        data, step = run.payload, 0
        if data is None:
            step = 8 + run.size
            data = source.read(run.position, run.pages * step - 8)
        position = 0
        for page in range(run.pages):
            if page:
                pieces.append(HEADER.pack((header | CONTINUE) + page * PAGE_SIZE))
            pieces.append(data[position : position + run.size] if step else data)
            position += step
        yield b"".join(pieces)
