"""The L2 tables in memory, and which of them the file doesn't have yet.

A table that nothing in the file points to may be written at any time.  A change to one that the
file does point to may only be written when everything it refers to is on the disk; the image's
write order (see `blockdev.qcow2.metadata`) sees to that.
Source: qcow2 specification, "Cluster mapping".
"""

from __future__ import annotations

from array import array

from blockdev.qcow2.entries import OFFSET_MASK
from blockdev.qcow2.words import big_endian, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockdev.node import BlockNode
    from blockdev.qcow2.columns import Columns

_CACHE_BYTES = 64 << 20  # tables beyond that are let go of when they are clean
_FEWEST_TABLES = 16


class L2Table:
    """One L2 table; change it through `set` and `replace_marks`.

    Args:
        host_offset: bytes.
        raw: the table as the file has it.
        is_reachable: whether something in the file points to it.
        pending: where the table puts itself when the file lacks a change of it.
    """

    __slots__ = (
        "_high",
        "_length",
        "_low",
        "_pending",
        "_raw",
        "_run",
        "_words",
        "host_offset",
        "is_reachable",
    )

    def __init__(
        self, host_offset: int, raw: bytes, *, is_reachable: bool, pending: dict[int, L2Table]
    ) -> None:
        self.host_offset = host_offset
        self._raw = raw
        self._words: array[int] | None = None  # made when a word is asked for; then there's no _raw
        self.is_reachable = is_reachable
        self._pending = pending
        self._run: tuple[int, int] | None = None
        # The changed words are _low to _high; a table that the file lacks is all change.
        self._length = len(raw) // 8
        self._low, self._high = (self._length, 0) if is_reachable else (0, self._length)
        if not is_reachable:
            pending[host_offset] = self

    @property
    def words(self) -> array[int]:
        """The table as numbers."""
        words = self._words
        if words is None:
            words = self._words = from_big_endian("Q", self._raw)
            self._raw = b""
        return words

    @property
    def raw(self) -> bytes:
        """The table as the file has it, or will."""
        return self._raw if self._words is None else big_endian(self._words)

    def set(self, index: int, values: Iterable[int]) -> None:
        """Change words from `index` on."""
        self._run = None
        new = array("Q", values)
        self.words[index : index + len(new)] = new
        self._low = min(self._low, index)
        self._high = max(self._high, index + len(new))
        self._pending[self.host_offset] = self

    def replace_marks(self, raw: bytes) -> None:
        """Change the whole table, but only its marks: the clusters that it maps stay the same."""
        self._raw = raw
        self._words = None
        self._low, self._high = 0, self._length
        self._pending[self.host_offset] = self

    def run(self, columns: Columns) -> tuple[int, int]:
        """As `Columns.run`, kept until the table changes."""
        if self._run is None:
            self._run = columns.run(self.raw)
        return self._run

    def write(self, file: BlockNode) -> None:
        """Bring the changed words to the file."""
        if self._words is None:
            data = self._raw[8 * self._low : 8 * self._high]
        else:
            data = big_endian(self._words[self._low : self._high])
        file.write(self.host_offset + 8 * self._low, [data])
        self._low, self._high = self._length, 0
        del self._pending[self.host_offset]


class L2Tables:
    """The tables of an image by host offset, shared by all L1 tables that point to them."""

    def __init__(self, file: BlockNode, cluster_size: int) -> None:
        self._file = file
        self._cluster_size = cluster_size
        self._most = max(_CACHE_BYTES // cluster_size, _FEWEST_TABLES)
        self._tables: dict[int, L2Table] = {}
        self._pending: dict[int, L2Table] = {}  # those with changes that the file lacks

    def get(self, host_offset: int) -> L2Table:
        """The table at an offset, from memory or the file."""
        table = self._tables.get(host_offset)
        if table is None:
            raw = self._file.read(host_offset, self._cluster_size)
            table = L2Table(host_offset, raw, is_reachable=True, pending=self._pending)
            self._keep(table)
        return table

    def add(self, host_offset: int, raw: bytes) -> L2Table:
        """A new table, which nothing in the file points to."""
        table = L2Table(host_offset, raw, is_reachable=False, pending=self._pending)
        self._keep(table)
        return table

    def _keep(self, table: L2Table) -> None:
        if len(self._tables) >= self._most:
            self._tables = dict(self._pending)
        self._tables[table.host_offset] = table

    def forget(self, is_free: Callable[[int], bool]) -> None:
        """Drop the tables whose cluster, by number, is free: it will be something else."""
        for offset in [o for o in self._tables if is_free(o // self._cluster_size)]:
            del self._tables[offset]
            self._pending.pop(offset, None)

    @property
    def has_changes(self) -> bool:
        """Whether a table that the file points to has changed."""
        return any(table.is_reachable for table in self._pending.values())

    @property
    def are_many_pending(self) -> bool:
        """Whether changes that the file lacks take as much memory as they should."""
        return len(self._pending) >= self._most

    def write_new(self) -> None:
        """Write the tables that nothing in the file points to yet."""
        for table in [t for t in self._pending.values() if not t.is_reachable]:
            table.write(self._file)

    def write_changes(self) -> None:
        """Write the changes of tables that the file points to."""
        for table in [t for t in self._pending.values() if t.is_reachable]:
            table.write(self._file)

    def now_reachable(self, l1: array[int]) -> None:
        """The file points to the tables of this L1 table from now on."""
        for entry in l1:
            table = self._tables.get(entry & OFFSET_MASK)
            if table is not None:
                table.is_reachable = True
