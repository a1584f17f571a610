"""What a stream has of disks: the ``block`` section of ``migrate -b``, and dirty bitmaps."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.migration.block import DATA, EOS, FLAGS, PIECE_SIZE, PROGRESS, ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.decode_source import Cursor

MOST_DISKS = 4096

# The flags that each record of ``dirty-bitmap`` begins with.
BITMAP_EOS = 0x01
BITMAP_ZEROES = 0x02
BITMAP_NAME = 0x04
BITMAP_DEVICE = 0x08
BITMAP_START = 0x10
BITMAP_COMPLETE = 0x20  # nothing follows
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


class BlockDecoder:
    """Looks through the bodies of ``block``; each record has all that belongs to it."""

    def decode(self, cursor: Cursor) -> DiskBody:
        """Look through one body, up to its end."""
        body = DiskBody()
        while True:
            flags = cursor.number(8, "a disk") & FLAGS
            if flags & EOS:
                return body
            if flags & DATA:
                name = cursor.counted("a disk")
                if not flags & ZERO:
                    cursor.skip(PIECE_SIZE, "a disk")
                body.add(name, is_zero=bool(flags & ZERO))
            elif not flags & PROGRESS:
                raise QemuError(f"Unknown block migration flags: {flags:#x}")


class DirtyBitmapDecoder:
    """Looks through the bodies of ``dirty-bitmap``.

    A record without names is of the bitmap last named, even sections ago.
    """

    def __init__(self) -> None:
        self._device = b""
        self._name = b""

    def decode(self, cursor: Cursor) -> DiskBody:
        """Look through one body, up to its end."""
        body = DiskBody()
        what = "a dirty bitmap"
        while True:
            flags = cursor.number(1, what)
            if flags & ~BITMAP_KNOWN:
                raise QemuError(f"Unknown flags of a dirty bitmap: {flags:#x}")
            if flags & BITMAP_DEVICE:
                self._device = cursor.counted(what)
            if flags & BITMAP_NAME:
                self._name = cursor.counted(what)
            if flags & BITMAP_START:
                cursor.skip(5, what)  # granularity and the bitmap's own flags
            elif flags & BITMAP_BITS:
                cursor.skip(12, what)  # first sector and how many
                if not flags & BITMAP_ZEROES:
                    cursor.skip(cursor.number(8, what), what)
                is_zero = bool(flags & BITMAP_ZEROES)
                body.add(self._device + b"/" + self._name, is_zero=is_zero)
            if flags & BITMAP_EOS:
                return body
