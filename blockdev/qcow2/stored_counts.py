"""The counts that a file stores in its refcount blocks, as a walk over the image reads them.

Source: qcow2 specification, "Reference counting".
"""

from __future__ import annotations

from blockdev.qcow2.table_walk import from_big_endian
from blockdev.qcow2.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.raw_header import RawHeader

OFFSET_MASK = 0xFFFFFFFFFFFFFE00  # refcount table entry: bits 9-63


class StoredCounts:
    """The counts of all clusters of an image.

    Args:
        image: whose header says where the refcount table is.
        clusters: of the file.

    Attributes:
        tally: the counts of the file's clusters; 0 for those that can't be read.
        table: the refcount table's entries that aren't 0, by index, in order.
        unreadable: runs (first cluster, count) whose counts can't be read.
    """

    def __init__(self, image: RawHeader, clusters: int) -> None:
        self._image = image
        self.tally = Tally(clusters)
        self.unreadable: list[tuple[int, int]] = []
        self._block_entries = image.cluster_size * 8 >> image.refcount_order
        size = image.refcount_table_clusters << image.cluster_bits
        raw = image.read(image.refcount_table_offset, size)
        used = -(-len(raw.rstrip(b"\0")) // 8)  # with large clusters, most of it is zeros
        entries = from_big_endian(raw[: 8 * used])
        self.table = {index: entry for index, entry in enumerate(entries) if entry}
        for index, entry in self.table.items():
            self._decode(index, entry & OFFSET_MASK)

    def _decode(self, index: int, offset: int) -> None:
        first = index * self._block_entries
        if not offset or first >= len(self.tally):
            return
        if self._is_misplaced(offset):
            last = min(first + self._block_entries, len(self.tally))
            self.unreadable.append((first, last - first))
            return
        block = self._image.read(offset, self._image.cluster_size)
        self.tally.decode(block, self._image.refcount_order, first)

    def _is_misplaced(self, offset: int) -> bool:
        return bool(offset & (self._image.cluster_size - 1) or offset >> 63)

    def get(self, cluster: int) -> int | None:
        """The count of a cluster, even past the end of the file; None: it can't be read."""
        for first, count in self.unreadable:
            if first <= cluster < first + count:
                return None
        if cluster < len(self.tally):
            return self.tally.get(cluster)
        index, entry = divmod(cluster, self._block_entries)
        offset = self.table.get(index, 0) & OFFSET_MASK
        if self._is_misplaced(offset):
            return None
        if not offset:
            return 0
        block = Tally(self._block_entries)
        data = self._image.read(offset, self._image.cluster_size)
        block.decode(data, self._image.refcount_order, 0)
        return block.get(entry)

    def extend(self, clusters: int) -> None:
        """Have the counts of clusters behind the file too, up to `clusters` in all."""
        beyond = range(len(self.tally), clusters)
        counts = [self.get(cluster) for cluster in beyond]
        self.tally.extend(clusters)
        for cluster, count in zip(beyond, counts, strict=True):
            if count is None:
                self.unreadable.append((cluster, 1))
            else:
                self.tally.set(cluster, count)
