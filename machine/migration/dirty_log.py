"""The pages of a RAM block that a running guest writes while the memory is on its way."""

from __future__ import annotations

from blockdev.dirty_bitmap import DirtyBitmap
from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import RamBlock


class DirtyLog(DirtyBitmap):
    """What was written since the log was last taken; it begins empty, and ends with `stop`."""

    __slots__ = ("_block",)

    def __init__(self, block: RamBlock) -> None:
        super().__init__(block.size, PAGE_SIZE)
        self._block = block
        block.dirty_bitmaps.append(self)

    def stop(self) -> None:
        self._block.dirty_bitmaps.remove(self)

    def move_into(self, dirty: bytearray) -> int:
        """Take the log: move it into a map of one byte a page.

        Returns:
            How many pages were in the log.
        """
        logged, self.count = self.count, 0
        if logged:
            merged = int.from_bytes(dirty, "big") | int.from_bytes(self._marks, "big")
            dirty[:] = merged.to_bytes(len(dirty), "big")
            self._marks = bytearray(len(dirty))
        return logged
