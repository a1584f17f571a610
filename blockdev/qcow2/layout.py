"""Where the parts of a new image go, before the file exists.

The clusters are handed out as QEMU's allocator hands them out in a new image, so that the file is
the same byte for byte: the first run that is free, a refcount block behind what needs it first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array


class Layout:
    """The clusters of an image that isn't there yet.

    Args:
        cluster_size: bytes.
        refcount_bits: width of a count.

    Attributes:
        counted: a 1 for each cluster taken, by number.
        blocks: where the refcount blocks are: index in the refcount table, cluster.
        table_clusters: clusters of the refcount table, which begins at cluster 1.
    """

    def __init__(self, cluster_size: int, refcount_bits: int, table_clusters: int) -> None:
        self.table_clusters = table_clusters
        self.per_block = cluster_size * 8 // refcount_bits
        self.counted = bytearray()
        self._free = 0  # where the search goes on
        self.blocks = {0: 1 + table_clusters}
        self.take(2 + table_clusters)

    def take(self, count: int) -> int:
        """Take so many clusters in a row; the first one's number."""
        while True:
            first = self._find(count)
            missing = self._count(first, count)
            if missing is None:
                return first
            self._add_block(missing)
            if missing > first // self.per_block:
                self._free = min(self._free, first)  # what had been counted is free again

    def _find(self, count: int) -> int:
        found = self.counted.find(bytes(count), self._free)
        if found < 0:
            found = max(self._free, len(self.counted))  # nothing is taken from here on
        self._free = found + count
        return found

    def _count(self, first: int, count: int) -> int | None:
        """Count clusters once; None, or the block that is missing and nothing is counted."""
        for index in range(first // self.per_block, (first + count - 1) // self.per_block + 1):
            if index not in self.blocks:
                return index
        end = first + count
        self.counted.extend(bytes(max(0, end - len(self.counted))))
        self.counted[first:end] = b"\1" * count
        return None

    def _add_block(self, index: int) -> None:
        cluster = self._find(1)
        if cluster // self.per_block == index:
            self.blocks[index] = cluster
            self._count(cluster, 1)
            return
        missing = self._count(cluster, 1)
        if missing is None:
            self.blocks[index] = cluster
        else:
            self._add_block(missing)

    def block(self, index: int, order: int, cluster_size: int) -> bytes:
        """The bytes of a refcount block; `order` is log2 of a count's width."""
        from blockdev.qcow2.tally import Tally

        tally = Tally(0)
        first = index * self.per_block
        tally.small[:] = self.counted[first : first + self.per_block]
        return tally.encode(cluster_size, order, 0)


def straight_entries(first: int, count: int, cluster_size: int) -> array[int]:
    """L1 or L2 entries, each its cluster's only reference, for a run from host offset `first`."""
    from array import array

    begin = first | 1 << 63
    return array("Q", range(begin, begin + count * cluster_size, cluster_size))
