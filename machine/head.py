"""The snapshot that a machine was last saved to or put back to, and how far it has gone since."""

from __future__ import annotations

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.snapshot import find_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode

_GRANULARITY = 1 << 16  # bytes, where a node has no clusters


class Head:
    """What the machine would go back to.

    Args:
        tag: of the snapshot.
        nodes: the disks that have it.
    """

    __slots__ = ("_bitmaps", "_nodes", "tag")

    def __init__(self, tag: str, nodes: Sequence[BlockNode]) -> None:
        self.tag = tag
        self._nodes = list(nodes)
        self._bitmaps = [
            DirtyBitmap(node.size, node.cluster_size or _GRANULARITY) for node in nodes
        ]
        for node, bitmap in zip(self._nodes, self._bitmaps, strict=True):
            node.dirty_bitmaps.append(bitmap)

    def close(self) -> None:
        """Look at the disks no longer."""
        for node, bitmap in zip(self._nodes, self._bitmaps, strict=True):
            node.dirty_bitmaps.remove(bitmap)

    @property
    def is_there(self) -> bool:
        """Whether the snapshot still is on one of the disks."""
        return any(find_by_name(node.snapshots(), self.tag) for node in self._nodes)

    @property
    def clusters_changed(self) -> int:
        """How many clusters of the disks were written since."""
        return sum(bitmap.count for bitmap in self._bitmaps)
