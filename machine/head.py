"""The snapshot that a machine was last saved to or put back to, and how far it has gone since."""

from __future__ import annotations

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.filter import skip_implicit
from blockdev.snapshot import find_by_name
from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from machine.memory import RamBlock

_GRANULARITY = 1 << 16  # bytes, where a node has no clusters


class Head:
    """What the machine would go back to.

    Args:
        tag: of the snapshot.
        nodes: the disks that have it.
        blocks: the memory that is saved with it.
    """

    __slots__ = ("_bitmaps", "_blocks", "_nodes", "_pages", "tag")

    def __init__(self, tag: str, nodes: Sequence[BlockNode], blocks: Sequence[RamBlock]) -> None:
        self.tag = tag
        # What a job puts over a disk goes again; the disk is what the snapshot is of.
        self._nodes = [skip_implicit(node) for node in nodes]
        self._blocks = list(blocks)
        self._pages = [DirtyBitmap(block.size, PAGE_SIZE) for block in blocks]
        for block, bitmap in zip(self._blocks, self._pages, strict=True):
            block.dirty_bitmaps.append(bitmap)
        self._bitmaps = [
            DirtyBitmap(node.size, node.cluster_size or _GRANULARITY) for node in self._nodes
        ]
        for node, bitmap in zip(self._nodes, self._bitmaps, strict=True):
            node.dirty_bitmaps.append(bitmap)

    def close(self) -> None:
        """Look at memory and disks no longer."""
        for block, bitmap in zip(self._blocks, self._pages, strict=True):
            block.dirty_bitmaps.remove(bitmap)
        for node, bitmap in zip(self._nodes, self._bitmaps, strict=True):
            node.dirty_bitmaps.remove(bitmap)

    @property
    def is_there(self) -> bool:
        """Whether the snapshot still is on one of the disks, and that still in use."""
        used = [node for node in self._nodes if node.parents or node.monitor_owned]
        return any(find_by_name(node.snapshots(), self.tag) for node in used)

    @property
    def pages_changed(self) -> int:
        """How many pages of memory were written since."""
        return sum(bitmap.count for bitmap in self._pages)

    @property
    def clusters_changed(self) -> int:
        """How many clusters of the disks were written since."""
        return sum(bitmap.count for bitmap in self._bitmaps)
