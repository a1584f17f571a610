"""Persistent bitmaps, which this engine keeps but doesn't maintain.

A bitmap says which parts of the disk were written since somebody asked, until it was disabled.
Before the disk changes for the first time, each that is not is marked as in use, as QEMU does when
it takes one into memory: should it never be stored again, everyone knows that it may lack
something, and can remove it.  So are all where the disk gets another size.
Source: qcow2 specification, "Bitmaps".
"""

from __future__ import annotations

from blockdev.qcow2.extensions import EXTENSION_BITMAPS
from blockdev.qcow2.header import BITMAPS, ImageFormatError
from blockdev.wire import Record, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.metadata import Metadata

_MAX_BITMAPS = 65535
_MAX_DIRECTORY_BYTES = _MAX_BITMAPS * 1024
_IN_USE, _AUTO = 1, 2  # flags; what isn't auto is disabled


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


class Bitmaps:
    """The bitmaps of an image.

    Args:
        metadata: of the image.
        extensions: the header extensions.

    Attributes:
        are_true: some say of the disk what they should, as far as the file knows.
        are_recording: so do some that writes to the disk belong into.

    Raises:
        ImageFormatError: the header extension can't be; QEMU's words.
    """

    def __init__(self, metadata: Metadata, extensions: list[tuple[int, bytes]]) -> None:
        self._metadata = metadata
        self.are_true = self.are_recording = False
        contents = [data for magic, data in extensions if magic == EXTENSION_BITMAPS]
        for content in contents:
            if len(content) != BitmapsExtension.SIZE:
                raise ImageFormatError("bitmaps_ext: Invalid extension length")
            if not metadata.header.autoclear_features & BITMAPS:
                continue  # somebody wrote who knew nothing of them
            self._extension = BitmapsExtension.unpack(content)
            self._check(self._extension)
            self.are_true = self.are_recording = True

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
            if disabled or entry.flags & _AUTO:
                flags = entry.replace(flags=entry.flags | _IN_USE).pack("flags", "flags")
                metadata.file.write(start + offset + DirectoryEntry.offset_of("flags"), [flags])
            length = DirectoryEntry.SIZE + entry.extra_data_size + entry.name_size
            offset += -(-length // 8) * 8
        metadata.file.flush()
        self.are_recording = False
        self.are_true = not disabled
