"""Guest memory: RAM blocks, and the physical address space they are mapped into."""

from __future__ import annotations

import mmap
from bisect import bisect_right

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.dirty_bitmap import DirtyBitmap

PAGE_SIZE = 4096
PAGE_BITS = 12
CHUNK_SIZE = 1 << 20  # what is noted as touched, bytes
CHUNK_BITS = 20


class MemoryFault(QemuError):
    """Nothing is mapped at `address`."""

    def __init__(self, address: int) -> None:
        super().__init__("Cannot access memory")
        self.address = address


class RamBlock:
    """QEMU's RAMBlock: one anonymous mapping, and a note of which chunks were ever touched.

    An untouched chunk is zero: it takes no memory, and nobody needs to look into it.

    Attributes:
        name: how the migration stream calls it.
        size: bytes, a multiple of `PAGE_SIZE`, not 0.
        mapping: the memory itself.  Who writes into it without `write` calls `touch`.
        view: the same, to read without a copy.
        touched: one byte for each chunk, 1 where something else than zeros may be.
        dirty_bitmaps: each is told what is written, as on a block node.
    """

    __slots__ = ("dirty_bitmaps", "mapping", "name", "size", "touched", "view")

    def __init__(self, name: str, size: int) -> None:
        assert size > 0
        assert size % PAGE_SIZE == 0
        self.name = name
        self.size = size
        try:
            self.mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as failure:
            raise QemuError(
                f"cannot set up guest memory '{name}': {failure.strerror}", failure.errno or 0
            ) from failure
        # No MADV_HUGEPAGE: the first touch is faster at best and several times slower at worst,
        # when the kernel has to make room for huge pages first.
        self.view = memoryview(self.mapping).toreadonly()
        self.touched = bytearray((size + CHUNK_SIZE - 1) >> CHUNK_BITS)
        self.dirty_bitmaps: list[DirtyBitmap] = []

    def __repr__(self) -> str:
        return f"<RamBlock {self.name} {self.size >> 10} KiB>"

    @property
    def chunks(self) -> int:
        """How many chunks there are; the last may be a short one."""
        return len(self.touched)

    def chunk_size(self, chunk: int) -> int:
        return min(CHUNK_SIZE, self.size - (chunk << CHUNK_BITS))

    def read(self, offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= self.size
        return self.mapping[offset : offset + size]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        end = offset + len(data)
        assert 0 <= offset <= end <= self.size
        self.mapping[offset:end] = data
        self.touch(offset, len(data))

    def touch(self, offset: int, size: int) -> None:
        """Note that these bytes were written."""
        if size:
            _mark(self.touched, offset >> CHUNK_BITS, (offset + size - 1) >> CHUNK_BITS)
            self.tell_written(offset, size)

    def tell_written(self, offset: int, size: int) -> None:
        """Tell the bitmaps what was written by somebody who sees to `touched` himself."""
        for bitmap in self.dirty_bitmaps:
            bitmap.mark(offset, size)

    def host_address(self, offset: int) -> int:
        """Where a byte lies in this process."""
        import ctypes

        return ctypes.addressof(ctypes.c_char.from_buffer(self.mapping)) + offset

    def host_physical_address(self, offset: int) -> int:
        """Where a byte lies in the host's memory; only root may know.

        Raises:
            QemuError: the kernel doesn't tell.
        """
        self.mapping[offset] = self.mapping[offset]  # it has a page of its own from now on
        place = self.host_address(offset)
        try:
            with open("/proc/self/pagemap", "rb", buffering=0) as pages:
                pages.seek(place // PAGE_SIZE * 8)
                entry = int.from_bytes(pages.read(8), "little")
        except OSError as failure:
            raise QemuError(f"Cannot open /proc/self/pagemap: {failure.strerror}") from failure
        if not entry >> 63:
            raise QemuError("Page not present")
        return (entry & (1 << 55) - 1) * PAGE_SIZE + place % PAGE_SIZE

    def is_touched(self, chunk: int) -> bool:
        return bool(self.touched[chunk])

    def clear(self, offset: int, size: int) -> None:
        """Make a part of one chunk zero, without making memory of what isn't any yet.

        Args:
            offset: bytes, a multiple of `PAGE_SIZE`.
            size: bytes, a multiple of `PAGE_SIZE`, not past the chunk's end.
        """
        chunk = offset >> CHUNK_BITS
        if not self.touched[chunk]:
            return
        if size == self.chunk_size(chunk):
            self.release(chunk)
        elif self.mapping[offset : offset + size] != bytes(size):
            self.mapping[offset : offset + size] = bytes(size)

    def release(self, chunk: int) -> None:
        """Give a chunk's memory to the kernel; it reads as zeros then."""
        size = self.chunk_size(chunk)
        self.mapping.madvise(mmap.MADV_DONTNEED, chunk << CHUNK_BITS, size)
        self.touched[chunk] = 0

    @property
    def pages(self) -> int:
        return self.size >> PAGE_BITS


def _mark(marks: bytearray, first: int, last: int) -> None:
    if first == last:
        marks[first] = 1
    else:
        marks[first : last + 1] = b"\1" * (last + 1 - first)


class Window:
    """What answers in memory's stead: the registers or the memory of a device."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from the window's start on."""
        raise NotImplementedError

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError


class Region:
    """A part of the physical address space that a part of a RAM block, or a window, answers for."""

    __slots__ = ("base", "block", "offset", "readonly", "size")

    def __init__(
        self, *, base: int, size: int, block: RamBlock | Window, offset: int, readonly: bool
    ) -> None:
        self.base = base
        self.size = size
        self.block = block
        self.offset = offset
        self.readonly = readonly

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size

    def part(self, base: int, end: int) -> Region:
        """The part between two addresses."""
        return Region(
            base=base,
            size=end - base,
            block=self.block,
            offset=self.offset + base - self.base,
            readonly=self.readonly,
        )


class Memory:
    """The physical address space: regions that don't overlap, in the order of their addresses."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.blocks: list[RamBlock] = []

    @property
    def ram_size(self) -> int:
        """Bytes of all RAM blocks together."""
        return sum(block.size for block in self.blocks)

    def map(
        self,
        base: int,
        block: RamBlock,
        offset: int = 0,
        size: int | None = None,
        readonly: bool = False,
    ) -> None:
        """Let `size` bytes of a block, from `offset` on, answer from address `base` on.

        What was mapped there before is hidden.  A block may be mapped several times.  Writes to
        what is mapped `readonly` are lost, as a bus loses them.
        """
        if size is None:
            size = block.size - offset
        assert size > 0
        assert 0 <= offset <= block.size - size
        self._put(Region(base=base, size=size, block=block, offset=offset, readonly=readonly))
        if block not in self.blocks:
            self.blocks.append(block)

    def map_window(self, base: int, size: int, window: Window) -> None:
        """Let a device answer from address `base` on; what was mapped there before is hidden."""
        self._put(Region(base=base, size=size, block=window, offset=0, readonly=False))

    def _put(self, new: Region) -> None:
        regions = [new]
        for old in self.regions:
            if old.base < new.base:
                regions.append(old.part(old.base, min(old.end, new.base)))
            if old.end > new.end:
                regions.append(old.part(max(old.base, new.end), old.end))
        self.regions = sorted(regions, key=_base)

    def add_unmapped(self, block: RamBlock) -> None:
        """Own a block that no address reaches (a display's memory, say); it is saved too."""
        self.blocks.append(block)

    def find(self, address: int) -> Region | None:
        """The region an address lies in."""
        index = bisect_right(self.regions, address, key=_base) - 1
        if index >= 0 and address < self.regions[index].end:
            return self.regions[index]
        return None

    def parts(self, address: int, size: int) -> Iterator[Region]:
        """What answers for `size` bytes from `address` on, piece by piece.

        Raises:
            MemoryFault: a byte isn't mapped; the pieces before it came.
        """
        end = address + size
        while address < end:
            region = self.find(address)
            if region is None:
                raise MemoryFault(address)
            part = region.part(address, min(end, region.end))
            yield part
            address = part.end

    def read(self, address: int, size: int) -> bytes:
        """Raises: MemoryFault."""
        return b"".join(
            [part.block.read(part.offset, part.size) for part in self.parts(address, size)]
        )

    def views(self, address: int, size: int) -> Iterator[memoryview]:
        """The same bytes as `read`, piece by piece, and those of memory without a copy.

        Raises: MemoryFault.
        """
        for part in self.parts(address, size):
            if isinstance(part.block, Window):
                yield memoryview(part.block.read(part.offset, part.size))
            else:
                yield part.block.view[part.offset : part.offset + part.size]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Raises: MemoryFault; nothing is written then."""
        parts = list(self.parts(address, len(data)))
        view = memoryview(data)
        for part in parts:
            if not part.readonly:
                start = part.base - address
                part.block.write(part.offset, view[start : start + part.size])

    def block_named(self, name: str) -> RamBlock | None:
        return next((block for block in self.blocks if block.name == name), None)

    def migration_blocks(self) -> list[RamBlock]:
        """The blocks in the order of the stream: the largest first, equal ones as they came."""
        return sorted(self.blocks, key=_descending_size)


def _base(region: Region) -> int:
    return region.base


def _descending_size(block: RamBlock) -> int:
    return -block.size
