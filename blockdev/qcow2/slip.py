"""Active entries whose COPIED bit doesn't say what the stored count says, kept small.

An image whose counts were lost has one for each cluster, so they are rows of numbers.
"""

from __future__ import annotations

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_COPIED = 1 << 63
_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_COLUMNS = 4


class Slip:
    """One such entry.

    Attributes:
        l1_index: the entry's index in the active L1 table; None for an L2 entry.
        host_offset: where in the file the entry stands, bytes.
        entry: the entry, without an extended one's bitmap.
        refcount: the stored count of the cluster that it maps.
        cluster: that cluster.
    """

    __slots__ = ("cluster", "entry", "host_offset", "l1_index", "refcount")

    def __init__(
        self, *, l1_index: int | None, host_offset: int, entry: int, refcount: int, cluster: int
    ) -> None:
        self.l1_index = l1_index
        self.host_offset = host_offset
        self.entry = entry
        self.refcount = refcount
        self.cluster = cluster

    @property
    def is_copied(self) -> bool:
        """Whether the entry says that the cluster is its alone."""
        return self.entry & _COPIED != 0

    @property
    def text(self) -> str:
        """What QEMU says of it, after ``ERROR`` or ``Repairing``."""
        if self.l1_index is None:
            return f"OFLAG_COPIED data cluster: l2_entry={self.entry:x} refcount={self.refcount}"
        return (
            f"OFLAG_COPIED L2 cluster: l1_index={self.l1_index} l1_entry={self.entry:x} "
            f"refcount={self.refcount}"
        )

    @property
    def corrected(self) -> int:
        """The entry with the other COPIED bit."""
        return self.entry ^ _COPIED


class Slips:
    """Many of them, in the order in which they were found.

    Args:
        cluster_bits: log2 of the image's cluster size.
    """

    __slots__ = ("_cluster_bits", "_rows")

    def __init__(self, cluster_bits: int) -> None:
        self._cluster_bits = cluster_bits
        self._rows = array("Q")  # L1 index and one, or 0; host offset; entry; refcount

    def append(self, l1_index: int | None, host_offset: int, entry: int, refcount: int) -> None:
        """Add one; see `Slip`."""
        row = (0 if l1_index is None else l1_index + 1, host_offset, entry, refcount)
        self._rows.extend(row)

    def extend(self, others: Slips) -> None:
        """Add all of another table's."""
        self._rows.extend(others._rows)

    def __len__(self) -> int:
        return len(self._rows) // _COLUMNS

    def __iter__(self) -> Iterator[Slip]:
        rows = iter(self._rows)
        for l1, host_offset, entry, refcount in zip(rows, rows, rows, rows, strict=True):
            yield Slip(
                l1_index=l1 - 1 if l1 else None,
                host_offset=host_offset,
                entry=entry,
                refcount=refcount,
                cluster=(entry & _OFFSET_MASK) >> self._cluster_bits,
            )
