"""The entries of an image's snapshot table as bytes, read without the engine's help.

Source: qcow2 specification, "Snapshots".
"""

from __future__ import annotations

import errno
import struct

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.raw_header import RawHeader

_MAX_SNAPSHOTS = 65536
_MAX_SNAPSHOT_TABLE_BYTES = 64 << 20
_MAX_EXTRA_DATA = 1024
_FIXED_BYTES = 40
_NEEDED_EXTRA_DATA = 16  # version 3: the size of the machine state in 64 bits, that of the disk
_NO_ICOUNT = (1 << 64) - 1


class RawSnapshot:
    """One entry.

    Attributes:
        l1_offset: bytes.
        l1_size: entries.
        end: offset of the first byte behind it, without padding.
    """

    __slots__ = ("_extra", "_fixed", "_id_size", "_names", "end", "l1_offset", "l1_size")

    def __init__(self, header: RawHeader, offset: int, number: int) -> None:
        self._fixed = header.read(offset, _FIXED_BYTES)
        self.l1_offset, self.l1_size, self._id_size, name_size = struct.unpack_from(
            ">QIHH", self._fixed
        )
        (extra_size,) = struct.unpack_from(">I", self._fixed, 36)
        if extra_size > _MAX_EXTRA_DATA:
            raise QemuError(
                "ERROR failed to read the snapshot table: Too much extra metadata in snapshot "
                f"table entry {number}\nYou can force-remove this extra metadata with "
                "qemu-img check -r all",
                errno.EFBIG,
            )
        names_size = self._id_size + name_size
        rest = header.read(offset + _FIXED_BYTES, extra_size + names_size)
        self._extra, self._names = rest[:extra_size], rest[extra_size:]
        self.end = offset + _FIXED_BYTES + extra_size + names_size

    @property
    def title(self) -> str:
        """How messages name it."""
        id, name = (
            text.split(b"\0")[0].decode("utf-8", "surrogateescape")
            for text in (self._names[: self._id_size], self._names[self._id_size :])
        )
        return f"snapshot {id} ({name})"

    @property
    def is_complete(self) -> bool:
        """Whether it says all that version 3 asks for."""
        return len(self._extra) >= _NEEDED_EXTRA_DATA

    def completed(self, disk_size: int) -> bytes:
        """The entry with all that version 3 asks for, padded.

        What it doesn't say is taken from elsewhere, as QEMU does: the size of the machine state
        from its old field, that of the disk from now.
        """
        (vmstate_size,) = struct.unpack_from(">I", self._fixed, 32)
        default = struct.pack(">QQQ", vmstate_size, disk_size, _NO_ICOUNT)
        extra = self._extra
        if len(extra) < len(default):
            known = len(extra) // 8 * 8
            extra = extra[:known] + default[known:]
        entry = self._fixed[:36] + struct.pack(">I", len(extra)) + extra + self._names
        return entry.ljust(-(-len(entry) // 8) * 8, b"\0")


def read_snapshots(header: RawHeader) -> Iterator[RawSnapshot]:
    """The entries of the snapshot table, in order.

    Raises:
        QemuError: the table can't be one.
    """
    if header.nb_snapshots > _MAX_SNAPSHOTS:
        over = header.nb_snapshots - _MAX_SNAPSHOTS
        raise QemuError(
            "ERROR snapshot table too large\nYou can force-remove all "
            f"{over} overhanging snapshots with qemu-img check -r all",
            errno.EFBIG,
        )
    offset = header.snapshots_offset
    if header.nb_snapshots and (offset & (header.cluster_size - 1) or offset >> 63):
        raise QemuError("ERROR snapshot table offset invalid", errno.EINVAL)
    for number in range(header.nb_snapshots):
        snapshot = RawSnapshot(header, offset, number)
        yield snapshot
        offset = -(-snapshot.end // 8) * 8
        if offset - header.snapshots_offset > _MAX_SNAPSHOT_TABLE_BYTES:
            text = "ERROR failed to read the snapshot table: Snapshot table is too big"
            raise QemuError(text, errno.EFBIG)
