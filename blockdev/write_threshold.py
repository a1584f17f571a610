"""Tells once when a node is written past a byte: QEMU's write threshold."""

from __future__ import annotations

from blockdev.dirty_marks import DirtyMarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.node import BlockNode


class WriteThreshold(DirtyMarks):
    """Watches the writes of a node.

    Args:
        end: bytes from the start of the node; what is written past them is told of.
        tell: is given how many bytes too far it was.
    """

    __slots__ = ("_tell", "end")

    def __init__(self, end: int, tell: Callable[[int], object]) -> None:
        self.end = end
        self._tell = tell

    def mark(self, offset: int, size: int) -> None:
        if self.end and offset + size > self.end:
            over, self.end = offset + size - self.end, 0
            self._tell(over)

    def resize(self, size: int) -> None:
        """That is no write."""


def threshold_of(node: BlockNode) -> int:
    """The byte that is watched for; 0 for none."""
    return next((w.end for w in node.dirty_bitmaps if isinstance(w, WriteThreshold)), 0)


def set_threshold(node: BlockNode, end: int, tell: Callable[[int], object]) -> None:
    """Watch for another byte, or for none where it is 0."""
    watches = [each for each in node.dirty_bitmaps if isinstance(each, WriteThreshold)]
    for each in watches:
        node.dirty_bitmaps.remove(each)
    if end:
        node.dirty_bitmaps.append(WriteThreshold(end, tell))
