"""Walks a whole qcow2 image and counts every reference to every cluster.

It trusts nothing that the engine holds in memory and shares no code with it but `Columns.run`,
which compares a table with what one run of clusters would look like: what the engine wrote is
read here by another hand.  A walk only reads; what it finds is judged by
`blockdev.qcow2.check` and put right by `blockdev.qcow2.repair`.

Source: qcow2 specification.  The order of the walk, and the words, are those of `qemu-img check`.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.columns import Columns
from blockdev.qcow2.entries import EntryLayout
from blockdev.qcow2.raw_bitmaps import MAX_BITMAPS, MAX_DIRECTORY_BYTES, read_bitmap_tables
from blockdev.qcow2.raw_header import MAX_L1_BYTES, RawHeader
from blockdev.qcow2.raw_snapshot import read_snapshots
from blockdev.qcow2.slip import Slips
from blockdev.qcow2.stored_counts import OFFSET_MASK as REFCOUNT_TABLE_MASK
from blockdev.qcow2.stored_counts import StoredCounts
from blockdev.qcow2.table_walk import TableWalk, from_big_endian
from blockdev.qcow2.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.node import BlockNode

_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_L1_RESERVED = 0x7F000000000001FF
_BITMAP_ENTRY_RESERVED = 0xFF000000000001FE

_BITMAPS_CONSISTENT = 1  # autoclear feature

_MAX_CLUSTERS = 0x7FFFFFFF

_MOST_WALKS = 16  # through one table, where counts are narrow


class Survey(RawHeader):
    """One walk over an image.

    Args:
        file: the node with the image's bytes.

    Attributes:
        columns: looks at whole tables.
        counts: those in the image's refcount blocks.
        references: the references found.
        corruptions: what else is wrong, a line each, in QEMU's words and order.
        slips: the active entries with a wrong COPIED bit.
        single: runs (first cluster, count) of what must be referred to once, being written in
            place: header, tables, refcount blocks, snapshot table, bitmaps.
        blocks: the refcount table's usable entries, index and host offset of the block.
        broken_refcounts: the refcount structures themselves are unsound.
        misplaced: unaligned entries without data, host offset and corrected entry.
        incomplete_snapshots: entries of the snapshot table without all that version 3 asks for.
        refcount_runs: those of `single` that are the refcount table and its blocks.
        beyond: what is referred to past the end of the file: offset and size, bytes.

    Raises:
        QemuError: the image can't be walked at all.
    """

    def __init__(self, file: BlockNode) -> None:
        super().__init__(file)
        clusters = -(-self.file_size >> self.cluster_bits)
        if clusters > _MAX_CLUSTERS:
            raise QemuError("File too large", errno.EFBIG)
        self.columns = Columns(EntryLayout(self.cluster_bits, is_extended=False))
        self.counts = StoredCounts(self, clusters)
        self.references = Tally(clusters)
        self.corruptions: list[str] = []
        self.slips = Slips(self.cluster_bits)
        self.single: list[tuple[int, int]] = []
        self.blocks: list[tuple[int, int]] = []
        self.broken_refcounts = False
        self.misplaced: list[tuple[int, int]] = []
        self.incomplete_snapshots = 0
        self.allocated_clusters = self.compressed_clusters = self.fragmented_clusters = 0
        self.beyond: list[tuple[int, int]] = []
        self.refcount_runs: list[tuple[int, int]] = []
        self.silent_corruptions = 0  # QEMU counts them and says nothing
        self.maximum = (1 << (1 << self.refcount_order)) - 1
        self._is_narrow = self.maximum < 255
        self._tables: dict[int, TableWalk | None] = {}  # None: nothing wrong in it
        self._again: dict[int, int] = {}  # L1 entries that lead to a table, but for the first
        self._walks: dict[int, int] = {}  # of them, those for which it was walked again
        self._again_active: dict[int, int] = {}
        self._walk()

    # --- the walk

    def _walk(self) -> None:
        self._read_snapshot_table()
        self._refer_once(0, self.cluster_size)
        self._walk_tree(self.l1_offset, self.l1_size, active=True)
        for snapshot in self.snapshots:
            self._walk_snapshot(snapshot.l1_offset, snapshot.l1_size, snapshot.title)
        self._walk_shared_tables()
        self._refer_once(self.snapshots_offset, self.snapshot_table_size)
        size = self.refcount_table_clusters << self.cluster_bits
        self._refer_once(self.refcount_table_offset, size, self.refcount_runs)
        self._refer_once(*self.encryption_area)
        if self.bitmaps is not None and self.autoclear & _BITMAPS_CONSISTENT:
            self._walk_bitmaps(*self.bitmaps)
        self._refer_to_blocks()
        # What begins before the end of the file may reach into the cluster behind it.
        self.counts.extend(len(self.references))

    def refer(
        self, offset: int, size: int, corruptions: list[str], weight: int = 1
    ) -> tuple[int, int]:
        """Count a reference to each cluster that some bytes of the file touch.

        Args:
            corruptions: takes a line if the file has ended before.
            weight: how many references it is.

        Returns:
            The first cluster, and how many there are: none where the file has ended before.
        """
        if not size:
            return 0, 0
        if offset + size - self.file_size >= self.cluster_size:
            text = (
                "ERROR: counting reference for region exceeding the end of the file by one "
                f"cluster or more: offset {offset:#x} size {size:#x}"
            )
            corruptions.append(text)
            self.beyond.append((offset, size))
            return 0, 0
        first = offset >> self.cluster_bits
        count = (offset + size - 1 >> self.cluster_bits) - first + 1
        self.references.extend(first + count)
        self.references.add(first, count, weight)
        if self._is_narrow:
            self._clamp(first, count, corruptions)
        return first, count

    def _clamp(self, first: int, count: int, corruptions: list[str]) -> None:
        """Bring references that no count of this width can hold down to the largest; say so."""
        counts = self.references.small
        if max(counts[first : first + count]) > self.maximum:
            for cluster in range(first, first + count):
                over = counts[cluster] - self.maximum
                if over > 0:
                    corruptions += self.overflow(cluster) * over
                    counts[cluster] = self.maximum

    def overflow(self, cluster: int) -> list[str]:
        """What QEMU says where a cluster has a reference more than its count can hold."""
        return [
            f"ERROR: overflow cluster offset={cluster << self.cluster_bits:#x}",
            "Use qemu-img amend to increase the refcount entry width or qemu-img convert "
            "to create a clean copy if the image cannot be opened for writing",
        ]

    def _refer_once(
        self, offset: int, size: int, runs: list[tuple[int, int]] | None = None
    ) -> None:
        first, count = self.refer(offset, size, self.corruptions)
        if count:
            self.single.append((first, count))
            if runs is not None:
                runs.append((first, count))

    # --- snapshots

    def _read_snapshot_table(self) -> None:
        self.snapshots = list(read_snapshots(self))
        self.snapshot_table_size = 0
        if self.snapshots:
            self.snapshot_table_size = self.snapshots[-1].end - self.snapshots_offset
        for number, snapshot in enumerate(self.snapshots):
            if self.version == 3 and not snapshot.is_complete:
                self.incomplete_snapshots += 1
                self.corruptions.append(f"ERROR snapshot table entry {number} is incomplete")

    def _walk_snapshot(self, offset: int, entries: int, title: str) -> None:
        if offset & (self.cluster_size - 1):
            self.corruptions.append(
                f"ERROR {title} l1_offset={c_hex(offset)}: L1 table is not cluster aligned; "
                "snapshot table entry corrupted"
            )
        elif entries > MAX_L1_BYTES // 8:
            self.corruptions.append(
                f"ERROR {title} l1_size={c_hex(entries)}: L1 table is too large; "
                "snapshot table entry corrupted"
            )
        else:
            self._walk_tree(offset, entries, active=False)

    # --- L1 and L2 tables

    def _walk_tree(self, offset: int, entries: int, *, active: bool) -> None:
        self._refer_once(offset, 8 * entries)
        if offset >> 63 and entries:
            lines = [*self.corruptions, "ERROR: I/O error in check_refcounts_l1"]
            raise QemuError("\n".join(lines), errno.EIO)
        raw = self.read(offset, 8 * entries)
        for index, entry in enumerate(from_big_endian(raw)):
            if not entry:
                continue
            table_offset = entry & _OFFSET_MASK
            if entry & _L1_RESERVED:
                self.corruptions.append(f"ERROR found L1 entry with reserved bits set: {entry:x}")
            self.refer(table_offset, self.cluster_size, self.corruptions)
            if table_offset & (self.cluster_size - 1):
                self.corruptions.append(
                    f"ERROR l2_offset={table_offset:x}: Table is not cluster aligned; "
                    "L1 entry corrupted"
                )
            readable = (
                active and table_offset and self._check_copied(index, entry, offset + 8 * index)
            )
            if table_offset in self._tables:
                table = self._walk_again(table_offset, active=active)
            else:
                table = self._first_walk(table_offset, active=active)
            if table is not None:
                self.corruptions += table.corruptions
                if readable:
                    self.slips.extend(table.slips)

    def _first_walk(self, table_offset: int, *, active: bool) -> TableWalk | None:
        table = TableWalk(self, table_offset, weight=1, active=active)
        if active:
            self._add_statistics(table, 1)
        self.misplaced += table.misplaced
        kept = None if table.is_sound else table
        self._tables[table_offset] = kept
        return kept

    def _walk_again(self, table_offset: int, *, active: bool) -> TableWalk | None:
        """What a table gives that another L1 entry leads to; it is counted later, with others."""
        self._again[table_offset] = self._again.get(table_offset, 0) + 1
        if active:
            self._again_active[table_offset] = self._again_active.get(table_offset, 0) + 1
        walks = self._walks.get(table_offset, 0)
        if not self._is_narrow or walks == _MOST_WALKS:
            return self._tables[table_offset]
        # At once where a count may overflow, which is said when it happens.
        self._walks[table_offset] = walks + 1
        return TableWalk(self, table_offset, weight=1, active=active)

    def _add_statistics(self, table: TableWalk, times: int) -> None:
        self.allocated_clusters += times * table.allocated
        self.compressed_clusters += times * table.compressed
        self.fragmented_clusters += times * table.fragmented

    def _check_copied(self, index: int, entry: int, host_offset: int) -> bool:
        """Look at an L1 entry's COPIED bit; False if the table's count can't be read."""
        cluster = (entry & _OFFSET_MASK) >> self.cluster_bits
        refcount = self.counts.get(cluster)
        if refcount is None:
            return False
        if (refcount == 1) != entry >> 63:
            self.slips.append(index, host_offset, entry, refcount)
        return True

    def _walk_shared_tables(self) -> None:
        """Count what tables refer to that several L1 entries lead to, for all but the first."""
        for table_offset, times in self._again.items():
            weight = times - self._walks.get(table_offset, 0)
            active = self._again_active.get(table_offset, 0)
            if weight or active:
                table = TableWalk(self, table_offset, weight=weight, active=False)
                self._add_statistics(table, active)

    def overlaps(self) -> Iterator[int]:
        """Clusters that hold a table or another structure, and something else besides."""
        counts = self.references
        for first, count in self.single:
            if not counts.all_are(1, first, count):
                yield from (c for c in range(first, first + count) if counts.get(c) != 1)
        for offset in self._tables:
            cluster = offset >> self.cluster_bits
            if counts.get(cluster) > 1 + self._again.get(offset, 0):
                yield cluster

    # --- bitmaps

    def _walk_bitmaps(self, count: int, directory_size: int, directory_offset: int) -> None:
        if not count or count > MAX_BITMAPS or directory_size > MAX_DIRECTORY_BYTES:
            return
        self._refer_once(directory_offset, directory_size)
        for table_offset, entries in read_bitmap_tables(self):
            self._refer_once(table_offset, 8 * entries)
            for entry in from_big_endian(self.read(table_offset, 8 * entries)):
                if entry & _BITMAP_ENTRY_RESERVED or (entry & _OFFSET_MASK and entry & 1):
                    self.silent_corruptions += 1
                elif entry & _OFFSET_MASK:
                    self._refer_once(entry & _OFFSET_MASK, self.cluster_size)

    # --- refcount structures

    def _refer_to_blocks(self) -> None:
        say = self.corruptions.append
        for index, entry in self.counts.table.items():
            offset = entry & REFCOUNT_TABLE_MASK
            cluster = offset >> self.cluster_bits
            if entry & ~REFCOUNT_TABLE_MASK:
                say(f"ERROR refcount table entry {index} has reserved bits set")
                self.broken_refcounts = True
            elif offset & (self.cluster_size - 1):
                say(
                    f"ERROR refcount block {index} is not cluster aligned; refcount table entry "
                    "corrupted"
                )
                self.broken_refcounts = True
            elif cluster >= len(self.references):
                say(f"ERROR refcount block {index} is outside image")
                self.broken_refcounts = True
            elif offset:
                is_taken = self.references.get(cluster) > 0
                self._refer_once(offset, self.cluster_size, self.refcount_runs)
                if is_taken:
                    found = self.references.get(cluster)
                    if found != 1:  # one bit can't hold the 2
                        say(f"ERROR refcount block {index} refcount={found}")
                    self.broken_refcounts = True
                else:
                    self.blocks.append((index, offset))


def c_hex(number: int) -> str:
    """A number as C's ``%#x`` shows it."""
    return f"{number:#x}" if number else "0"
