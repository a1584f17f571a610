"""One L1 table with the L2 tables under it: where a guest's bytes lie in the file.

The active disk, a snapshot and the machine state being saved are each such a mapping.
Source: qcow2 specification, "Cluster mapping".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.refcounts import c_hex
from blockdev.qcow2.tables import COMPRESSED, COPIED, OFFSET_MASK, ZERO, L2Table, L2Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode
    from blockdev.qcow2.allocator import Allocator


class Mapping:
    """Guest offsets to host offsets.

    Args:
        l1: the L1 table's entries; a mapping that grows (machine state) may start without any.
        read_below: fills a view from a guest offset where nothing is mapped.
        report_corruption: told of an entry that can't be.
    """

    def __init__(
        self,
        l1: array[int],
        *,
        file: BlockNode,
        cluster_bits: int,
        tables: L2Tables,
        allocator: Allocator,
        read_below: Callable[[int, memoryview], None],
        report_corruption: Callable[[str], None],
    ) -> None:
        self.l1 = l1
        self.changed_l1: set[int] = set()
        self._file = file
        self._cluster_bits = cluster_bits
        self._cluster_size = 1 << cluster_bits
        self._l2_bits = cluster_bits - 3
        self._tables = tables
        self._allocator = allocator
        self._read_below = read_below
        self._report_corruption = report_corruption

    # --- reading

    def read_into(self, guest_offset: int, view: memoryview) -> None:
        """Fill `view` with the guest's bytes."""
        done = 0
        while done < len(view):
            host_offset, length, is_zero = self._run(guest_offset + done, len(view) - done)
            part = view[done : done + length]
            if host_offset is not None:
                self._file.read_into(host_offset, part)
            elif is_zero:
                part[:] = bytes(length)
            else:
                self._read_below(guest_offset + done, part)
            done += length

    def _run(self, guest_offset: int, length: int) -> tuple[int | None, int, bool]:
        """What maps some bytes from `guest_offset` on: (host offset, bytes, reads as zeros)."""
        in_cluster = guest_offset & (self._cluster_size - 1)
        cluster = guest_offset >> self._cluster_bits
        l1_index, l2_index = divmod(cluster, 1 << self._l2_bits)
        clusters_left = (1 << self._l2_bits) - l2_index
        table = self._l2_table(l1_index)
        if table is None:
            reach = (clusters_left << self._cluster_bits) - in_cluster
            return None, min(length, reach), False
        entry = table.entries[l2_index]
        wanted = min(clusters_left, -(-(in_cluster + length) >> self._cluster_bits))
        host = self._data_offset(table, l2_index)
        count = 1
        while count < wanted:
            following = table.entries[l2_index + count]
            if following & (ZERO | COMPRESSED) != entry & (ZERO | COMPRESSED):
                break
            if not entry & ZERO:
                expected = host + (count << self._cluster_bits) if host else 0
                if following & OFFSET_MASK != expected:
                    break
            count += 1
        here = min(length, (count << self._cluster_bits) - in_cluster)
        if entry & ZERO:
            return None, here, True
        return (host + in_cluster if host else None), here, False

    def _data_offset(self, table: L2Table, l2_index: int, *, guest_offset: int = -1) -> int:
        """The host offset in an L2 entry, 0 for none; `guest_offset` is given when writing."""
        entry = table.entries[l2_index]
        if entry & COMPRESSED:
            raise QemuError("Compressed clusters are not supported yet", errno.ENOTSUP)
        offset = entry & OFFSET_MASK
        if offset & (self._cluster_size - 1):
            if guest_offset < 0:
                where = f"(L2 offset: {table.host_offset:#x}, L2 index: {c_hex(l2_index)})"
                text = f"Cluster allocation offset {offset:#x} unaligned {where}"
            else:
                where = f"(guest offset: {c_hex(guest_offset)})"
                text = f"Data cluster offset {offset:#x} unaligned {where}"
            self._report_corruption(text)
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
            self._report_corruption(text)
            raise QemuError("Input/output error", errno.EIO)
        return self._tables.get(offset)

    # --- writing

    def write(self, guest_offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers; new clusters are taken where the old ones are shared or missing.

        The data goes to the file at once.  What maps it waits in memory for the write order.
        """
        cursor = _Cursor(buffers)
        while cursor.remaining:
            cluster = guest_offset >> self._cluster_bits
            l1_index, l2_index = divmod(cluster, 1 << self._l2_bits)
            table = self._own_l2_table(l1_index)
            written = self._write_in_place(table, l2_index, guest_offset, cursor)
            if not written:
                written = self._write_new(table, l2_index, guest_offset, cursor)
            guest_offset += written

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
        table = self._tables.add(offset, old.entries[:] if old is not None else None)
        self.l1[l1_index] = offset | COPIED
        self.changed_l1.add(l1_index)
        if old is not None:
            self._allocator.free_later(old.host_offset >> self._cluster_bits, 1)
        return table

    def _write_in_place(
        self, table: L2Table, l2_index: int, guest_offset: int, cursor: _Cursor
    ) -> int:
        """Write as far as clusters are ours alone and lie in a row; how many bytes that were."""
        in_cluster = guest_offset & (self._cluster_size - 1)
        entries = table.entries
        if not entries[l2_index] & COPIED or entries[l2_index] & ZERO:
            return 0
        host = self._data_offset(table, l2_index, guest_offset=guest_offset - in_cluster)
        count = 1
        while (count << self._cluster_bits) - in_cluster < cursor.remaining:
            index = l2_index + count
            wanted = (host + (count << self._cluster_bits)) | COPIED
            if index == len(entries) or entries[index] != wanted:
                break
            count += 1
        data = cursor.take((count << self._cluster_bits) - in_cluster)
        self._file.write(host + in_cluster, data)
        return sum(map(len, data))

    def _write_new(self, table: L2Table, l2_index: int, guest_offset: int, cursor: _Cursor) -> int:
        """Write to new clusters, with what the guest had around the data; bytes of data written."""
        size = self._cluster_size
        in_cluster = guest_offset & (size - 1)
        wanted = -(-(in_cluster + cursor.remaining) // size)
        count = 1
        entries = table.entries
        while (
            count < wanted
            and l2_index + count < len(entries)
            and (not entries[l2_index + count] & COPIED or entries[l2_index + count] & ZERO)
        ):
            count += 1
        start = guest_offset - in_cluster
        # Faults of the old entries must show before anything is taken.
        old = [
            self._data_offset(table, l2_index + n, guest_offset=start + n * size)
            for n in range(count)
        ]
        first, count = self._allocator.allocate(count, exactly=False)
        length = min(cursor.remaining, count * size - in_cluster)
        try:
            tail = -(in_cluster + length) % size
            around = [self._old_bytes(start, in_cluster)] if in_cluster else []
            data = around + cursor.take(length)
            if tail:
                data.append(self._old_bytes(guest_offset + length, tail))
            self._file.write(first << self._cluster_bits, data)
        except QemuError:
            self._allocator.free_now(first, count)
            raise
        offsets = range(first << self._cluster_bits, (first + count) << self._cluster_bits, size)
        table.set(l2_index, [offset | COPIED for offset in offsets])
        for offset in old[:count]:
            if offset:
                self._allocator.free_later(offset >> self._cluster_bits, 1)
        return length

    def _old_bytes(self, guest_offset: int, size: int) -> memoryview:
        view = memoryview(bytearray(size))
        self.read_into(guest_offset, view)
        return view

    # --- as a whole

    def references(self) -> Iterator[tuple[int, int]]:
        """Runs (first cluster, count) of all L2 tables and what their entries point to.

        Raises:
            QemuError: an entry that can't be, or one that this engine can't follow.
        """
        bits = self._cluster_bits
        for l1_index in range(len(self.l1)):
            table = self._l2_table(l1_index)
            if table is None:
                continue
            yield table.host_offset >> bits, 1
            first = count = 0
            for index, entry in enumerate(table.entries):
                if not entry:
                    continue
                cluster = self._data_offset(table, index) >> bits
                if not cluster:
                    continue
                if cluster == first + count:
                    count += 1
                    continue
                if count:
                    yield first, count
                first, count = cluster, 1
            if count:
                yield first, count

    def clear_copied(self) -> None:
        """Mark everything as shared: the next write to it goes elsewhere."""
        for l1_index, entry in enumerate(self.l1):
            table = self._l2_table(l1_index)
            if table is None:
                continue
            if entry & COPIED:
                self.l1[l1_index] = entry & ~COPIED
                self.changed_l1.add(l1_index)
            if any(e & COPIED for e in table.entries):
                table.replace(array("Q", [e & ~COPIED for e in table.entries]))

    def set_copied(self) -> None:
        """Mark what has a single reference as ours alone, and nothing else."""
        single = self._allocator.has_single_reference
        bits = self._cluster_bits
        for l1_index, entry in enumerate(self.l1):
            table = self._l2_table(l1_index)
            if table is None:
                continue
            right = table.host_offset | (COPIED if single(table.host_offset >> bits) else 0)
            if right != entry:
                self.l1[l1_index] = right
                self.changed_l1.add(l1_index)
            changed = table.entries[:]
            for index, old in enumerate(changed):
                if old & OFFSET_MASK and not old & COMPRESSED:
                    shared = not single((old & OFFSET_MASK) >> bits)
                    changed[index] = old & ~COPIED | (0 if shared else COPIED)
            if changed != table.entries:
                table.replace(changed)


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
