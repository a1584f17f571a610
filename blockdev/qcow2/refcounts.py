"""How many references each cluster of the file has: the refcount table and its blocks.

Counts change in memory; `write` brings them to the file.  Who may change them when is the
business of the image's write order (see `blockdev.qcow2.metadata`), not of this module.
Source: qcow2 specification, "Reference counting".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.words import RefcountWidth, big_endian, c_hex, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.node import BlockNode

_OFFSET_MASK = 0xFFFFFFFFFFFFFE00  # refcount table entry: bits 9-63
_MAX_TABLE_BYTES = 8 << 20
_BULK = 16  # from so many counts on, one addition of a large number is quicker


class Refcounts:
    """The reference counts of an image.

    Args:
        file: the protocol node.
        cluster_bits: log2 of the cluster size.
        refcount_order: log2 of a count's bits.
        table_offset, table_clusters: where the refcount table lies.
        report_corruption: told in QEMU's words of a block that lies where none can.
        switch_table: lets the header name another table, behind a barrier (offset, clusters).
    """

    def __init__(
        self,
        file: BlockNode,
        *,
        cluster_bits: int,
        refcount_order: int,
        table_offset: int,
        table_clusters: int,
        report_corruption: Callable[[str], None],
        switch_table: Callable[[int, int], None],
    ) -> None:
        self._file = file
        self._cluster_bits = cluster_bits
        self._cluster_size = 1 << cluster_bits
        self._width = RefcountWidth(refcount_order)
        self._report_corruption = report_corruption
        self._switch_table = switch_table
        self._table_offset = table_offset
        self._table_clusters = table_clusters
        self._table = from_big_endian("Q", file.read(table_offset, table_clusters << cluster_bits))
        self._block_entries = (self._cluster_size << 3) >> refcount_order
        self._blocks: dict[int, array[int]] = {}
        self._dirty: dict[int, tuple[int, int]] = {}  # block -> changed entries, from and to
        self._unlisted: set[int] = set()  # blocks the table in the file doesn't name yet
        self._replaced: tuple[int, int] | None = None  # the file's table, if ours is a new one
        self._ones: dict[int, int] = {}  # by how many counts, a number with 1 in each
        self._hint = 0  # no free cluster below this one

    @property
    def maximum(self) -> int:
        """The largest count there can be."""
        return self._width.maximum

    def get(self, cluster: int) -> int:
        """The count of the cluster with this number; 0 where no block says anything."""
        block = self._block(cluster // self._block_entries)
        return block[cluster % self._block_entries] if block is not None else 0

    def counts(self, clusters: list[int]) -> list[int]:
        """The count of each cluster."""
        if not clusters:
            return []
        entries = self._block_entries
        index = clusters[0] // entries
        block = self._block(index)
        low, high = index * entries, (index + 1) * entries
        if block is not None and low <= min(clusters) and max(clusters) < high:
            return [block[cluster - low] for cluster in clusters]
        return [self.get(cluster) for cluster in clusters]

    def used(self, clusters: int) -> int:
        """How many of the first so many clusters have a count."""
        entries, total = self._block_entries, 0
        for index in range(-(-clusters // entries)):
            block = self._block(index)
            if block is not None:
                part = block[: clusters - index * entries]
                total += len(part) - part.count(0)
        return total

    def common_count(self, first: int, count: int) -> int | None:
        """The count that all clusters of a run have; None if they differ."""
        common = self.get(first)
        while count:
            index, entry = divmod(first, self._block_entries)
            block = self._block(index)
            here = min(count, self._block_entries - entry)
            if block is None:
                return None
            part = block[entry : entry + here]
            if part != array(part.typecode, [common]) * here:
                return None
            first += here
            count -= here
        return common

    def add(self, first: int, count: int, change: int) -> None:
        """Change the counts of `count` clusters by 1 or -1; all or none.

        Raises:
            QemuError: a count would leave 0 to `maximum`, or a block is missing or damaged.
        """
        done = 0
        try:
            while done < count:
                done += self._add_in_block(first + done, count - done, change)
        except QemuError:
            self.add(first, done, -change)
            raise

    def _add_in_block(self, first: int, count: int, change: int) -> int:
        """Change as many of the counts as stand in one block; how many those are."""
        index, entry = divmod(first, self._block_entries)
        block = self._block(index)
        if block is None:
            raise QemuError(f"No refcount block for cluster {first}", errno.EIO)
        here = min(count, self._block_entries - entry)
        if here < _BULK:
            self._check(block, entry, here, change)
            for n in range(entry, entry + here):
                block[n] += change
        else:
            self._add_bulk(block, entry, here, change)
        low, high = self._dirty.get(index, (entry, entry))
        self._dirty[index] = (min(low, entry), max(high, entry + here))
        if change < 0:
            self._hint = min(self._hint, first)
        return here

    def _check(self, block: array[int], entry: int, count: int, change: int) -> None:
        limit = self._width.maximum if change > 0 else 0
        if limit in block[entry : entry + count]:
            what = "full" if change > 0 else "0 already"
            raise QemuError(f"A reference count is {what}", errno.EINVAL)

    def _add_bulk(self, block: array[int], entry: int, count: int, change: int) -> None:
        """All at once where they are the same, as they mostly are.

        Otherwise one addition of large numbers: no count carries into the next, as none is at
        its limit.
        """
        part = block[entry : entry + count]
        if part == array(part.typecode, part[:1]) * count:
            self._check(block, entry, 1, change)
            block[entry : entry + count] = array(part.typecode, [part[0] + change]) * count
            return
        data = part.tobytes()
        limit = self._width.limit_bytes(change)
        if data.find(limit) >= 0:  # perhaps across two counts only
            self._check(block, entry, count, change)
        ones = self._ones.get(count)
        if ones is None:
            one = (b"\1" + bytes(part.itemsize - 1)) * count
            self._ones[count] = ones = int.from_bytes(one, "little")
        total = int.from_bytes(data, "little") + (ones if change > 0 else -ones)
        block[entry : entry + count] = array(part.typecode, total.to_bytes(len(data), "little"))

    def add_each(self, clusters: list[int], change: int) -> None:
        """Change the count of each cluster, which may come several times.

        Raises:
            QemuError: as `add`; those before the one that can't be changed are.
        """
        limit = self._width.maximum if change > 0 else 0
        entries = self._block_entries
        done = 0
        try:
            last, block = -1, None
            for cluster in clusters:
                index, entry = divmod(cluster, entries)
                if index != last:
                    last, block = index, self._block(index)
                    if block is None:
                        raise QemuError(f"No refcount block for cluster {cluster}", errno.EIO)
                    self._dirty[index] = (0, entries)
                assert block is not None
                if block[entry] == limit:
                    what = "full" if change > 0 else "0 already"
                    raise QemuError(f"A reference count is {what}", errno.EINVAL)
                block[entry] += change
                done += 1
        except QemuError:
            for cluster in clusters[:done]:
                self._blocks[cluster // entries][cluster % entries] -= change
            raise
        if change < 0 and clusters:
            self._hint = min(self._hint, min(clusters))

    def block_offsets(self) -> list[int]:
        """Where the blocks lie, host offsets."""
        return [entry & _OFFSET_MASK for entry in self._table if entry]

    # --- free clusters

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
                if entry == self._block_entries or block[entry]:
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
            block = self._width.unpack(self._file.read(offset, self._cluster_size))
            self._blocks[index] = block
        return block

    def _new_block(self, index: int) -> array[int]:
        """Begin to count a region that had no block; the block is the region's first cluster."""
        if index >= len(self._table):
            self._grow_table(index)
            return self._blocks[index]
        cluster = index * self._block_entries
        block = self._add_block(index, cluster)
        block[0] = 1
        return block

    def _add_block(self, index: int, cluster: int) -> array[int]:
        block = array(self._width.typecode, bytes(self._block_entries * self._width.itemsize))
        self._table[index] = cluster << self._cluster_bits
        self._blocks[index] = block
        self._dirty[index] = (0, self._block_entries)
        self._unlisted.add(index)
        return block

    def _grow_table(self, index: int) -> None:
        """Make a longer table where its blocks end: at the start of region `index`.

        Block after block, then the table: all of it lies in regions that are new, and counts
        itself.  The old table stays the file's until `write` switches.
        """
        entries, bits = self._block_entries, self._cluster_bits
        start = index * entries
        table_entries = max(index + 1, len(self._table) * 3 // 2)
        blocks = 1
        while True:
            table_clusters = -(-8 * max(table_entries, index + blocks) >> bits)
            needed = -(-(blocks + table_clusters) // entries)
            if needed <= blocks:
                break
            blocks = needed
        if table_clusters << bits > _MAX_TABLE_BYTES:
            raise QemuError("File too large", errno.EFBIG)
        if self._replaced is None:
            self._replaced = (self._table_offset >> bits, self._table_clusters)
        else:  # the table that is given up was never the file's
            self.add(self._table_offset >> bits, self._table_clusters, -1)
        missing = (table_clusters << bits) // 8 - len(self._table)
        self._table.extend([0] * missing)
        for n in range(blocks):
            self._add_block(index + n, start + n)
        self._table_offset = (start + blocks) << bits
        self._table_clusters = table_clusters
        self.add(start, blocks + table_clusters, 1)

    # --- to the file

    @property
    def is_dirty(self) -> bool:
        """Whether `write` has anything to do."""
        return bool(self._dirty) or self._replaced is not None

    def write(self) -> None:
        """Write what changed since the last time.

        A new block is on the disk before the table names it: a table that names garbage would
        say anything of the clusters there.  Likewise a new table before the header names it; the
        old one is given back afterwards, in memory, for the next `write` behind a barrier.
        """
        if self._unlisted:
            for index in sorted(self._unlisted & self._dirty.keys()):
                self._write_block(index)
            if self._replaced is not None:
                self._file.write(self._table_offset, [big_endian(self._table)])
            else:
                self._file.flush()
                for index in sorted(self._unlisted):
                    entry = self._table[index].to_bytes(8, "big")
                    self._file.write(self._table_offset + 8 * index, [entry])
            if self._replaced is not None:
                self._file.flush()
                self._switch_table(self._table_offset, self._table_clusters)
                self._file.flush()
                old, self._replaced = self._replaced, None
                self.add(old[0], old[1], -1)
            self._unlisted.clear()
        for index in sorted(self._dirty):
            self._write_block(index)

    def _write_block(self, index: int) -> None:
        low, high = self._dirty[index]
        position, data = self._width.pack(self._blocks[index], low, high)
        self._file.write((self._table[index] & _OFFSET_MASK) + position, [data])
        del self._dirty[index]
