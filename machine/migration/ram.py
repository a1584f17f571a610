"""The ``ram`` section: which pages go out and when, and pages in.

What is to be sent is a map of one byte a page.  What a guest writes that runs on is in the blocks'
dirty logs; each `sync` moves them into the map, and a pass over the memory ends.
"""

from __future__ import annotations

import errno
import time

from machine.memory import CHUNK_BITS, CHUNK_SIZE, PAGE_BITS, PAGE_SIZE
from machine.migration.dirty_log import DirtyLog
from machine.migration.qemufile import StreamError, StreamStalled
from machine.migration.ram_records import (
    COMPRESS,
    CONTINUE,
    EOS,
    FLAGS,
    HEADER,
    HOOK,
    LONGEST_RECORD,
    MEM_SIZE,
    PAGE,
    PAGE_RECORD_SIZE,
    PAGES_PER_CHUNK,
    XBZRLE,
    ZERO,
    ZERO_RECORD_SIZE,
    named,
    page_records,
    zero_records,
)
from machine.migration.statistics import RamStatistics
from machine.vmstate.registry import LiveState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from machine.memory import Memory, RamBlock
    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Report
    from machine.vmstate.registry import Progress

VERSION = 4
HAS_PAGE = ZERO | PAGE | XBZRLE | COMPRESS

PART_SIZE = 4 << 20  # bytes of stream, or of memory looked at, in one PART section
WINDOW = PAGES_PER_CHUNK * PAGE_RECORD_SIZE  # bytes that loading would like to see at once
FIRST_WINDOW = 64 << 10  # at first: a stream of zeros is short
RATE_PERIOD_NS = 1_000_000_000  # over which the rate of dirty pages is measured, at least


class RamState(LiveState):
    """The guest's RAM blocks, saved and loaded.

    Args:
        memory: whose blocks.
        is_running: whether the guest may be writing; what is sent is counted by that.
        now_ns: the host's clock.
        compression: how hard pages are compressed, and that they may come so; None for not.
        begin_pass: told the number of each pass over the memory, from 1 on.

    Attributes:
        statistics: of the saving under way, or the last one.
    """

    def __init__(
        self,
        memory: Memory,
        is_running: Callable[[], bool] = lambda: False,
        now_ns: Callable[[], int] = time.monotonic_ns,
        compression: Callable[[], int | None] = lambda: None,
        begin_pass: Callable[[int], object] = lambda number: None,
    ) -> None:
        self._memory = memory
        self._is_running = is_running
        self._now_ns = now_ns
        self._compression = compression
        self._begin_pass = begin_pass
        self.statistics = RamStatistics()
        # Saving: the maps of pages that are to be sent, and where the pass has come to.
        self._blocks: list[RamBlock] = []
        self._logs: list[DirtyLog] = []
        self._unsent: list[bytearray] = []
        self._unsent_pages = 0
        self._turn = 0
        self._page = 0
        self._last_sent: RamBlock | None = None
        self._rate_since_ns = 0
        self._written_pages = 0  # since then
        # Loading: the block of CONTINUE, which lasts from one section to the next.
        self._loading: RamBlock | None = None
        self._loaded = 0

    # --- saving

    def save_setup(self, file: QEMUFileWriter) -> None:
        self.statistics = RamStatistics()
        self._count_pass()
        self._blocks = self._memory.migration_blocks()
        self._logs = [DirtyLog(block) for block in self._blocks]
        self._unsent = [bytearray(b"\1") * block.pages for block in self._blocks]
        self._unsent_pages = sum(map(len, self._unsent))
        self._turn = self._page = 0
        self._last_sent = None
        self._rate_since_ns = self._now_ns()
        self._written_pages = 0
        file.put_be64(self._memory.ram_size | MEM_SIZE)
        for block in self._blocks:
            file.put_counted_string(block.name.encode("utf-8", "surrogateescape"))
            file.put_be64(block.size)
        file.put_be64(EOS)

    def _count_pass(self) -> None:
        self.statistics.dirty_sync_count += 1
        self._begin_pass(self.statistics.dirty_sync_count)

    def save_pending(self) -> int:
        return self._unsent_pages << PAGE_BITS

    def sync(self) -> None:
        statistics = self.statistics
        self._count_pass()
        for log, unsent in zip(self._logs, self._unsent, strict=True):
            self._written_pages += log.move_into(unsent)
        self._unsent_pages = sum([unsent.count(1) for unsent in self._unsent])
        passed = self._now_ns() - self._rate_since_ns
        if passed > RATE_PERIOD_NS:
            statistics.dirty_pages_rate = self._written_pages * RATE_PERIOD_NS // passed
            self._rate_since_ns += passed
            self._written_pages = 0

    def save_iterate(self, file: QEMUFileWriter) -> bool:
        self._save_part(file, until=file.rate_limit_reached)
        self._put_end(file)
        return not self._unsent_pages

    def save_complete(self, file: QEMUFileWriter) -> Iterator[Progress]:
        self.sync()
        while self._unsent_pages and not file.error:
            self._save_part(file, until=lambda: file.is_blocked)
            yield self.progress()
        file.put_be64(EOS)

    def save_cleanup(self) -> None:
        for log in self._logs:
            log.stop()
        self._logs = []
        self._unsent = []

    def progress(self) -> Progress:
        total = self._memory.ram_size
        return max(0, total - self.save_pending()), total

    def _put_end(self, file: QEMUFileWriter) -> None:
        file.put_be64(EOS)
        self._count(8)

    def _count(self, size: int) -> None:
        if self._is_running():
            self.statistics.precopy_bytes += size
        else:
            self.statistics.downtime_bytes += size

    def _save_part(self, file: QEMUFileWriter, *, until: Callable[[], bool]) -> None:
        """Send unsent pages until that is enough or none is left; some in any case."""
        end = file.transferred + PART_SIZE
        looked_at = 0
        while self._unsent_pages:
            unsent = self._unsent[self._turn]
            first = unsent.find(1, self._page)
            if first < 0:
                self._turn = (self._turn + 1) % len(self._unsent)
                self._page = 0
                continue
            border = min(first - first % PAGES_PER_CHUNK + PAGES_PER_CHUNK, len(unsent))
            if (room := file.rate_limit.room) is not None:
                border = min(border, first + room // PAGE_SIZE + 1)
            last = unsent.find(0, first, border)
            self._page = border if last < 0 else last
            pages = self._page - first
            unsent[first : self._page] = bytes(pages)
            self._unsent_pages -= pages
            block = self._blocks[self._turn]
            if block.is_touched(first // PAGES_PER_CHUNK):
                looked_at += pages * PAGE_SIZE
            self._put_pages(file, block, first << PAGE_BITS, pages)
            if file.transferred >= end or looked_at >= PART_SIZE or file.error or until():
                break

    def _put_pages(self, file: QEMUFileWriter, block: RamBlock, offset: int, pages: int) -> None:
        """Send pages of one chunk."""
        pieces: list[bytes | memoryview]
        if block.is_touched(offset >> CHUNK_BITS):
            pieces, zeros, size = self._records(block, offset, pages)
        else:
            pieces, zeros, size = [zero_records(offset, pages)], pages, pages * ZERO_RECORD_SIZE
        if block is not self._last_sent:
            self._last_sent = block
            before = len(pieces[0])
            pieces = named(pieces, block.name)
            size += len(pieces[0]) - before
        file.put_vector(pieces, size)
        self.statistics.duplicate += zeros
        self._count(size)

    def _records(
        self, block: RamBlock, offset: int, pages: int
    ) -> tuple[list[bytes | memoryview], int, int]:
        """Records in pieces, how many are of zero pages, and how long they are together."""
        level = self._compression()
        if level is None:
            pieces, normal = page_records(block, offset, pages)
            self.statistics.normal += normal
            zeros = pages - normal
            size = zeros * ZERO_RECORD_SIZE + normal * PAGE_RECORD_SIZE
        else:
            from machine.migration.compression import compressed_records

            pieces, compressed, data_size = compressed_records(block, offset, pages, level)
            self.statistics.count_compressed(compressed, data_size)
            zeros = pages - compressed
            size = sum(map(len, pieces))
        chunk = offset >> CHUNK_BITS
        if zeros * PAGE_SIZE == block.chunk_size(chunk):
            block.release(chunk)  # all zeros again
        return pieces, zeros, size

    # --- loading

    def load(
        self, file: QEMUFileReader, version_id: int, report: Report
    ) -> Generator[Progress | None]:
        if version_id != VERSION:
            raise StreamError(errno.EINVAL)
        self._loaded = 0
        next_yield = PART_SIZE
        window = FIRST_WINDOW
        is_end = False
        while not is_end:
            file.mark()
            try:
                self._load_pages(file)
                file.mark()
                if file.end - file.position < LONGEST_RECORD:
                    file.fill(8, window)
                    window = min(2 * window, WINDOW)
                is_end = self._load_record(file, report)
                if file.error:
                    raise StreamError(file.error)
            except StreamStalled:
                file.rewind()
                yield None
            if self._loaded >= next_yield:
                next_yield = self._loaded + PART_SIZE
                yield self._loaded, self._memory.ram_size
        for block in self._memory.blocks:
            block.tell_written(0, block.size)

    def _load_pages(self, file: QEMUFileReader) -> None:
        """Take the records of the current block that lie whole in the buffer, up to another kind.

        It takes only what can't fail; the rest is for `_load_record`.
        """
        block = self._loading
        if block is None:
            return
        buffer, position, end = file.buffer, file.position, file.end
        mapping, touched, size = block.mapping, block.touched, block.size
        start = position
        zeros = 0
        with memoryview(buffer) as view:
            while end - position >= ZERO_RECORD_SIZE:
                (header,) = HEADER.unpack_from(buffer, position)
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
                    touched[offset >> CHUNK_BITS] = 1
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
        if flags & COMPRESS and self._compression() is None:
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
            from machine.migration.xbzrle import decode_page

            page = decode_page(file, block.read(offset, PAGE_SIZE), report)
            if page is None:
                report(f"Failed to decompress XBZRLE page at {offset:x}")
                raise StreamError(errno.EINVAL)
            block.write(offset, page)
        elif kind == COMPRESS and block:
            from machine.migration.compression import read_compressed

            block.write(offset, read_compressed(file, report))
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


def _zero_run(buffer: bytearray, position: int, end: int, block: RamBlock, offset: int) -> int:
    """How many zero records from `position` on can be taken together: a chunk's, or one."""
    chunk = offset >> CHUNK_BITS
    pages = (block.chunk_size(chunk) - offset % CHUNK_SIZE) // PAGE_SIZE
    last = position + (pages - 1) * ZERO_RECORD_SIZE
    if last + ZERO_RECORD_SIZE <= end:
        # Look at the last one first: it tells cheaply whether comparing all is worth it.
        (header,) = HEADER.unpack_from(buffer, last)
        if header == offset + (pages - 1) * PAGE_SIZE | ZERO | CONTINUE and buffer.startswith(
            zero_records(offset, pages), position
        ):
            return pages
    return 1
