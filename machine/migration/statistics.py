"""What `info migrate` counts of the memory that was sent."""

from __future__ import annotations


class RamStatistics:
    """Counts of one migration; pages and bytes of stream.

    Attributes:
        duplicate: pages that were zero, of which a byte was sent.
        normal: pages that were sent whole.
        dirty_sync_count: how often the dirty log was looked at.
        dirty_pages_rate: pages that the guest wrote in a second, as last measured.
        precopy_bytes: sent while the guest ran.
        downtime_bytes: sent while it stood still.
    """

    __slots__ = (
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
        self.dirty_sync_count = 0
        self.dirty_pages_rate = 0
        self.precopy_bytes = 0
        self.downtime_bytes = 0

    @property
    def transferred(self) -> int:
        """Bytes of the ``ram`` section's records."""
        return self.precopy_bytes + self.downtime_bytes
