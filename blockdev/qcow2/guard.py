"""Keeps writes of a damaged image off its own tables.

Where a count or an entry is wrong, a write could go to a cluster that holds a table.  QEMU looks
before each write, and so does this: a hit marks the image corrupt, and nothing is written.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.entries import OFFSET_MASK
from blockdev.qcow2.header import MAX_L1_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.metadata import Metadata


class Guard:
    """Knows which clusters hold an image's tables.

    The set of their numbers may hold some that are tables no more; a hit is looked at closely.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._clusters: set[int] | None = None

    def renew(self) -> None:
        """Tables have moved: look for them again before the next write."""
        self._clusters = None

    def add(self, cluster: int) -> None:
        """A cluster has become a table."""
        if self._clusters is not None:
            self._clusters.add(cluster)

    def check(self, first: int, count: int) -> None:
        """See that none of some clusters holds a table.

        Raises:
            QemuError: one does; the image is marked corrupt.
        """
        if self._clusters is None:
            self._clusters = {cluster for _, run in self.tables() for cluster in run}
        if self._clusters.isdisjoint(range(first, first + count)):
            return
        for name, run in self.tables():
            if run.start < first + count and first < run.stop:
                self._metadata.report_corruption(
                    f"Preventing invalid write on metadata (overlaps with {name})"
                )
                raise QemuError("Input/output error", errno.EIO)
        self._clusters.difference_update(range(first, first + count))

    def tables(self) -> Iterator[tuple[str, range]]:
        """Each table's name and clusters, in the order in which QEMU looks."""
        metadata, header = self._metadata, self._metadata.header
        bits = metadata.cluster_bits
        yield "qcow2_header", range(1)
        yield "active L1 table", _clusters(header.l1_table_offset, 8 * header.l1_size, bits)
        for entry in metadata.active.l1:
            if entry & OFFSET_MASK:
                yield "active L2 table", _clusters(entry & OFFSET_MASK, 1, bits)
        for offset in metadata.refcounts.block_offsets():
            yield "refcount block", _clusters(offset, 1, bits)
        size = header.refcount_table_clusters << bits
        yield "refcount table", _clusters(header.refcount_table_offset, size, bits)
        table = metadata.snapshot_table
        yield "snapshot table", _clusters(header.snapshots_offset, table.size, bits)
        for snapshot in table.entries:
            size = 8 * snapshot.l1_size
            if size <= MAX_L1_BYTES:  # a longer one is no table, but damage
                yield "inactive L1 table", _clusters(snapshot.l1_table_offset, size, bits)


def _clusters(offset: int, size: int, bits: int) -> range:
    return range(offset >> bits, (offset + size + (1 << bits) - 1) >> bits if size else 0)
