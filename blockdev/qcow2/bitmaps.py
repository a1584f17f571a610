"""Persistent bitmaps, which this engine keeps but doesn't maintain.

A bitmap says which parts of the disk were written since somebody asked, until it was disabled.
Before the disk changes for the first time, each that is not is marked as in use, as QEMU does when
it takes one into memory: should it never be stored again, everyone knows that it may lack
something, and can remove it.  So are all where the disk gets another size.
Source: qcow2 specification, "Bitmaps".
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.node_bitmap import MAX_NAME
from blockdev.qcow2.extensions import EXTENSION_BITMAPS
from blockdev.qcow2.header import BITMAPS, ImageFormatError
from blockdev.wire import Record, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.metadata import Metadata

_MAX_BITMAPS = 65535
_MAX_DIRECTORY_BYTES = _MAX_BITMAPS * 1024
_MAX_TABLE_ENTRIES = 0x8000000
_MAX_BYTES = 0x20000000  # of what a bitmap says
_MIN_BITS, MAX_BITS = 9, 31  # of the granularity
DIRTY_TRACKING = 1  # the only type there is
IN_USE, AUTO = 1, 2  # flags; what isn't auto is disabled


class BitmapsExtension(Record):
    """The header extension.  Source: qcow2 specification, "Bitmaps extension"."""

    nb_bitmaps: int = wire("u32")
    reserved: int = wire("u32")
    bitmap_directory_size: int = wire("u64")  # bytes
    bitmap_directory_offset: int = wire("u64")


class DirectoryEntry(Record):
    """Fixed part of one directory entry; extra data and the name follow, padded to 8 bytes."""

    bitmap_table_offset: int = wire("u64")
    bitmap_table_size: int = wire("u32")  # entries
    flags: int = wire("u32")
    type: int = wire("u8")
    granularity_bits: int = wire("u8")
    name_size: int = wire("u16")
    extra_data_size: int = wire("u32")


class StoredBitmap:
    """One bitmap of an image.

    Args:
        entry: of the directory.
        name: as people know it.
        extra: data of the entry that means nothing so far.
    """

    __slots__ = ("entry", "extra", "name")

    def __init__(self, entry: DirectoryEntry, name: str, extra: bytes = b"") -> None:
        self.entry = entry
        self.name = name
        self.extra = extra

    @property
    def granularity(self) -> int:
        """Bytes of the disk that one bit stands for."""
        return 1 << self.entry.granularity_bits

    @property
    def is_in_use(self) -> bool:
        """Whether somebody had it in memory and never stored it again."""
        return bool(self.entry.flags & IN_USE)

    @property
    def is_enabled(self) -> bool:
        """Whether writes to the disk belong into it."""
        return bool(self.entry.flags & AUTO)

    @property
    def flag_names(self) -> list[str]:
        """What is to be known of it, in QEMU's words."""
        names = ((IN_USE, "in-use"), (AUTO, "auto"))
        return [name for bit, name in names if self.entry.flags & bit]

    def pack(self) -> bytes:
        """Its entry in the directory."""
        data = self.entry.pack() + self.extra + self.name.encode("utf-8", "surrogateescape")
        return data.ljust(-(-len(data) // 8) * 8, b"\0")


class Bitmaps:
    """The bitmaps of an image.

    Args:
        metadata: of the image.
        extensions: the header extensions.

    Attributes:
        are_true: some say of the disk what they should, as far as the file knows.
        are_listed: there is a directory of them.
        are_recording: so do some that writes to the disk belong into.

    Raises:
        ImageFormatError: the header extension can't be; QEMU's words.
    """

    def __init__(self, metadata: Metadata, extensions: list[tuple[int, bytes]]) -> None:
        self._metadata = metadata
        self.are_true = self.are_recording = self.are_listed = False
        contents = [data for magic, data in extensions if magic == EXTENSION_BITMAPS]
        for content in contents:
            if len(content) != BitmapsExtension.SIZE:
                raise ImageFormatError("bitmaps_ext: Invalid extension length")
            if not metadata.header.autoclear_features & BITMAPS:
                continue  # somebody wrote who knew nothing of them
            self._extension = BitmapsExtension.unpack(content)
            self._check(self._extension)
            self.are_true = self.are_recording = self.are_listed = True

    def _check(self, extension: BitmapsExtension) -> None:
        if extension.reserved:
            raise ImageFormatError("bitmaps_ext: Reserved field is not zero")
        if extension.nb_bitmaps > _MAX_BITMAPS:
            raise ImageFormatError(
                f"bitmaps_ext: Image has {extension.nb_bitmaps} bitmaps, exceeding the QEMU "
                f"supported maximum of {_MAX_BITMAPS}"
            )
        if not extension.nb_bitmaps:
            raise ImageFormatError("found bitmaps extension with zero bitmaps")
        if extension.bitmap_directory_offset & (self._metadata.cluster_size - 1):
            raise ImageFormatError("bitmaps_ext: invalid bitmap directory offset")
        if extension.bitmap_directory_size > _MAX_DIRECTORY_BYTES:
            raise ImageFormatError(
                f"bitmaps_ext: bitmap directory size ({extension.bitmap_directory_size}) exceeds "
                f"the maximum supported size ({_MAX_DIRECTORY_BYTES})"
            )

    @property
    def place(self) -> tuple[int, int]:
        """Where the directory lies, host offset and bytes; 0 bytes where there is none."""
        if not self.are_listed:
            return 0, 0
        return self._extension.bitmap_directory_offset, self._extension.bitmap_directory_size

    def were_stored(self, offset: int, size: int, count: int) -> None:
        """The header names another directory now, and all in it is true."""
        self._extension = BitmapsExtension(
            nb_bitmaps=count,
            reserved=0,
            bitmap_directory_size=size,
            bitmap_directory_offset=offset,
        )
        self.are_true = self.are_recording = self.are_listed = bool(count)

    def listed(self) -> list[StoredBitmap]:
        """The bitmaps in the order of the directory.

        Raises:
            QemuError: the directory can't be.
        """
        if not self.are_listed:
            return []
        start, size = self._extension.bitmap_directory_offset, self._extension.bitmap_directory_size
        directory = self._metadata.file.read(start, size)
        found: list[StoredBitmap] = []
        offset, count = 0, self._extension.nb_bitmaps
        while offset < size:
            if offset + DirectoryEntry.SIZE > size:
                raise QemuError("Broken bitmap directory", errno.EINVAL)
            if len(found) == count:
                text = "More bitmaps found than specified in header extension"
                raise QemuError(text, errno.EINVAL)
            entry = DirectoryEntry.unpack(directory, offset)
            start = offset + DirectoryEntry.SIZE + entry.extra_data_size
            end = start + entry.name_size
            if end > size:
                raise QemuError("Broken bitmap directory", errno.EINVAL)
            if entry.extra_data_size:
                raise QemuError("Bitmap extra data is not supported", errno.EINVAL)
            found.append(
                StoredBitmap(entry, directory[start:end].decode("utf-8", "surrogateescape"))
            )
            self._check_entry(found[-1])
            offset += -(-(end - offset) // 8) * 8
        if len(found) < count:
            text = "Less bitmaps found than specified in header extension"
            raise QemuError(text, errno.EINVAL)
        return found

    def _check_entry(self, bitmap: StoredBitmap) -> None:
        """See that a bitmap can be.

        Raises:
            QemuError: it can't.
        """
        entry, cluster_size = bitmap.entry, self._metadata.cluster_size
        if not (
            0 < entry.bitmap_table_size <= _MAX_TABLE_ENTRIES
            and entry.bitmap_table_size * cluster_size <= _MAX_BYTES
            and entry.bitmap_table_offset
            and not entry.bitmap_table_offset % cluster_size
            and not entry.flags & ~(IN_USE | AUTO)
            and entry.type == DIRTY_TRACKING
            and _MIN_BITS <= entry.granularity_bits <= MAX_BITS
            and 0 < entry.name_size <= MAX_NAME
        ):
            text = f"Bitmap '{bitmap.name}' doesn't satisfy the constraints"
            raise QemuError(text, errno.EINVAL)

    def invalidate(self, *, disabled: bool) -> None:
        """Mark them as in use, on the disk before anything is written after it.

        Args:
            disabled: the disabled ones too.
        """
        metadata, extension = self._metadata, self._extension
        start, size = extension.bitmap_directory_offset, extension.bitmap_directory_size
        metadata.guard.check(start >> metadata.cluster_bits, -(-size >> metadata.cluster_bits))
        directory = metadata.file.read(start, size)
        offset = 0
        for _ in range(extension.nb_bitmaps):
            if offset + DirectoryEntry.SIZE > size:
                # A directory that can't be; without the feature nobody looks at it.
                name = "autoclear_features"
                metadata.switch_header(name, name, autoclear_features=0)
                break
            entry = DirectoryEntry.unpack(directory, offset)
            if disabled or entry.flags & AUTO:
                flags = entry.replace(flags=entry.flags | IN_USE).pack("flags", "flags")
                metadata.file.write(start + offset + DirectoryEntry.offset_of("flags"), [flags])
            length = DirectoryEntry.SIZE + entry.extra_data_size + entry.name_size
            offset += -(-length // 8) * 8
        metadata.file.flush()
        self.are_recording = False
        self.are_true = not disabled
