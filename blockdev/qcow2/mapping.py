"""One L1 table with the L2 tables under it: where a guest's bytes lie in the file.

The active disk, a snapshot and the machine state being saved are each such a mapping.
Source: qcow2 specification, "Cluster mapping".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.compressed import decompress
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
from blockdev.qcow2.words import c_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode
    from blockdev.qcow2.allocator import Allocator
    from blockdev.qcow2.entries import EntryLayout, Reference
    from blockdev.qcow2.tables import L2Table, L2Tables

# What answers for some bytes.
_BELOW, _ZEROS, _DATA, _COMPRESSED = range(4)


class Clusters:
    """What all mappings of an image share.

    Attributes:
        file: the node with the image's bytes.
        layout: of the L2 entries.
        compression_type: of compressed clusters.
        report_corruption: told of an entry that can't be.
    """

    __slots__ = ("allocator", "compression_type", "file", "layout", "report_corruption", "tables")

    def __init__(
        self,
        *,
        file: BlockNode,
        layout: EntryLayout,
        tables: L2Tables,
        allocator: Allocator,
        compression_type: int,
        report_corruption: Callable[[str], None],
    ) -> None:
        self.file = file
        self.layout = layout
        self.tables = tables
        self.allocator = allocator
        self.compression_type = compression_type
        self.report_corruption = report_corruption


class Mapping:
    """Guest offsets to host offsets.

    Args:
        l1: the L1 table's entries; a mapping that grows (machine state) may start without any.
        clusters: of the image.
        read_below: fills a view from a guest offset where nothing is mapped.
    """

    def __init__(
        self,
        l1: array[int],
        clusters: Clusters,
        read_below: Callable[[int, memoryview], None],
    ) -> None:
        self.l1 = l1
        self.changed_l1: set[int] = set()
        self._clusters = clusters
        self._file = clusters.file
        self._layout = layout = clusters.layout
        self._cluster_bits = layout.cluster_bits
        self._cluster_size = layout.cluster_size
        self._l2_bits = layout.l2_bits
        self._words = layout.words
        self._subcluster_bits = layout.cluster_bits - 5
        self._tables = clusters.tables
        self._allocator = clusters.allocator
        self._read_below = read_below

    # --- reading

    def read(self, guest_offset: int, size: int) -> bytes:
        """The guest's bytes; those of one piece in the file are not copied again."""
        kind, host_offset, length = self._run(guest_offset, size) if size else (_ZEROS, 0, 0)
        if length == size and kind == _DATA:
            return self._file.read(host_offset, size)
        data = bytearray(size)
        self.read_into(guest_offset, memoryview(data))
        return bytes(data)

    def read_into(self, guest_offset: int, view: memoryview) -> None:
        """Fill `view` with the guest's bytes."""
        done = 0
        while done < len(view):
            kind, host_offset, length = self._run(guest_offset + done, len(view) - done)
            part = view[done : done + length]
            if kind == _DATA:
                self._file.read_into(host_offset, part)
            elif kind == _ZEROS:
                part[:] = bytes(length)
            elif kind == _BELOW:
                self._read_below(guest_offset + done, part)
            else:
                start = (guest_offset + done) & (self._cluster_size - 1)
                part[:] = self._decompressed(host_offset)[start : start + length]
            done += length

    def _decompressed(self, entry: int) -> bytes:
        offset, length = self._layout.compressed_range(entry)
        data = self._file.read(offset, length)
        return decompress(data, self._cluster_size, self._clusters.compression_type)

    def run(self, guest_offset: int, length: int) -> tuple[bool, int]:
        """Whether this image itself answers for the byte at an offset, and for how many it does."""
        kind, _, length = self._run(guest_offset, length)
        return kind != _BELOW, length

    def _run(self, guest_offset: int, length: int) -> tuple[int, int, int]:
        """What answers for some bytes from `guest_offset` on.

        Returns:
            The kind, the host offset (for a compressed cluster its L2 entry), and for how many
            bytes that holds.
        """
        in_cluster = guest_offset & (self._cluster_size - 1)
        l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
        clusters_left = (1 << self._l2_bits) - l2_index
        table = self._l2_table(l1_index)
        if table is None:
            reach = (clusters_left << self._cluster_bits) - in_cluster
            return _BELOW, 0, min(length, reach)
        words = table.words
        entry = words[l2_index * self._words]
        in_one = min(length, self._cluster_size - in_cluster)
        if entry & COMPRESSED:
            return _COMPRESSED, entry, in_one
        host = self._data_offset(table, l2_index)
        if self._words > 1:
            return self._subcluster_run(words[2 * l2_index + 1], host, in_cluster, in_one)
        if entry & ZERO:
            kind, step = _ZEROS, 0
        elif host:
            kind, step = _DATA, self._cluster_size
        else:
            kind, step = _BELOW, 0
        wanted = min(clusters_left, -(-(in_cluster + length) >> self._cluster_bits))
        count = 1
        mask = COMPRESSED | ZERO | (0 if kind == _ZEROS else OFFSET_MASK)
        expected = entry & mask
        while count < wanted:
            expected += step
            if words[l2_index + count] & mask != expected:
                break
            count += 1
        here = min(length, (count << self._cluster_bits) - in_cluster)
        return kind, host + in_cluster, here

    def _subcluster_run(
        self, bitmap: int, host: int, in_cluster: int, length: int
    ) -> tuple[int, int, int]:
        """As `_run`, inside one cluster with a bitmap of its subclusters."""
        bits = self._subcluster_bits
        first = in_cluster >> bits

        def state(number: int) -> int:
            if bitmap >> (SUBCLUSTERS + number) & 1:
                return _ZEROS
            return _DATA if bitmap >> number & 1 else _BELOW

        kind = state(first)
        end = first + 1
        while end << bits < in_cluster + length and state(end) == kind:
            end += 1
        return kind, host + in_cluster, min(length, (end << bits) - in_cluster)

    def _data_offset(self, table: L2Table, l2_index: int, *, guest_offset: int = -1) -> int:
        """The host offset in an L2 entry, 0 for none; `guest_offset` is given when writing."""
        entry = table.words[l2_index * self._words]
        offset = entry & OFFSET_MASK
        if offset & (self._cluster_size - 1):
            if guest_offset < 0:
                where = f"(L2 offset: {table.host_offset:#x}, L2 index: {c_hex(l2_index)})"
                text = f"Cluster allocation offset {offset:#x} unaligned {where}"
            else:
                where = f"(guest offset: {c_hex(guest_offset)})"
                text = f"Data cluster offset {offset:#x} unaligned {where}"
            self._clusters.report_corruption(text)
            raise QemuError("Input/output error", errno.EIO)
        return offset

    def _l2_table(self, l1_index: int) -> L2Table | None:
        if l1_index >= len(self.l1):
            return None
        offset = self.l1[l1_index] & OFFSET_MASK
        if not offset:
            return None
        if offset & (self._cluster_size - 1):
            text = f"L2 table offset {offset:#x} unaligned (L1 index: {c_hex(l1_index)})"
            self._clusters.report_corruption(text)
            raise QemuError("Input/output error", errno.EIO)
        return self._tables.get(offset)

    # --- writing

    def write(self, guest_offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers; new clusters are taken where the old ones are shared or missing.

        The data goes to the file at once.  What maps it waits in memory for the write order.
        """
        cursor = _Cursor(buffers)
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
        return bool(entry & COPIED) and not entry & (COMPRESSED | ZERO if self._words == 1 else 0)

    def _own_l2_table(self, l1_index: int) -> L2Table:
        """The L2 table, after a copy if others share it."""
        if l1_index >= len(self.l1):
            self.l1.extend([0] * (l1_index + 1 - len(self.l1)))
        old = self._l2_table(l1_index)
        if old is not None and self.l1[l1_index] & COPIED:
            return old
        cluster, _ = self._allocator.allocate(1, exactly=True)
        offset = cluster << self._cluster_bits
        # A shared table's clusters are counted for both already; only the table itself is new.
        table = self._tables.add(offset, old.words[:] if old is not None else None)
        self.l1[l1_index] = offset | COPIED
        self.changed_l1.add(l1_index)
        if old is not None:
            self._allocator.free_later((old.host_offset >> self._cluster_bits, 1))
        return table

    def _write_in_place(
        self, table: L2Table, l2_index: int, guest_offset: int, cursor: _Cursor
    ) -> int:
        """Write as far as clusters are ours alone and lie in a row; how many bytes that were."""
        in_cluster = guest_offset & (self._cluster_size - 1)
        words = table.words
        host = self._data_offset(table, l2_index, guest_offset=guest_offset - in_cluster)
        count = 1
        while (count << self._cluster_bits) - in_cluster < cursor.remaining:
            index = l2_index + count
            wanted = (host + (count << self._cluster_bits)) | COPIED
            if index == len(words) or words[index] != wanted:
                break
            count += 1
        data = cursor.take((count << self._cluster_bits) - in_cluster)
        self._file.write(host + in_cluster, data)
        return sum(map(len, data))

    def _write_subclusters(
        self, table: L2Table, l2_index: int, guest_offset: int, cursor: _Cursor
    ) -> int:
        """Write in place in one cluster of which some subclusters may be missing so far.

        Those are filled up with what the guest had there; until the bitmap says that they are
        here, nobody reads them.
        """
        in_cluster = guest_offset & (self._cluster_size - 1)
        start = guest_offset - in_cluster
        host = self._data_offset(table, l2_index, guest_offset=start)
        length = min(cursor.remaining, self._cluster_size - in_cluster)
        size = 1 << self._subcluster_bits
        first = in_cluster >> self._subcluster_bits
        end = -(-(in_cluster + length) >> self._subcluster_bits)
        bitmap = table.words[2 * l2_index + 1]
        touched = subclusters(first, end)
        if bitmap & touched == touched and not bitmap >> SUBCLUSTERS & touched:
            self._file.write(host + in_cluster, cursor.take(length))
            return length
        head, tail = in_cluster & (size - 1), -(in_cluster + length) & (size - 1)
        data = self._surrounded(guest_offset, length, head, tail, cursor)
        self._file.write(host + in_cluster - head, data)
        table.set(2 * l2_index + 1, [(bitmap | touched) & ~(touched << SUBCLUSTERS)])
        return length

    def _surrounded(
        self, guest_offset: int, length: int, head: int, tail: int, cursor: _Cursor
    ) -> list[Buffer]:
        """The next `length` bytes of data between what the guest has before and behind them."""
        data: list[Buffer] = [self._old_bytes(guest_offset - head, head)] if head else []
        data += cursor.take(length)
        if tail:
            data.append(self._old_bytes(guest_offset + length, tail))
        return data

    def _write_new(self, table: L2Table, l2_index: int, guest_offset: int, cursor: _Cursor) -> int:
        """Write to new clusters, with what the guest had around the data; bytes of data written."""
        size = self._cluster_size
        in_cluster = guest_offset & (size - 1)
        start = guest_offset - in_cluster
        wanted = -(-(in_cluster + cursor.remaining) // size)
        wanted = min(wanted, (1 << self._l2_bits) - l2_index)
        count = 1
        while count < wanted and not self._is_ours(table, l2_index + count):
            count += 1
        # Faults of the old entries must show before anything is taken.
        old = [
            reference
            for n in range(count)
            if (reference := self._reference(table, l2_index + n, start + n * size))
        ]
        first, count = self._allocator.allocate(count, exactly=False)
        length = min(cursor.remaining, count * size - in_cluster)
        try:
            tail = -(in_cluster + length) % size
            data = self._surrounded(guest_offset, length, in_cluster, tail, cursor)
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

    def _reference(
        self, table: L2Table, l2_index: int, guest_offset: int
    ) -> tuple[int, tuple[int, int]] | None:
        """The clusters that an entry refers to, with its index; None if there are none."""
        entry = table.words[l2_index * self._words]
        if entry & COMPRESSED:
            return l2_index, self._layout.compressed_clusters(entry)
        offset = self._data_offset(table, l2_index, guest_offset=guest_offset)
        return (l2_index, (offset >> self._cluster_bits, 1)) if offset else None

    def _old_bytes(self, guest_offset: int, size: int) -> memoryview:
        view = memoryview(bytearray(size))
        self.read_into(guest_offset, view)
        return view

    # --- unmapping

    def unmap(self, guest_offset: int, clusters: int, *, as_zeros: bool) -> None:
        """Let whole clusters go.

        Args:
            guest_offset: of the first, a multiple of the cluster size.
            clusters: how many.
            as_zeros: they read as zeros then; otherwise what is below shows again.
        """
        while clusters:
            l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
            here = min(clusters, (1 << self._l2_bits) - l2_index)
            if as_zeros or self._l2_table(l1_index) is not None:
                self._unmap_in_table(l1_index, l2_index, here, as_zeros=as_zeros)
            guest_offset += here << self._cluster_bits
            clusters -= here

    def _unmap_in_table(self, l1_index: int, l2_index: int, count: int, *, as_zeros: bool) -> None:
        words = [0] * self._words
        if as_zeros:
            words[-1] = ALL_ZERO if self._words > 1 else ZERO
        table = self._l2_table(l1_index)
        part = slice(l2_index * self._words, (l2_index + count) * self._words)
        if table is not None and table.words[part].tolist() == words * count:
            return
        table = self._own_l2_table(l1_index)
        size = self._cluster_size
        start = ((l1_index << self._l2_bits) + l2_index) * size
        old = [self._reference(table, l2_index + n, start + n * size) for n in range(count)]
        table.set(part.start, words * count)
        for reference in old:
            if reference:
                self._allocator.free_later(reference[1])

    # --- as a whole

    def references(self, *, sharing: bool = False) -> Iterator[Reference]:
        """The clusters of all L2 tables, and those that their entries refer to.

        Args:
            sharing: on the way, mark everything as shared, so that the next write to it goes
                elsewhere.

        Raises:
            QemuError: an L1 entry that can't be.
        """
        run_first = run_count = 0
        for l1_index in range(len(self.l1)):
            table = self._l2_table(l1_index)
            if table is None:
                continue
            here = [(table.host_offset >> self._cluster_bits, 1)]
            length = table.run_length(self._layout)
            if length:
                here.append(((table.words[0] & OFFSET_MASK) >> self._cluster_bits, length))
            else:
                yield from self._layout.references(table.words)
            # A table before its data, and the next one behind, are one long run.
            for first, count in here:
                if first == run_first + run_count:
                    run_count += count
                else:
                    if run_count:
                        yield run_first, run_count
                    run_first, run_count = first, count
            if sharing:
                self._share(l1_index, table, length)
        if run_count:
            yield run_first, run_count

    def _share(self, l1_index: int, table: L2Table, length: int) -> None:
        if self.l1[l1_index] & COPIED:
            self.l1[l1_index] &= ~COPIED
            self.changed_l1.add(l1_index)
        if not length:
            words = self._layout.without_copied(table.words)
            if words is not None:
                table.replace(words)
        elif table.words[0] & COPIED:
            table.replace_run(
                self._layout.with_copied(table.words, length, is_copied=False), length
            )

    def set_copied(self) -> None:
        """Mark what has a single reference as ours alone, and nothing else."""
        present = [index for index, entry in enumerate(self.l1) if entry & OFFSET_MASK]
        tables = {index: self._l2_table(index) for index in present}
        clusters = [(self.l1[index] & OFFSET_MASK) >> self._cluster_bits for index in present]
        for index, count in zip(present, self._allocator.counts(clusters), strict=True):
            right = self.l1[index] & OFFSET_MASK | (COPIED if count == 1 else 0)
            if right != self.l1[index]:
                self.l1[index] = right
                self.changed_l1.add(index)
            table = tables[index]
            if table is not None and not self._set_copied_in_run(table):
                self._set_copied_in(table)

    def _set_copied_in_run(self, table: L2Table) -> bool:
        """Mark a table that is one run of clusters with one count; False if it isn't."""
        length = table.run_length(self._layout)
        if not length:
            return False
        first = (table.words[0] & OFFSET_MASK) >> self._cluster_bits
        count = self._allocator.common_count(first, length)
        if count is None:
            return False
        if (count == 1) != bool(table.words[0] & COPIED):
            words = self._layout.with_copied(table.words, length, is_copied=count == 1)
            table.replace_run(words, length)
        return True

    def _set_copied_in(self, table: L2Table) -> None:
        words = table.words[:: self._words]
        bits = self._cluster_bits
        # An entry without a cluster looks at the first one, which is the header's.
        clusters = [0 if entry & COMPRESSED else (entry & OFFSET_MASK) >> bits for entry in words]
        counts = self._allocator.counts(clusters)
        right = [
            (entry | COPIED if count == 1 else entry & ~COPIED) if cluster else entry
            for entry, cluster, count in zip(words, clusters, counts, strict=True)
        ]
        if right != words.tolist():
            all_words = table.words[:]
            all_words[:: self._words] = array("Q", right)
            table.replace(all_words)


class _Cursor:
    """Hands out a list of buffers piece by piece, without copying."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._views = [memoryview(buffer) for buffer in buffers if len(buffer)]
        self._views.reverse()
        self.remaining = sum(map(len, self._views))

    def take(self, size: int) -> list[Buffer]:
        """The next `size` bytes, or what is left."""
        taken: list[Buffer] = []
        while size and self._views:
            view = self._views.pop()
            if len(view) > size:
                self._views.append(view[size:])
                view = view[:size]
            taken.append(view)
            size -= len(view)
            self.remaining -= len(view)
        return taken
