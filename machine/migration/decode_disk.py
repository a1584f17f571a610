"""What a stream has of disks: the ``block`` section of ``migrate -b``, and dirty bitmaps."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.migration.decode_source import Cursor

MOST_DISKS = 4096

# The low bits of the be64 that each record of ``block`` begins with; the others are the offset.
BLOCK_DATA = 0x01  # the disk's name follows, and the data unless it is zero
BLOCK_EOS = 0x02
BLOCK_PROGRESS = 0x04  # the offset is how far it has come, in percent
BLOCK_ZERO = 0x08
BLOCK_FLAGS = 0x1FF
BLOCK_SIZE = 1 << 20  # bytes in each record

# The flags that each record of ``dirty-bitmap`` begins with.
BITMAP_EOS = 0x01
BITMAP_ZEROES = 0x02
BITMAP_NAME = 0x04
BITMAP_DEVICE = 0x08
BITMAP_START = 0x10
BITMAP_COMPLETE = 0x20
BITMAP_BITS = 0x40
BITMAP_KNOWN = 0x7F


class DiskBody:
    """What a section has of each disk or bitmap.

    Attributes:
        counts: by name, how many records with data, and how many without.
    """

    def __init__(self) -> None:
        self.counts: dict[bytes, tuple[int, int]] = {}

    def add(self, name: bytes, *, is_zero: bool) -> None:
        if name not in self.counts and len(self.counts) == MOST_DISKS:
            raise QemuError("The stream has too many disks")
        data, zero = self.counts.get(name, (0, 0))
        self.counts[name] = (data + (not is_zero), zero + is_zero)


def read_block(cursor: Cursor) -> DiskBody:
    """Look through a body of ``block``."""
    body = DiskBody()
    while True:
        flags = cursor.number(8, "a disk") & BLOCK_FLAGS
        if flags & BLOCK_EOS:
            return body
        if flags & BLOCK_DATA:
            name = cursor.counted("a disk")
            if not flags & BLOCK_ZERO:
                cursor.skip(BLOCK_SIZE, "a disk")
            body.add(name, is_zero=bool(flags & BLOCK_ZERO))
        elif not flags & BLOCK_PROGRESS:
            raise QemuError(f"Unknown block migration flags: {flags:#x}")


def read_dirty_bitmap(cursor: Cursor) -> DiskBody:
    """Look through a body of ``dirty-bitmap``."""
    body = DiskBody()
    what = "a dirty bitmap"
    device = name = b""
    while True:
        flags = cursor.number(1, what)
        if flags & ~BITMAP_KNOWN:
            raise QemuError(f"Unknown flags of a dirty bitmap: {flags:#x}")
        if flags & BITMAP_DEVICE:
            device = cursor.counted(what)
        if flags & BITMAP_NAME:
            name = cursor.counted(what)
        if flags & BITMAP_START:
            cursor.skip(5, what)  # granularity and the bitmap's own flags
        elif flags & BITMAP_BITS:
            cursor.skip(12, what)  # first sector and how many
            if not flags & BITMAP_ZEROES:
                cursor.skip(cursor.number(8, what), what)
            body.add(device + b"/" + name, is_zero=bool(flags & BITMAP_ZEROES))
        if flags & BITMAP_EOS:
            return body


LIVE_READERS: dict[str, Callable[[Cursor], DiskBody]] = {
    "block": read_block,
    "dirty-bitmap": read_dirty_bitmap,
}
