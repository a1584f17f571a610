"""The refcount table and its blocks: which there are, where new ones go, how they are written.

A block counts the clusters of one region of the file.  Blocks for new regions lie at the start of
the first of these, so that they, and a longer table if there has to be one, count themselves;
what needed the regions follows behind them in one run.
Source: qcow2 specification, "Reference counting".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.words import RefcountWidth, big_endian, c_hex, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.node import BlockNode

_OFFSET_MASK = 0xFFFFFFFFFFFFFE00  # refcount table entry: bits 9-63
_MAX_TABLE_BYTES = 8 << 20


class RefcountTable:
    """The blocks of an image's counts.

    Args:
        file: the protocol node.
        cluster_bits: log2 of the cluster size.
        width: how a block stores its counts.
        offset, clusters: where the table lies.
        report_corruption: told in QEMU's words of a block that lies where none can.
        switch: lets the header name another table, behind a barrier (offset, clusters).

    Attributes:
        block_entries: counts in a block, which are the clusters of a region.
    """

    def __init__(
        self,
        file: BlockNode,
        *,
        cluster_bits: int,
        width: RefcountWidth,
        offset: int,
        clusters: int,
        report_corruption: Callable[[str], None],
        switch: Callable[[int, int], None],
    ) -> None:
        self._file = file
        self._cluster_bits = cluster_bits
        self._cluster_size = 1 << cluster_bits
        self._width = width
        self._report_corruption = report_corruption
        self._switch = switch
        self._offset = offset
        self._clusters = clusters
        self._entries = from_big_endian("Q", file.read(offset, clusters << cluster_bits))
        self.block_entries = (self._cluster_size << 3) // width.bits
        self._blocks: dict[int, array[int]] = {}
        self._dirty: dict[int, tuple[int, int]] = {}  # block -> changed entries, from and to
        self._unlisted: set[int] = set()  # blocks the table in the file doesn't name yet
        self._replaced: tuple[int, int] | None = None  # the file's table, if ours is a new one

    def block(self, index: int) -> array[int] | None:
        """The counts of a region; None where no block says anything.

        Raises:
            QemuError: the block lies where none can.
        """
        block = self._blocks.get(index)
        if block is None and (offset := self._offset_of(index)):
            if offset & (self._cluster_size - 1):
                self._report_corruption(
                    f"Refblock offset {offset:#x} unaligned (reftable index: {c_hex(index)})"
                )
                raise QemuError("Input/output error", errno.EIO)
            block = self._width.unpack(self._file.read(offset, self._cluster_size))
            self._blocks[index] = block
        return block

    def mark_changed(self, index: int, low: int, high: int) -> None:
        """The counts `low` to `high` of a block aren't what the file has."""
        old_low, old_high = self._dirty.get(index, (low, high))
        self._dirty[index] = (min(old_low, low), max(old_high, high))

    def offsets(self) -> list[int]:
        """Where the blocks lie, host offsets."""
        return [
            entry & _OFFSET_MASK for entry in filter(None, self._entries) if entry & _OFFSET_MASK
        ]

    def _offset_of(self, index: int) -> int:
        return self._entries[index] & _OFFSET_MASK if index < len(self._entries) else 0

    # --- new regions

    def add_blocks(self, index: int, wanted: int) -> tuple[int, tuple[int, int] | None]:
        """Begin to count regions from `index` on, which has no block, with room for a run.

        Args:
            index: of the first region.
            wanted: clusters that are needed in a row behind the new blocks.

        Returns:
            How many clusters at the start of the region hold blocks, and the table if it had to
            grow: they are to be counted once.  And a run of clusters that are to be counted
            down: a table that the file never had.  No cluster where regions that are counted
            already leave no room for the run.

        Raises:
            QemuError: the table would be longer than QEMU reads.
        """
        blocks = _blocks_for(wanted, self.block_entries)
        table_clusters = 0
        if index + blocks > len(self._entries):
            blocks, table_clusters = self._longer_table(index, wanted)
        if any(map(self._offset_of, range(index, index + blocks))):
            return 0, None
        start = index * self.block_entries
        given_up = self._move(start + blocks, table_clusters) if table_clusters else None
        for n in range(blocks):
            size = self.block_entries * self._width.itemsize
            self._entries[index + n] = (start + n) << self._cluster_bits
            self._blocks[index + n] = array(self._width.typecode, bytes(size))
            self._dirty[index + n] = (0, self.block_entries)
            self._unlisted.add(index + n)
        return blocks + table_clusters, given_up

    def _longer_table(self, index: int, wanted: int) -> tuple[int, int]:
        """How many new blocks and clusters of the table there have to be; see `add_blocks`."""
        entries = max(index + 1, len(self._entries) * 3 // 2)
        blocks = 1
        while True:
            table_clusters = -(-8 * max(entries, index + blocks) >> self._cluster_bits)
            if table_clusters << self._cluster_bits > _MAX_TABLE_BYTES:
                raise QemuError("File too large", errno.EFBIG)
            needed = _blocks_for(wanted + table_clusters, self.block_entries)
            if needed <= blocks:
                return blocks, table_clusters
            blocks = needed

    def _move(self, cluster: int, clusters: int) -> tuple[int, int] | None:
        """Be a longer table elsewhere; the old one stays the file's until `write_new` switches."""
        old = self._offset >> self._cluster_bits, self._clusters
        given_up = None
        if self._replaced is None:
            self._replaced = old
        else:
            given_up = old
        missing = (clusters << self._cluster_bits) // 8 - len(self._entries)
        self._entries.extend([0] * missing)
        self._offset = cluster << self._cluster_bits
        self._clusters = clusters
        return given_up

    # --- to the file

    @property
    def is_dirty(self) -> bool:
        """Whether the file lacks anything."""
        return bool(self._dirty) or self._replaced is not None

    def write_new(self) -> tuple[int, int] | None:
        """Let the file have the new blocks, and the table if it has grown.

        A new block is on the disk before the table names it: a table that names garbage would
        say anything of the clusters there.  Likewise a new table before the header names it.

        Returns:
            The run of clusters of the table that isn't the file's any more, to be counted down.
        """
        for index in sorted(self._unlisted & self._dirty.keys()):
            self._write_block(index)
        if self._replaced is None:
            self._list_blocks()
            return None
        self._file.write(self._offset, [big_endian(self._entries)])
        self._file.flush()
        self._switch(self._offset, self._clusters)
        self._file.flush()
        self._unlisted.clear()
        old, self._replaced = self._replaced, None
        return old

    def _list_blocks(self) -> None:
        """Name the new blocks in the file's table.

        A block that another new one counts waits until that is named for good; otherwise there
        would be a reference to it, and no count.
        """
        while self._unlisted:
            self._file.flush()
            ready = [n for n in sorted(self._unlisted) if self._is_counted(n)]
            for index in ready:
                entry = self._entries[index].to_bytes(8, "big")
                self._file.write(self._offset + 8 * index, [entry])
            self._unlisted.difference_update(ready)

    def _is_counted(self, index: int) -> bool:
        """Whether the file knows the block that counts this new one, which may be itself."""
        region = (self._offset_of(index) >> self._cluster_bits) // self.block_entries
        return region == index or region not in self._unlisted

    def write_changes(self) -> None:
        """Write the counts that have changed since the last time."""
        for index in sorted(self._dirty):
            self._write_block(index)

    def _write_block(self, index: int) -> None:
        low, high = self._dirty[index]
        position, data = self._width.pack(self._blocks[index], low, high)
        self._file.write(self._offset_of(index) + position, [data])
        del self._dirty[index]


def _blocks_for(clusters: int, block_entries: int) -> int:
    """How many blocks count so many clusters and the blocks themselves."""
    return -(-clusters // (block_entries - 1))
