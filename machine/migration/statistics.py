"""What `info migrate` counts of the memory that was sent."""

from __future__ import annotations


class RamStatistics:
    """Counts of one migration; pages and bytes of stream.

    Attributes:
        duplicate: pages that were zero, of which a byte was sent.
        normal: pages that were sent whole.
        compressed: pages that were sent compressed.
        compressed_bytes: of their data.
        dirty_sync_count: how often the dirty log was looked at.
        dirty_pages_rate: pages that the guest wrote in a second, as last measured.
        precopy_bytes: sent while the guest ran.
        downtime_bytes: sent while it stood still.
    """

    __slots__ = (
        "compressed",
        "compressed_bytes",
        "dirty_pages_rate",
        "dirty_sync_count",
        "downtime_bytes",
        "duplicate",
        "normal",
        "precopy_bytes",
    )

    def __init__(self) -> None:
        self.duplicate = 0
        self.normal = 0
        self.compressed = 0
        self.compressed_bytes = 0
        self.dirty_sync_count = 0
        self.dirty_pages_rate = 0
        self.precopy_bytes = 0
        self.downtime_bytes = 0

    def count_compressed(self, pages: int, size: int) -> None:
        """So many pages were sent compressed, with so many bytes of data."""
        self.compressed += pages
        self.compressed_bytes += size

    @property
    def pages(self) -> int:
        """All that were sent, whatever became of them on the way."""
        return self.duplicate + self.normal + self.compressed

    @property
    def transferred(self) -> int:
        """Bytes of the ``ram`` section's records."""
        return self.precopy_bytes + self.downtime_bytes
