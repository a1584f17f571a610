"""Where a guest's bytes lie in the file, and reading them.

Source: qcow2 specification, "Cluster mapping".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.qcow2.columns import Columns
from blockdev.qcow2.entries import (
    COMPRESSED,
    OFFSET_MASK,
    ZERO,
)
from blockdev.qcow2.header import SUBCLUSTERS
from blockdev.qcow2.words import c_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.node import BlockNode
    from blockdev.qcow2.allocator import Allocator
    from blockdev.qcow2.entries import EntryLayout
    from blockdev.qcow2.guard import Guard
    from blockdev.qcow2.tables import L2Table, L2Tables

# What answers for some bytes.
_BELOW, _ZEROS, _DATA, _COMPRESSED = range(4)


class Clusters:
    """What all L1 tables of an image share.

    Attributes:
        file: the node with the image's bytes.
        layout: of the L2 entries; `columns` looks at whole tables of them.
        compression_type: of compressed clusters.
        report_corruption: told of an entry that can't be.
        guard: keeps writes off the image's tables.
    """

    __slots__ = (
        "allocator",
        "columns",
        "compression_type",
        "file",
        "guard",
        "layout",
        "report_corruption",
        "tables",
    )

    def __init__(
        self,
        *,
        file: BlockNode,
        layout: EntryLayout,
        tables: L2Tables,
        allocator: Allocator,
        compression_type: int,
        report_corruption: Callable[[str], None],
        guard: Guard,
    ) -> None:
        self.file = file
        self.guard = guard
        self.layout = layout
        self.columns = Columns(layout)
        self.tables = tables
        self.allocator = allocator
        self.compression_type = compression_type
        self.report_corruption = report_corruption


class Lookup:
    """Guest offsets to host offsets: one L1 table with the L2 tables under it.

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
        self.clusters = clusters
        self._file = clusters.file
        self._layout = layout = clusters.layout
        self._cluster_bits = layout.cluster_bits
        self._cluster_size = layout.cluster_size
        self._l2_bits = layout.l2_bits
        self._words = layout.words
        self._subcluster_bits = layout.cluster_bits - 5
        self._tables = clusters.tables
        self._read_below = read_below

    # --- reading

    def read(self, guest_offset: int, size: int) -> bytes:
        """The guest's bytes; those of one piece in the file are not copied again."""
        kind, host_offset, length = self._run(guest_offset, size) if size else (_ZEROS, 0, 0)
        if length == size and kind == _DATA:
            self._file.debug_event("read_aio")
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
                self._file.debug_event("read_aio")
                self._file.read_into(host_offset, part)
            elif kind == _ZEROS:
                part[:] = bytes(length)
            elif kind == _BELOW:
                self._file.debug_event("read_backing_aio")
                self._read_below(guest_offset + done, part)
            else:
                start = (guest_offset + done) & (self._cluster_size - 1)
                part[:] = self._decompressed(host_offset)[start : start + length]
            done += length

    def _decompressed(self, entry: int) -> bytes:
        from blockdev.qcow2.compressed import decompress

        offset, length = self._layout.compressed_range(entry)
        data = self._file.read(offset, length)
        return decompress(data, self._cluster_size, self.clusters.compression_type)

    def run(self, guest_offset: int, length: int) -> tuple[bool, int]:
        """Whether this image itself answers for the byte at an offset, and for how many it does."""
        kind, _, length = self._run(guest_offset, length)
        return kind != _BELOW, length

    def is_zeros(self, guest_offset: int, size: int, *, nothing_below: bool) -> bool:
        """Whether bytes are known to be zeros without a look at data."""
        while size > 0:
            kind, _, length = self._run(guest_offset, size)
            if kind != _ZEROS and not (kind == _BELOW and nothing_below):
                return False
            guest_offset += length
            size -= length
        return True

    def _run(self, guest_offset: int, length: int) -> tuple[int, int, int]:
        """What answers for some bytes from `guest_offset` on.

        Returns:
            The kind, the host offset (for a compressed cluster its L2 entry), and for how many
            bytes that holds.
        """
        in_cluster = guest_offset & (self._cluster_size - 1)
        l1_index, l2_index = divmod(guest_offset >> self._cluster_bits, 1 << self._l2_bits)
        clusters_left = (1 << self._l2_bits) - l2_index
        table = self.l2_table(l1_index)
        if table is None:
            reach = (clusters_left << self._cluster_bits) - in_cluster
            return _BELOW, 0, min(length, reach)
        words = table.words
        entry = words[l2_index * self._words]
        in_one = min(length, self._cluster_size - in_cluster)
        if entry & COMPRESSED:
            return _COMPRESSED, entry, in_one
        host = self.data_offset(table, l2_index)
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

    def data_offset(self, table: L2Table, l2_index: int, *, guest_offset: int = -1) -> int:
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
            self.clusters.report_corruption(text)
            raise QemuError("Input/output error", errno.EIO)
        return offset

    def l2_table(self, l1_index: int) -> L2Table | None:
        """The L2 table that an L1 entry names; None if it names none."""
        if l1_index >= len(self.l1):
            return None
        offset = self.l1[l1_index] & OFFSET_MASK
        if not offset:
            return None
        if offset & (self._cluster_size - 1):
            text = f"L2 table offset {offset:#x} unaligned (L1 index: {c_hex(l1_index)})"
            self.clusters.report_corruption(text)
            raise QemuError("Input/output error", errno.EIO)
        return self._tables.get(offset)
