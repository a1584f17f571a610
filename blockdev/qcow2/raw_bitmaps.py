"""The directory of an image's persistent bitmaps, read without the engine's help.

Source: qcow2 specification, "Bitmaps".
"""

from __future__ import annotations

import errno
import struct

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.raw_header import RawHeader

MAX_BITMAPS = 65535
MAX_DIRECTORY_BYTES = MAX_BITMAPS * 1024
_MAX_TABLE_ENTRIES = 0x8000000
_MAX_NAME = 1023
_FIXED_BYTES = 24
_FLAGS, _DIRTY_TRACKING = 0b111, 1


def read_bitmap_tables(header: RawHeader) -> Iterator[tuple[int, int]]:
    """Each bitmap's table: host offset, and how many entries of 8 bytes it has.

    Raises:
        QemuError: an entry of the directory can't be one.
    """
    assert header.bitmaps is not None
    count, directory_size, directory_offset = header.bitmaps
    directory = header.read(directory_offset, directory_size)
    offset = 0
    for _ in range(count):
        fixed = directory[offset : offset + _FIXED_BYTES].ljust(_FIXED_BYTES, b"\0")
        table_offset, table_size, flags, kind, granularity, name_size, extra_size = struct.unpack(
            ">QIIBBHI", fixed
        )
        start = offset + _FIXED_BYTES + extra_size
        offset = -(-(start + name_size) // 8) * 8
        if (
            offset > directory_size
            or not 0 < table_size <= _MAX_TABLE_ENTRIES
            or not table_offset
            or table_offset & (header.cluster_size - 1)
            or flags & ~_FLAGS
            or kind != _DIRTY_TRACKING
            or not 0 < name_size <= _MAX_NAME
            or not 9 <= granularity <= 31
        ):
            name = directory[start : start + name_size].decode("utf-8", "surrogateescape")
            raise QemuError(f"Bitmap '{name}' doesn't satisfy the constraints", errno.EINVAL)
        yield table_offset, table_size
