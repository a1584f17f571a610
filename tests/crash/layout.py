"""A qcow2 image as its bytes say it is, read without any of the engine's code.

This is the second opinion: whatever the engine and its own checker have in common, a wrong idea of
the format too, they don't share it with this module.  It only reads, and every width, size and
version of the format is known to it; encrypted images and data files aren't.
Source: qcow2 specification.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

SECTOR = 512  # what a disk writes whole or not at all

_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_OFFSET = 0x00FFFFFFFFFFFE00
_DIRTY = 1
_EXTENDED_L2 = 1 << 4
_BITMAPS, _ENCRYPTION = 0x23852875, 0x0537BE77


class DamagedError(Exception):
    """The image points where nothing can be."""


class Disk(NamedTuple):
    """What a guest sees: clusters by number, those of zeros left out."""

    size: int
    clusters: dict[int, bytes]


class SnapshotContent(NamedTuple):
    """Everything of a snapshot that its user gets back."""

    id: str
    name: str
    disk: Disk
    state: Disk  # the machine state, as clusters from 0 on


class Entry(NamedTuple):
    """A snapshot as the table has it."""

    id: str
    name: str
    l1_offset: int
    l1_size: int
    state_size: int
    disk_size: int


class Table(NamedTuple):
    """An L2 table: what it counts, what it marks as its own, and what it maps."""

    references: list[int]  # host clusters, as often as they are referred to
    marked: list[int]  # host clusters with the mark "ours alone"
    # (index in the table, where, bitmap of allocated and of zero subclusters); "where" is the
    # host offset, or for a compressed cluster the whole descriptor
    mapped: list[tuple[int, int, int, int]]


_ALL_SUBCLUSTERS = 0xFFFFFFFF
_tables: dict[tuple[int, int, int, bytes], Table] = {}


class Layout:
    """One image.

    Args:
        data: the whole file.
        backing: what the backing file has, where the image has one.

    Raises:
        DamagedError: the header, the L1 tables or the snapshot table can't be.
    """

    def __init__(self, data: bytearray, backing: Disk | None = None) -> None:
        self.data = data
        self._view = memoryview(data)
        self._backing = backing
        if len(data) < 104 or data[:4] != b"QFI\xfb":
            raise DamagedError("not a qcow2 image")
        (self.version,) = struct.unpack_from(">I", data, 4)
        (self.cluster_bits, self.size) = struct.unpack_from(">IQ", data, 20)
        (self._l1_size, self._l1_offset) = struct.unpack_from(">IQ", data, 36)
        (self._counts_offset, self._counts_clusters) = struct.unpack_from(">QI", data, 48)
        (self._snapshot_count, self._snapshots_offset) = struct.unpack_from(">IQ", data, 60)
        self.features, self.refcount_order, self.header_length = 0, 4, 72
        if self.version >= 3:
            (self.features,) = struct.unpack_from(">Q", data, 72)
            (self.refcount_order, self.header_length) = struct.unpack_from(">II", data, 96)
        if not 9 <= self.cluster_bits <= 21 or self.refcount_order > 6:
            raise DamagedError("impossible header")
        self.cluster_size = 1 << self.cluster_bits
        self._zstd = self.header_length > 104 and data[104] == 1
        self._has_subclusters = bool(self.features & _EXTENDED_L2)
        self.l2_entries = self.cluster_size // (16 if self._has_subclusters else 8)
        self._read: dict[int, bytes] = {}
        self._blocks: dict[int, int] | None = None
        self.entries, self._snapshots_bytes = self._snapshot_table()
        self.l1 = self._words(self._l1_offset, self._l1_size)

    @property
    def is_dirty(self) -> bool:
        """Whether the image says that its counts are stale and must be built anew."""
        return bool(self.features & _DIRTY)

    # --- the structures

    def _bytes(self, offset: int, size: int) -> bytes:
        data = self._view[offset : offset + size].tobytes()
        return data if len(data) == size else data.ljust(size, b"\0")

    def _words(self, offset: int, count: int) -> array[int]:
        if offset & (self.cluster_size - 1) or count > 1 << 22:
            raise DamagedError(f"impossible table at {offset:#x}, {count} entries")
        words = array("Q", self._bytes(offset, 8 * count))
        if sys.byteorder == "little":
            words.byteswap()
        return words

    def _snapshot_table(self) -> tuple[list[Entry], int]:
        if self._snapshots_offset & (self.cluster_size - 1) or self._snapshot_count > 65536:
            raise DamagedError("impossible snapshot table")
        entries = []
        start = at = self._snapshots_offset
        for _ in range(self._snapshot_count):
            fields = struct.unpack(">QIHHIIQII", self._bytes(at, 40))
            l1_offset, l1_size, id_size, name_size, _, _, _, state_size, extra_size = fields
            if extra_size > 1024 or not id_size:
                raise DamagedError("impossible snapshot table entry")
            extra = self._bytes(at + 40, extra_size)
            if extra_size >= 8:
                (state_size,) = struct.unpack_from(">Q", extra)
            disk_size = struct.unpack_from(">Q", extra, 8)[0] if extra_size >= 16 else self.size
            strings = self._bytes(at + 40 + extra_size, id_size + name_size).decode("latin-1")
            name = strings[id_size:]
            entries.append(
                Entry(strings[:id_size], name, l1_offset, l1_size, state_size, disk_size)
            )
            at += -(-(40 + extra_size + id_size + name_size) // 8) * 8
        return entries, at - start

    def _table(self, offset: int) -> Table:
        if offset & (self.cluster_size - 1):
            raise DamagedError(f"L2 table offset {offset:#x} unaligned")
        data = self._bytes(offset, self.cluster_size)
        key = (self.version, self.cluster_bits, self._has_subclusters, data)
        table = _tables.get(key)
        if table is None:
            if len(_tables) > 4000:
                _tables.clear()
            table = _tables[key] = self._decoded(data)
        return table

    def _decoded(self, data: bytes) -> Table:
        words = struct.unpack(f">{len(data) // 8}Q", data)
        table = Table([], [], [])
        bitmaps = words[1::2] if self._has_subclusters else None
        for index, entry in enumerate(words[::2] if self._has_subclusters else words):
            bitmap = bitmaps[index] if bitmaps else 0
            if not entry and not bitmap:
                continue
            if entry & _COMPRESSED:
                table.references.extend(self._compressed_clusters(entry))
                if entry & _COPIED:
                    table.marked.append(-1)
                table.mapped.append((index, entry, _ALL_SUBCLUSTERS, 0))
                continue
            offset = entry & _OFFSET
            if offset & (self.cluster_size - 1):
                raise DamagedError(f"data cluster offset {offset:#x} unaligned")
            if offset:
                table.references.append(offset >> self.cluster_bits)
                if entry & _COPIED:
                    table.marked.append(offset >> self.cluster_bits)
            if bitmaps is not None:
                allocated, zero = bitmap & _ALL_SUBCLUSTERS, bitmap >> 32
            else:
                zero = _ALL_SUBCLUSTERS if entry & 1 and self.version >= 3 else 0
                allocated = 0 if zero or not offset else _ALL_SUBCLUSTERS
            table.mapped.append((index, offset, allocated, zero))
        return table

    def _compressed(self, entry: int) -> tuple[int, int]:
        """Host offset and bytes of a compressed cluster's sectors."""
        bits = 62 - (self.cluster_bits - 8)
        offset = entry & ((1 << bits) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> bits) + 1
        return offset, sectors * SECTOR - (offset & (SECTOR - 1))

    def _compressed_clusters(self, entry: int) -> range:
        offset, size = self._compressed(entry)
        return range(offset >> self.cluster_bits, (offset + size - 1 >> self.cluster_bits) + 1)

    # --- references and counts

    def references(self) -> Counter[int]:
        """How often each host cluster is referred to, from the header on."""
        found: Counter[int] = Counter([0])
        self._count_bytes(found, self._counts_offset, self._counts_clusters << self.cluster_bits)
        for offset in self._count_blocks().values():
            found[offset >> self.cluster_bits] += 1
        self._count_bytes(found, self._snapshots_offset, self._snapshots_bytes)
        self._count_mapping(found, self._l1_offset, self.l1)
        for entry in self.entries:
            self._count_mapping(found, entry.l1_offset, self.snapshot_l1(entry))
        for magic, data in self._extensions():
            if magic == _BITMAPS and len(data) >= 24:
                count, size, offset = struct.unpack_from(">I4xQQ", data)
                self._count_bytes(found, offset, size)
                self._count_bitmaps(found, count, offset)
            elif magic == _ENCRYPTION and len(data) >= 16:
                self._count_bytes(found, *struct.unpack_from(">QQ", data))
        return found

    def _count_bytes(self, found: Counter[int], offset: int, size: int) -> None:
        if size:
            last = (offset + size - 1) >> self.cluster_bits
            found.update(range(offset >> self.cluster_bits, last + 1))

    def _count_mapping(self, found: Counter[int], l1_offset: int, l1: array[int]) -> None:
        self._count_bytes(found, l1_offset, 8 * len(l1))
        for entry in l1:
            offset = entry & _OFFSET
            if offset:
                found[offset >> self.cluster_bits] += 1
                found.update(self._table(offset).references)

    def _count_bitmaps(self, found: Counter[int], count: int, at: int) -> None:
        for _ in range(count):
            offset, size, _, _, _, name_size, extra_size = struct.unpack(
                ">QIIBBHI", self._bytes(at, 24)
            )
            self._count_bytes(found, offset, 8 * size)
            for word in self._words(offset, size):
                if word & _OFFSET:
                    found[(word & _OFFSET) >> self.cluster_bits] += 1
            at += -(-(24 + extra_size + name_size) // 8) * 8

    def _extensions(self) -> Iterator[tuple[int, bytes]]:
        at = self.header_length
        while at + 8 <= self.cluster_size:
            magic, length = struct.unpack(">II", self._bytes(at, 8))
            if not magic or at + 8 + length > self.cluster_size:
                return
            yield magic, self._bytes(at + 8, length)
            at += 8 + -(-length // 8) * 8

    def _count_blocks(self) -> dict[int, int]:
        """Host offsets of the refcount blocks, by index."""
        if self._blocks is None:
            entries = self._counts_clusters * (self.cluster_size // 8)
            words = self._words(self._counts_offset, entries)
            used = len(words.tobytes().rstrip(b"\0")) // 8 + 1
            blocks = {n: word & ~(SECTOR - 1) for n, word in enumerate(words[:used])}
            self._blocks = {n: offset for n, offset in blocks.items() if offset}
        for offset in self._blocks.values():
            if offset & (self.cluster_size - 1):
                raise DamagedError(f"refcount block offset {offset:#x} unaligned")
        return self._blocks

    def counts(self) -> dict[int, int]:
        """The stored count of each host cluster that has one."""
        found: dict[int, int] = {}
        width = 1 << self.refcount_order
        each = self.cluster_size * 8 // width
        for index, offset in self._count_blocks().items():
            data = self._bytes(offset, self.cluster_size)
            used = len(data.rstrip(b"\0"))
            if width >= 8:
                code = {8: "B", 16: "H", 32: "I", 64: "Q"}[width]
                n = -(-used * 8 // width)
                values = struct.unpack_from(f">{n}{code}", data)
            else:  # the first cluster is in the lowest bits of its byte
                per_byte = 8 // width
                values = tuple(
                    data[n // per_byte] >> (n % per_byte * width) & ((1 << width) - 1)
                    for n in range(used * per_byte)
                )
            for n, value in enumerate(values):
                if value:
                    found[index * each + n] = value
        return found

    def marked(self) -> list[int]:
        """Host clusters the active disk's tables mark as having this one reference."""
        found = []
        for entry in self.l1:
            offset = entry & _OFFSET
            if offset:
                if entry & _COPIED:
                    found.append(offset >> self.cluster_bits)
                found.extend(self._table(offset).marked)
        return found

    def unmarked(self) -> list[int]:
        """Host clusters the active disk's tables refer to without that mark."""
        left = Counter(self.marked())
        found = []
        for entry in self.l1:
            offset = entry & _OFFSET
            if offset:
                for cluster in [offset >> self.cluster_bits, *self._plain(offset)]:
                    if left[cluster]:
                        left[cluster] -= 1
                    else:
                        found.append(cluster)
        return found

    def _plain(self, l2_offset: int) -> list[int]:
        """Host clusters an L2 table refers to, but for compressed ones."""
        mapped = self._table(l2_offset).mapped
        return [w >> self.cluster_bits for _, w, _, _ in mapped if w and not w & _COMPRESSED]

    # --- contents

    def snapshot_l1(self, entry: Entry) -> array[int]:
        """The L1 table of a snapshot."""
        return self._words(entry.l1_offset, entry.l1_size)

    def active_disk(self) -> Disk:
        """What the guest sees now."""
        return self._disk(self.l1, self.size)

    def snapshots(self) -> dict[str, SnapshotContent]:
        """The snapshots by id."""
        found = {}
        for entry in self.entries:
            l1 = self.snapshot_l1(entry)
            first = -(-entry.disk_size // (self.l2_entries << self.cluster_bits))
            disk = self._disk(l1[:first], entry.disk_size)
            state = self._disk(l1[first:], entry.state_size, with_backing=False)
            found[entry.id] = SnapshotContent(entry.id, entry.name, disk, state)
        return found

    def _disk(self, l1: array[int], size: int, *, with_backing: bool = True) -> Disk:
        backing = self._backing if with_backing else None
        clusters = {}
        if backing is not None:
            end = -(-size >> self.cluster_bits)
            clusters = {n: data for n, data in backing.clusters.items() if n < end}
        zeros = bytes(self.cluster_size)
        last, inside = divmod(size, self.cluster_size)
        for l1_index, entry in enumerate(l1):
            offset = entry & _OFFSET
            if not offset:
                continue
            for index, where, allocated, zero in self._table(offset).mapped:
                number = l1_index * self.l2_entries + index
                if number >= last + bool(inside):
                    continue
                below = clusters.get(number, zeros)
                data = self._cluster(where, allocated, zero, below)
                if number == last:
                    data = data[:inside].ljust(self.cluster_size, b"\0")
                if data == zeros:
                    clusters.pop(number, None)
                else:
                    clusters[number] = data
        return Disk(size, clusters)

    def _cluster(self, where: int, allocated: int, zero: int, below: bytes) -> bytes:
        if where & _COMPRESSED:
            return self._decompressed(where)
        if zero == _ALL_SUBCLUSTERS:
            return bytes(self.cluster_size)
        if not allocated and not zero:
            return below
        data = self._read.get(where)
        if data is None:
            data = self._read[where] = self._bytes(where, self.cluster_size)
        if allocated == _ALL_SUBCLUSTERS:
            return data
        size = self.cluster_size // 32
        return b"".join(
            (
                bytes(size)
                if zero >> n & 1
                else (data if allocated >> n & 1 else below)[at : at + size]
            )
            for n, at in enumerate(range(0, self.cluster_size, size))
        )

    def _decompressed(self, entry: int) -> bytes:
        data = self._bytes(*self._compressed(entry))
        if self._zstd:
            return data.ljust(self.cluster_size, b"\0")  # as stored, which is enough to compare
        try:
            plain = zlib.decompressobj(wbits=-12).decompress(data, self.cluster_size)
        except zlib.error as error:
            raise DamagedError(f"compressed cluster {entry:#x}: {error}") from error
        return plain.ljust(self.cluster_size, b"\0")
