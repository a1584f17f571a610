"""The ``ram`` section: pages out and pages in.

A record is a be64 of page offset and flags, perhaps the block's name, and what the flags say.
Pages are treated a chunk (1 MiB) at a time, since all that is done for a single page costs as
much as copying it.
"""

from __future__ import annotations

import errno
import struct

from machine.memory import CHUNK_BITS, CHUNK_SIZE, DIRTY, PAGE_SIZE, TOUCHED
from machine.migration.qemufile import StreamError, StreamStalled
from machine.migration.xbzrle import decode_page
from machine.vmstate.registry import LiveState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from machine.memory import Memory, RamBlock
    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report
    from machine.vmstate.registry import Progress

VERSION = 4

ZERO = 0x02  # a byte follows: the whole page is made of it
MEM_SIZE = 0x04  # the list of blocks follows; the offset is the size of them all
PAGE = 0x08  # the page follows
EOS = 0x10  # the section's end
CONTINUE = 0x20  # the block is the last one named, so no name follows
XBZRLE = 0x40  # what changed in the page follows
HOOK = 0x80
COMPRESS = 0x100

HAS_PAGE = ZERO | PAGE | XBZRLE
FLAGS = PAGE_SIZE - 1
PAGES_PER_CHUNK = CHUNK_SIZE // PAGE_SIZE
ZERO_PAGE = bytes(PAGE_SIZE)
ZERO_RECORD_SIZE = 9
PAGE_RECORD_SIZE = 8 + PAGE_SIZE

PART_SIZE = 32 << 20  # bytes of stream, or of memory looked at, in one PART section
WINDOW = PAGES_PER_CHUNK * PAGE_RECORD_SIZE  # bytes that loading would like to see at once
LONGEST_RECORD = 8 + 1 + 255 + PAGE_SIZE

_HEADER = struct.Struct(">Q")


class HeaderTails:
    """The last bytes of the headers of the 4096 pages that share their upper five bytes."""

    __slots__ = ("_tails", "flags", "payload")

    def __init__(self, flags: int, payload: bytes = b"") -> None:
        self.flags = flags
        self.payload = payload
        self._tails: list[bytes] = []

    def of(self, offset: int, pages: int) -> list[bytes]:
        """Those for `pages` pages from `offset` on, all in the same chunk."""
        if not self._tails:  # made when first wanted: that takes longer than a start-up can spare
            self._tails = [
                (page << 12 | self.flags).to_bytes(3, "big") + self.payload for page in range(4096)
            ]
        first = (offset >> 12) & 0xFFF
        return self._tails[first : first + pages]


_ZERO_TAILS = HeaderTails(ZERO | CONTINUE, b"\0")
_PAGE_TAILS = HeaderTails(PAGE | CONTINUE)


def _upper_bytes(offset: int) -> bytes:
    return (offset >> 24).to_bytes(5, "big")


def zero_records(offset: int, pages: int) -> bytes:
    """The records of `pages` zero pages of one chunk, CONTINUE in all of them."""
    upper = _upper_bytes(offset)
    return upper + upper.join(_ZERO_TAILS.of(offset, pages))


class RamState(LiveState):
    """The guest's RAM blocks, saved and loaded."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        # Saving: what is still dirty is looked for from here on.
        self._blocks: list[RamBlock] = []
        self._turn = 0
        self._chunk = 0
        self._last_sent: RamBlock | None = None
        # Loading: the block of CONTINUE, which lasts from one section to the next.
        self._loading: RamBlock | None = None
        self._loaded = 0

    # --- saving

    def save_setup(self, file: QEMUFileWriter) -> None:
        self._blocks = self._memory.migration_blocks()
        self._turn = self._chunk = 0
        self._last_sent = None
        file.put_be64(self._memory.ram_size | MEM_SIZE)
        for block in self._blocks:
            block.make_all_dirty()
            file.put_counted_string(block.name.encode("utf-8", "surrogateescape"))
            file.put_be64(block.size)
        file.put_be64(EOS)

    def save_iterate(self, file: QEMUFileWriter) -> bool:
        is_clean = self._save_dirty(file)
        file.put_be64(EOS)
        return is_clean

    def save_complete(self, file: QEMUFileWriter) -> Iterator[Progress]:
        while not self._save_dirty(file) and not file.error:
            yield self.progress()
        file.put_be64(EOS)

    def progress(self) -> Progress:
        total = self._memory.ram_size
        return max(0, total - self.dirty_bytes), total

    @property
    def dirty_bytes(self) -> int:
        """What is still to be sent, in bytes of guest memory."""
        return sum([block.dirty_bytes for block in self._blocks])

    def _save_dirty(self, file: QEMUFileWriter) -> bool:
        """Send dirty chunks, round and round, until enough was sent or none is left."""
        end = file.transferred + PART_SIZE
        passed = 0
        chunks = sum([block.chunks for block in self._blocks])
        looked_at = 0
        while passed < chunks:
            block = self._blocks[self._turn]
            if self._chunk == block.chunks:
                self._turn = (self._turn + 1) % len(self._blocks)
                self._chunk = 0
                continue
            passed += 1
            note = block.notes[self._chunk]
            if note & DIRTY:
                block.notes[self._chunk] = note & ~DIRTY
                self._put_chunk(file, block, self._chunk, bool(note & TOUCHED))
                passed = 0
                looked_at += CHUNK_SIZE if note & TOUCHED else 0
            self._chunk += 1
            if file.transferred >= end or looked_at >= PART_SIZE or file.error:
                break
        else:
            return True
        return self.dirty_bytes == 0

    def _put_chunk(
        self, file: QEMUFileWriter, block: RamBlock, chunk: int, is_touched: bool
    ) -> None:
        offset = chunk << CHUNK_BITS
        pages = block.chunk_size(chunk) // PAGE_SIZE
        if is_touched:
            records = b"".join(_page_records(block, offset, pages))
            if len(records) == pages * ZERO_RECORD_SIZE:
                block.release(chunk)  # all zeros again
        else:
            records = zero_records(offset, pages)
        if block is not self._last_sent:
            self._last_sent = block
            (header,) = _HEADER.unpack_from(records)
            file.put_be64(header & ~CONTINUE)
            file.put_counted_string(block.name.encode("utf-8", "surrogateescape"))
            records = records[8:]
        # One piece: a vectored write of the 512 pieces isn't faster, and an image would have to
        # cut them at the clusters' borders.  And the guest may write on while this is pending.
        file.put_buffer(records)

    # --- loading

    def load(
        self, file: QEMUFileReader, version_id: int, report: Report
    ) -> Generator[Progress | None]:
        if version_id != VERSION:
            raise StreamError(errno.EINVAL)
        self._loaded = 0
        next_yield = PART_SIZE
        is_end = False
        while not is_end:
            file.mark()
            try:
                self._load_pages(file)
                file.mark()
                if file.end - file.position < LONGEST_RECORD:
                    file.fill(8, WINDOW)
                is_end = self._load_record(file, report)
                if file.error:
                    raise StreamError(file.error)
            except StreamStalled:
                file.rewind()
                yield None
            if self._loaded >= next_yield:
                next_yield = self._loaded + PART_SIZE
                yield self._loaded, self._memory.ram_size

    def _load_pages(self, file: QEMUFileReader) -> None:
        """Take the records of the current block that lie whole in the buffer, up to another kind.

        It takes only what can't fail; the rest is for `_load_record`.
        """
        block = self._loading
        if block is None:
            return
        buffer, position, end = file.buffer, file.position, file.end
        mapping, notes, size = block.mapping, block.notes, block.size
        start = position
        zeros = 0
        with memoryview(buffer) as view:
            while end - position >= ZERO_RECORD_SIZE:
                (header,) = _HEADER.unpack_from(buffer, position)
                flags = header & FLAGS
                offset = header - flags
                if offset >= size:
                    break
                if flags == PAGE | CONTINUE:
                    page = position + 8
                    position = page + PAGE_SIZE
                    if position > end:
                        position = page - 8
                        break
                    mapping[offset : offset + PAGE_SIZE] = view[page:position]
                    notes[offset >> CHUNK_BITS] = TOUCHED | DIRTY
                elif flags == ZERO | CONTINUE and not buffer[position + 8]:
                    pages = _zero_run(buffer, position, end, block, offset)
                    block.clear(offset, pages * PAGE_SIZE)
                    position += pages * ZERO_RECORD_SIZE
                    zeros += pages
                else:
                    break
        self._loaded += (position - start - zeros * ZERO_RECORD_SIZE) + zeros * PAGE_SIZE
        file.position = position

    def _load_record(self, file: QEMUFileReader, report: Report) -> bool:
        """Take one record of any kind.  Returns whether it was the section's end."""
        header = file.get_be64()
        flags = header & FLAGS
        offset = header - flags
        if flags & COMPRESS:
            report("Received an unexpected compressed page")
            raise StreamError(errno.EINVAL)
        block = None
        if flags & HAS_PAGE:
            block = self._find_page(file, offset, flags, report)
            self._loaded += PAGE_SIZE
        kind = flags & ~CONTINUE
        if kind == ZERO and block:
            fill = file.get_buffer(1)
            if fill == b"\0":
                block.clear(offset, PAGE_SIZE)
            elif fill:
                block.write(offset, fill * PAGE_SIZE)
        elif kind == PAGE and block:
            block.write(offset, file.get_buffer(PAGE_SIZE))
        elif kind == XBZRLE and block:
            page = decode_page(file, block.read(offset, PAGE_SIZE), report)
            if page is None:
                report(f"Failed to decompress XBZRLE page at {offset:x}")
                raise StreamError(errno.EINVAL)
            block.write(offset, page)
        elif kind == MEM_SIZE:
            self._load_block_list(file, offset, report)
        elif kind == EOS:
            return True
        else:
            if not kind & HOOK:
                report(f"Unknown combination of migration flags: {flags:#x}")
            raise StreamError(errno.EINVAL)
        return False

    def _find_page(self, file: QEMUFileReader, offset: int, flags: int, report: Report) -> RamBlock:
        """The block that a page record means."""
        if flags & CONTINUE:
            block = self._loading
            if block is None:
                report("Ack, bad migration stream!")
        else:
            name = _block_name(file)
            block = self._memory.block_named(name)
            if block is None:
                report(f"Can't find block {name}")
        if block is None or offset >= block.size:
            report(f"Illegal RAM offset {offset:x}")
            raise StreamError(errno.EINVAL)
        self._loading = block
        return block

    def _load_block_list(self, file: QEMUFileReader, total: int, report: Report) -> None:
        """Compare the stream's blocks with ours; ours may come in any order, or be missing."""
        while total:
            name = _block_name(file)
            length = file.get_be64()
            block = self._memory.block_named(name)
            if block is None:
                report(f'Unknown ramblock "{name}", cannot accept migration')
                raise StreamError(errno.EINVAL)
            rounded = (length + PAGE_SIZE - 1 & ~FLAGS) % (1 << 64)
            if rounded != block.size:
                report(f"Size mismatch: {name}: {rounded:#x} != {block.size:#x}: Invalid argument")
                raise StreamError(errno.EINVAL)
            total = (total - length) % (1 << 64)


def _block_name(file: QEMUFileReader) -> str:
    return file.get_counted_string().partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _page_records(block: RamBlock, offset: int, pages: int) -> list[bytes | memoryview]:
    """The records of `pages` pages of one chunk in pieces, CONTINUE in all of them."""
    end = offset + pages * PAGE_SIZE
    upper = _upper_bytes(offset)
    page_tails = _PAGE_TAILS.of(offset, pages)
    mapping, view = block.mapping, block.view
    first_bytes = mapping[offset:end:PAGE_SIZE]
    pieces: list[bytes | memoryview]
    if 0 not in first_bytes:
        pieces = [upper] * (3 * pages)
        pieces[1::3] = page_tails
        pieces[2::3] = [view[page : page + PAGE_SIZE] for page in range(offset, end, PAGE_SIZE)]
        return pieces
    zero_tails = _ZERO_TAILS.of(offset, pages)
    pieces = []
    for index, first_byte in enumerate(first_bytes):
        page = offset + index * PAGE_SIZE
        if first_byte or mapping[page : page + PAGE_SIZE] != ZERO_PAGE:
            pieces += (upper, page_tails[index], view[page : page + PAGE_SIZE])
        else:
            pieces += (upper, zero_tails[index])
    return pieces


def _zero_run(buffer: bytearray, position: int, end: int, block: RamBlock, offset: int) -> int:
    """How many zero records from `position` on can be taken together: a chunk's, or one."""
    chunk = offset >> CHUNK_BITS
    pages = (block.chunk_size(chunk) - offset % CHUNK_SIZE) // PAGE_SIZE
    last = position + (pages - 1) * ZERO_RECORD_SIZE
    if last + ZERO_RECORD_SIZE <= end:
        # Look at the last one first: it tells cheaply whether comparing all is worth it.
        (header,) = _HEADER.unpack_from(buffer, last)
        if header == offset + (pages - 1) * PAGE_SIZE | ZERO | CONTINUE and buffer.startswith(
            zero_records(offset, pages), position
        ):
            return pages
    return 1
