"""L2 entries: what their bits say.

A table is a row of 64-bit words.  With extended L2 entries each takes two: the second has a
bit for each of 32 subclusters that says whether it is allocated, and one whether it reads as
zeros.
Source: qcow2 specification, "Cluster mapping", "Extended L2 Entries".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    # Clusters that are referred to: a run (first, count), or their numbers in any order.
    Reference: TypeAlias = tuple[int, int] | list[int]

COPIED = 1 << 63  # the cluster has this one reference: it may be written in place
COMPRESSED = 1 << 62
ZERO = 1  # reads as zeros; not with extended entries
OFFSET_MASK = 0x00FFFFFFFFFFFE00  # bits 9-55

ALL_ALLOCATED = (1 << 32) - 1  # of a bitmap: every subcluster has its data in the cluster
ALL_ZERO = ALL_ALLOCATED << 32  # of a bitmap: every subcluster reads as zeros

_SECTOR = 512


class EntryLayout:
    """How the L2 entries of an image are laid out.

    Args:
        cluster_bits: log2 of the cluster size.
        is_extended: whether an entry takes two words.
    """

    def __init__(self, cluster_bits: int, *, is_extended: bool) -> None:
        self.cluster_bits = cluster_bits
        self.cluster_size = 1 << cluster_bits
        self.is_extended = is_extended
        self.words = 2 if is_extended else 1
        self.l2_bits = cluster_bits - (4 if is_extended else 3)  # log2 of a table's entries
        self.span_bits = cluster_bits + self.l2_bits  # log2 of the disk that a table maps
        self._size_shift = 62 - (cluster_bits - 8)

    def compressed_range(self, entry: int) -> tuple[int, int]:
        """Where a compressed cluster's bytes may lie: host offset and length."""
        offset = entry & ((1 << self._size_shift) - 1)
        sectors = (entry >> self._size_shift & ((1 << (self.cluster_bits - 8)) - 1)) + 1
        return offset, sectors * _SECTOR - (offset & (_SECTOR - 1))

    def compressed_entry(self, host_offset: int, length: int) -> int:
        """The entry of a compressed cluster whose bytes lie at an offset."""
        more_sectors = (host_offset + length - 1) // _SECTOR - host_offset // _SECTOR
        return COMPRESSED | more_sectors << self._size_shift | host_offset

    def compressed_clusters(self, entry: int) -> tuple[int, int]:
        """The run of host clusters that a compressed cluster's bytes touch."""
        offset, length = self.compressed_range(entry)
        first = offset >> self.cluster_bits
        return first, ((offset + length - 1) >> self.cluster_bits) - first + 1


def subclusters(first: int, end: int) -> int:
    """The bits of the subclusters `first` to `end` in the lower half of a bitmap."""
    return (1 << end) - (1 << first)
