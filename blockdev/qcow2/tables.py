"""The L2 tables in memory, and which of them the file doesn't have yet.

A table that nothing in the file points to may be written at any time.  A change to one that the
file does point to may only be written when everything it refers to is on the disk; the image's
write order (see `blockdev.qcow2.image`) sees to that.
Source: qcow2 specification, "Cluster mapping".
"""

from __future__ import annotations

from array import array

from blockdev.qcow2.refcounts import big_endian, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.node import BlockNode

COPIED = 1 << 63  # the cluster has this one reference: it may be written in place
COMPRESSED = 1 << 62
ZERO = 1  # L2 entries: reads as zeros
OFFSET_MASK = 0x00FFFFFFFFFFFE00  # bits 9-55

_CACHED_TABLES = 512  # 32 MiB of 64 KiB tables; more are let go of when they are clean


class L2Table:
    """One L2 table; change entries through `set` and `replace`."""

    __slots__ = ("_high", "_low", "entries", "host_offset", "is_reachable")

    def __init__(self, host_offset: int, entries: array[int], *, is_reachable: bool) -> None:
        self.host_offset = host_offset
        self.entries = entries
        self.is_reachable = is_reachable
        # The changed entries are _low to _high; a table the file lacks is all change.
        self._low, self._high = (len(entries), 0) if is_reachable else (0, len(entries))

    @property
    def is_dirty(self) -> bool:
        """Whether the file lacks something of this table."""
        return self._low < self._high

    def set(self, index: int, values: list[int]) -> None:
        """Change entries from `index` on."""
        self.entries[index : index + len(values)] = array("Q", values)
        self._low = min(self._low, index)
        self._high = max(self._high, index + len(values))

    def replace(self, entries: array[int]) -> None:
        """Change all entries."""
        self.entries = entries
        self._low, self._high = 0, len(entries)

    def write(self, file: BlockNode) -> None:
        """Bring the changed entries to the file."""
        data = big_endian(self.entries[self._low : self._high])
        file.write(self.host_offset + 8 * self._low, [data])
        self._low, self._high = len(self.entries), 0


class L2Tables:
    """The tables of an image by host offset, shared by all L1 tables that point to them."""

    def __init__(self, file: BlockNode, cluster_size: int) -> None:
        self._file = file
        self._cluster_size = cluster_size
        self._tables: dict[int, L2Table] = {}

    def get(self, host_offset: int) -> L2Table:
        """The table at an offset, from memory or the file."""
        table = self._tables.get(host_offset)
        if table is None:
            entries = from_big_endian("Q", self._file.read(host_offset, self._cluster_size))
            table = self._keep(L2Table(host_offset, entries, is_reachable=True))
        return table

    def add(self, host_offset: int, entries: array[int] | None = None) -> L2Table:
        """A new table, which nothing in the file points to; without entries it maps nothing."""
        if entries is None:
            entries = array("Q", bytes(self._cluster_size))
        return self._keep(L2Table(host_offset, entries, is_reachable=False))

    def _keep(self, table: L2Table) -> L2Table:
        if len(self._tables) >= _CACHED_TABLES:
            for offset in [o for o, kept in self._tables.items() if not kept.is_dirty]:
                del self._tables[offset]
        self._tables[table.host_offset] = table
        return table

    def forget(self, is_free: Callable[[int], bool]) -> None:
        """Drop the tables whose cluster, by number, is free: it will be something else."""
        for offset in [o for o in self._tables if is_free(o // self._cluster_size)]:
            del self._tables[offset]

    @property
    def has_changes(self) -> bool:
        """Whether a table that the file points to has changed."""
        return any(t.is_dirty and t.is_reachable for t in self._tables.values())

    def write_new(self) -> None:
        """Write the tables that nothing in the file points to yet."""
        for table in self._tables.values():
            if table.is_dirty and not table.is_reachable:
                table.write(self._file)

    def write_changes(self) -> None:
        """Write the changes of tables that the file points to."""
        for table in self._tables.values():
            if table.is_dirty and table.is_reachable:
                table.write(self._file)

    def now_reachable(self, l1: array[int]) -> None:
        """The file points to the tables of this L1 table from now on."""
        for entry in l1:
            table = self._tables.get(entry & OFFSET_MASK)
            if table is not None:
                table.is_reachable = True
