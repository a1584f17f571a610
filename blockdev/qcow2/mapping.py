"""A mapping that can be written: new clusters where the old ones are shared or missing.

The active disk, a snapshot and the machine state being saved are each such a mapping.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.qcow2.cursor import Cursor
from blockdev.qcow2.entries import (
    ALL_ALLOCATED,
    ALL_ZERO,
    COMPRESSED,
    COPIED,
    OFFSET_MASK,
    ZERO,
    subclusters,
)
from blockdev.qcow2.header import SUBCLUSTERS
from blockdev.qcow2.lookup import Clusters, Lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Sequence

    from blockdev.file import Buffer
    from blockdev.qcow2.tables import L2Table


class Mapping(Lookup):
    """Guest offsets to host offsets, for reading and writing.

    Attributes:
        changed_l1: the entries of the L1 table that the file lacks.
    """

    def __init__(
        self,
        l1: array[int],
        clusters: Clusters,
        read_below: Callable[[int, memoryview], None],
    ) -> None:
        super().__init__(l1, clusters, read_below)
        self.changed_l1: set[int] = set()
        self._allocator = clusters.allocator
        self._guard = clusters.guard

    # --- writing

    def write(self, guest_offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers; new clusters are taken where the old ones are shared or missing.

        The data goes to the file at once.  What maps it waits in memory for the write order.
        """
        cursor = Cursor(buffers)
        while cursor.remaining:
            l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
            table = self._own_l2_table(l1_index)
            if self._is_ours(table, l2_index):
                if self._words > 1:
                    written = self._write_subclusters(table, l2_index, guest_offset, cursor)
                else:
                    written = self._write_in_place(table, l2_index, guest_offset, cursor)
            else:
                written = self._write_new(table, l2_index, guest_offset, cursor)
            guest_offset += written

    def _is_ours(self, table: L2Table, l2_index: int) -> bool:
        """Whether an entry has a cluster that may be written in place."""
        entry = table.words[l2_index * self._words]
        return entry & (COPIED | OFFSET_MASK) > COPIED and not entry & (
            COMPRESSED | ZERO if self._words == 1 else 0
        )

    def _own_l2_table(self, l1_index: int) -> L2Table:
        """The L2 table, after a copy if others share it."""
        if l1_index >= len(self.l1):
            self.l1.extend([0] * (l1_index + 1 - len(self.l1)))
        old = self.l2_table(l1_index)
        if old is not None and self.l1[l1_index] & COPIED:
            return old
        self._file.debug_event("l2_alloc_write")
        cluster, _ = self._allocator.allocate(1, exactly=True)
        self._guard.check(cluster, 1)
        self._guard.add(cluster)
        offset = cluster << self._cluster_bits
        # A shared table's clusters are counted for both already; only the table itself is new.
        table = self._tables.add(offset, old.raw if old is not None else bytes(self._cluster_size))
        self.l1[l1_index] = offset | COPIED
        self.changed_l1.add(l1_index)
        if old is not None:
            self._allocator.free_later((old.host_offset >> self._cluster_bits, 1))
        return table

    def _write_in_place(
        self, table: L2Table, l2_index: int, guest_offset: int, cursor: Cursor
    ) -> int:
        """Write as far as clusters are ours alone and lie in a row; how many bytes that were."""
        in_cluster = guest_offset & (self._cluster_size - 1)
        words = table.words
        host = self.data_offset(table, l2_index, guest_offset=guest_offset - in_cluster)
        count = 1
        while (count << self._cluster_bits) - in_cluster < cursor.remaining:
            index = l2_index + count
            wanted = (host + (count << self._cluster_bits)) | COPIED
            if index == len(words) or words[index] != wanted:
                break
            count += 1
        data = cursor.take((count << self._cluster_bits) - in_cluster)
        self._guard.check(host >> self._cluster_bits, count)
        self._file.debug_event("write_aio")
        self._file.write(host + in_cluster, data)
        return sum(map(len, data))

    def _write_subclusters(
        self, table: L2Table, l2_index: int, guest_offset: int, cursor: Cursor
    ) -> int:
        """Write in place in one cluster of which some subclusters may be missing so far.

        Those are filled up with what the guest had there; until the bitmap says that they are
        here, nobody reads them.
        """
        in_cluster = guest_offset & (self._cluster_size - 1)
        start = guest_offset - in_cluster
        host = self.data_offset(table, l2_index, guest_offset=start)
        length = min(cursor.remaining, self._cluster_size - in_cluster)
        size = 1 << self._subcluster_bits
        first = in_cluster >> self._subcluster_bits
        end = -(-(in_cluster + length) >> self._subcluster_bits)
        self._guard.check(host >> self._cluster_bits, 1)
        bitmap = table.words[2 * l2_index + 1]
        touched = subclusters(first, end)
        if bitmap & touched == touched and not bitmap >> SUBCLUSTERS & touched:
            self._file.debug_event("write_aio")
            self._file.write(host + in_cluster, cursor.take(length))
            return length
        head, tail = in_cluster & (size - 1), -(in_cluster + length) & (size - 1)
        data = self._surrounded(guest_offset, length, head, tail, cursor)
        self._file.debug_event("write_aio")
        self._file.write(host + in_cluster - head, data)
        table.set(2 * l2_index + 1, [(bitmap | touched) & ~(touched << SUBCLUSTERS)])
        return length

    def _surrounded(
        self, guest_offset: int, length: int, head: int, tail: int, cursor: Cursor
    ) -> list[Buffer]:
        """The next `length` bytes of data between what the guest has before and behind them."""
        data: list[Buffer] = [self._old_bytes(guest_offset - head, head)] if head else []
        data += cursor.take(length)
        if tail:
            data.append(self._old_bytes(guest_offset + length, tail))
        return data

    def _write_new(self, table: L2Table, l2_index: int, guest_offset: int, cursor: Cursor) -> int:
        """Write to new clusters, with what the guest had around the data; bytes of data written."""
        size = self._cluster_size
        in_cluster = guest_offset & (size - 1)
        start = guest_offset - in_cluster
        wanted = -(-(in_cluster + cursor.remaining) // size)
        wanted = min(wanted, (1 << self._l2_bits) - l2_index)
        old = []
        count = wanted
        if any(table.words[l2_index * self._words : (l2_index + wanted) * self._words]):
            count = 1
            while count < wanted and not self._is_ours(table, l2_index + count):
                count += 1
            # Faults of the old entries must show before anything is taken.
            old = [
                reference
                for n in range(count)
                if (reference := self.reference(table, l2_index + n, start + n * size))
            ]
        self._file.debug_event("cluster_alloc")
        first, count = self._allocator.allocate(count, exactly=False)
        length = min(cursor.remaining, count * size - in_cluster)
        try:
            tail = -(in_cluster + length) % size
            self._guard.check(first, count)
            data = self._surrounded(guest_offset, length, in_cluster, tail, cursor)
            self._file.debug_event("write_aio")
            self._file.write(first << self._cluster_bits, data)
        except QemuError:
            self._allocator.free_now((first, count))
            raise
        entries = range(first * size | COPIED, (first + count) * size | COPIED, size)
        if self._words > 1:
            table.set(2 * l2_index, [w for entry in entries for w in (entry, ALL_ALLOCATED)])
        else:
            table.set(l2_index, entries)
        end = l2_index + count
        for index, replaced in old:
            if index < end:
                self._allocator.free_later(replaced)
        return length

    def reference(
        self, table: L2Table, l2_index: int, guest_offset: int
    ) -> tuple[int, tuple[int, int]] | None:
        """The clusters that an entry refers to, with its index; None if there are none."""
        entry = table.words[l2_index * self._words]
        if entry & COMPRESSED:
            return l2_index, self._layout.compressed_clusters(entry)
        offset = self.data_offset(table, l2_index, guest_offset=guest_offset)
        return (l2_index, (offset >> self._cluster_bits, 1)) if offset else None

    def _old_bytes(self, guest_offset: int, size: int) -> memoryview:
        view = memoryview(bytearray(size))
        self.read_into(guest_offset, view)
        return view

    def take_clusters(self, guest_offset: int, most: int) -> tuple[int, int]:
        """Take clusters for entries of one L2 table that have none; the first, and how many."""
        l2_index = guest_offset >> self._cluster_bits & ((1 << self._l2_bits) - 1)
        first, count = self._allocator.allocate(
            min(most, (1 << self._l2_bits) - l2_index), exactly=False
        )
        self._guard.check(first, count)
        return first, count

    def map_clusters(self, guest_offset: int, first: int, count: int) -> None:
        """Let clusters that were taken be those of a place; what they have is data from now on."""
        l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
        table = self._own_l2_table(l1_index)
        size = self._cluster_size
        entries = range(first * size | COPIED, (first + count) * size | COPIED, size)
        if self._words > 1:
            # A place, and no data.
            table.set(2 * l2_index, [word for entry in entries for word in (entry, 0)])
        else:
            table.set(l2_index, entries)

    def is_allocated(self, guest_offset: int) -> bool:
        """Whether a cluster has a place in the file, compressed or not."""
        l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
        table = self.l2_table(l1_index)
        if table is None:
            return False
        return bool(table.words[l2_index * self._words] & (COMPRESSED | OFFSET_MASK))

    def map_compressed(self, guest_offset: int, entry: int) -> None:
        """Let a cluster be one whose compressed bytes are in the file already."""
        l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
        table = self._own_l2_table(l1_index)
        old = self.reference(table, l2_index, guest_offset)
        table.set(l2_index * self._words, [entry, 0][: self._words])
        if old:
            self._allocator.free_later(old[1])

    # --- unmapping

    def unmap(
        self, guest_offset: int, clusters: int, *, as_zeros: bool, keep: bool = False
    ) -> None:
        """Let whole clusters go.

        Args:
            guest_offset: of the first, a multiple of the cluster size.
            clusters: how many.
            as_zeros: they read as zeros then; otherwise what is below shows again.
            keep: clusters that are allocated stay so, only to read as zeros.
        """
        while clusters:
            l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
            here = min(clusters, (1 << self._l2_bits) - l2_index)
            if as_zeros or self.l2_table(l1_index) is not None:
                self._unmap_in_table(l1_index, l2_index, here, as_zeros=as_zeros, keep=keep)
            guest_offset += here << self._cluster_bits
            clusters -= here

    def _unmap_in_table(
        self, l1_index: int, l2_index: int, count: int, *, as_zeros: bool, keep: bool
    ) -> None:
        words = [0] * self._words
        if as_zeros:
            words[-1] = ALL_ZERO if self._words > 1 else ZERO
        table = self.l2_table(l1_index)
        part = slice(l2_index * self._words, (l2_index + count) * self._words)
        if table is not None and table.words[part].tolist() == words * count:
            return
        table = self._own_l2_table(l1_index)
        size = self._cluster_size
        start = ((l1_index << self._l2_bits) + l2_index) * size
        old = [self.reference(table, l2_index + n, start + n * size) for n in range(count)]
        new = words * count
        for n, reference in enumerate(old):
            entry = table.words[(l2_index + n) * self._words]
            if reference and keep and not entry & COMPRESSED:
                new[n * self._words] |= entry
            elif reference:
                self._allocator.free_later(reference[1])
        table.set(part.start, new)
