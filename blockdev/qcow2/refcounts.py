"""How many references each cluster of the file has: the refcount table and its blocks.

Counts change in memory; `write` brings them to the file.  Who may change them when is the
business of the image's write order (see `blockdev.qcow2.image`), not of this module.
Source: qcow2 specification, "Reference counting".
"""

from __future__ import annotations

import errno
import sys
from array import array

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.node import BlockNode

_OFFSET_MASK = 0xFFFFFFFFFFFFFE00  # refcount table entry: bits 9-63
_SWAP = sys.byteorder == "little"


def big_endian(entries: array[int]) -> bytes:
    """The entries as the format stores them."""
    if not _SWAP:
        return entries.tobytes()
    copy = entries[:]
    copy.byteswap()
    return copy.tobytes()


def from_big_endian(typecode: str, data: bytes) -> array[int]:
    """The entries that the format stores as `data`."""
    entries = array(typecode, data)
    if _SWAP:
        entries.byteswap()
    return entries


def c_hex(number: int) -> str:
    """A number as C's ``%#x`` shows it."""
    return f"{number:#x}" if number else "0"


class Refcounts:
    """The reference counts of an image.

    Args:
        file: the protocol node.
        cluster_bits: log2 of the cluster size.
        table_offset, table_clusters: where the refcount table lies.
        report_corruption: told in QEMU's words of a block that lies where none can.
    """

    TYPECODE = "H"  # 16-bit counts
    MAXIMUM = 0xFFFF

    def __init__(
        self,
        file: BlockNode,
        cluster_bits: int,
        table_offset: int,
        table_clusters: int,
        report_corruption: Callable[[str], None],
    ) -> None:
        self._file = file
        self._cluster_bits = cluster_bits
        self._cluster_size = 1 << cluster_bits
        self._report_corruption = report_corruption
        self._table_offset = table_offset
        self._table = from_big_endian("Q", file.read(table_offset, table_clusters << cluster_bits))
        self._block_entries = self._cluster_size // array(self.TYPECODE).itemsize
        self._blocks: dict[int, array[int]] = {}
        self._dirty: dict[int, tuple[int, int]] = {}  # block -> changed entries, from and to
        self._unlisted: set[int] = set()  # blocks the table in the file doesn't name yet
        self._hint = 0  # no free cluster below this one

    def get(self, cluster: int) -> int:
        """The count of the cluster with this number; 0 where no block says anything."""
        block = self._block(cluster // self._block_entries)
        return block[cluster % self._block_entries] if block is not None else 0

    def add(self, first: int, count: int, change: int) -> None:
        """Change the counts of `count` clusters; all or none.

        Raises:
            QemuError: a count would leave 0 to `MAXIMUM`, or a block is missing or damaged.
        """
        while count:
            index, entry = divmod(first, self._block_entries)
            block = self._block(index)
            here = min(count, self._block_entries - entry)
            if block is None:
                raise QemuError(f"No refcount block for cluster {first}", errno.EIO)
            counts = block[entry : entry + here]
            if change > 0 and max(counts) + change > self.MAXIMUM:
                raise QemuError(f"Reference count of cluster {first} is full", errno.EINVAL)
            if change < 0 and min(counts) + change < 0:
                raise QemuError(f"Reference count of cluster {first} is too small", errno.EINVAL)
            for n in range(entry, entry + here):
                block[n] += change
            low, high = self._dirty.get(index, (entry, entry))
            self._dirty[index] = (min(low, entry), max(high, entry + here))
            if change < 0:
                self._hint = min(self._hint, first)
            first += here
            count -= here

    def allocate(self, wanted: int, *, exactly: bool) -> tuple[int, int]:
        """Find free clusters one after the other and count each once.

        Args:
            wanted: how many, 1 or more.
            exactly: no shorter run will do; otherwise the first free run is taken.

        Returns:
            The first cluster's number, and how many there are.
        """
        run_start = run_length = 0
        for first, length in self._free_runs(wanted):
            if run_length and first == run_start + run_length:
                run_length += length
            else:
                run_start, run_length = first, length
            if run_length >= wanted or not exactly:
                break
        count = min(wanted, run_length)
        self.add(run_start, count, 1)
        if not exactly or wanted == 1:
            self._hint = run_start + count
        return run_start, count

    def _free_runs(self, longest: int) -> Iterator[tuple[int, int]]:
        """Runs of clusters without references, in order, from the hint on, never ending.

        A run longer than `longest` comes in pieces.
        """
        index, entry = divmod(self._hint, self._block_entries)
        while True:
            block = self._block(index)
            if block is None:
                block = self._new_block(index)
            width = block.itemsize
            data = block.tobytes()
            base = index * self._block_entries
            while entry < self._block_entries:
                found = data.find(bytes(width), entry * width)
                if found < 0:
                    break
                entry = -(-found // width)
                if block[entry]:
                    continue
                rest = data[entry * width : (entry + longest) * width]
                length = (len(rest) - len(rest.lstrip(b"\0"))) // width
                yield base + entry, length
                entry += length
            index, entry = index + 1, 0

    def _block(self, index: int) -> array[int] | None:
        block = self._blocks.get(index)
        if block is None and index < len(self._table) and self._table[index]:
            offset = self._table[index] & _OFFSET_MASK
            if offset & (self._cluster_size - 1):
                self._report_corruption(
                    f"Refblock offset {offset:#x} unaligned (reftable index: {c_hex(index)})"
                )
                raise QemuError("Input/output error", errno.EIO)
            block = from_big_endian(self.TYPECODE, self._file.read(offset, self._cluster_size))
            self._blocks[index] = block
        return block

    def _new_block(self, index: int) -> array[int]:
        """Begin to count a region that had no block; the block is the region's first cluster."""
        if index >= len(self._table):
            raise QemuError("The refcount table is full", errno.EFBIG)
        block = array(self.TYPECODE, bytes(self._cluster_size))
        block[0] = 1
        self._table[index] = index * self._block_entries << self._cluster_bits
        self._blocks[index] = block
        self._dirty[index] = (0, self._block_entries)
        self._unlisted.add(index)
        return block

    @property
    def is_dirty(self) -> bool:
        """Whether `write` has anything to do."""
        return bool(self._dirty)

    def write(self) -> None:
        """Write what changed since the last time.

        A new block is on the disk before the table names it: a table that names garbage would
        say anything of the clusters there.
        """
        if self._unlisted:
            for index in sorted(self._unlisted & self._dirty.keys()):
                self._write_block(index)
            self._file.flush()
            for index in sorted(self._unlisted):
                entry = self._table[index].to_bytes(8, "big")
                self._file.write(self._table_offset + 8 * index, [entry])
                self._unlisted.discard(index)
        for index in sorted(self._dirty):
            self._write_block(index)

    def _write_block(self, index: int) -> None:
        low, high = self._dirty[index]
        block = self._blocks[index]
        offset = (self._table[index] & _OFFSET_MASK) + low * block.itemsize
        self._file.write(offset, [big_endian(block[low:high])])
        del self._dirty[index]
