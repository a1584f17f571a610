"""The persistent bitmaps of an image in memory, to be changed and stored again.

While they are here the file calls them in use, once the disk changes (see
`blockdev.qcow2.bitmaps`); they are stored before the image is closed.
Source: qcow2 specification, "Bitmaps".
"""

from __future__ import annotations

import errno
from array import array

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import QemuError
from blockdev.qcow2.bitmaps import (
    AUTO,
    IN_USE,
    BitmapsExtension,
    DirectoryEntry,
    StoredBitmap,
)
from blockdev.qcow2.extensions import EXTENSION_BITMAPS
from blockdev.qcow2.header import BITMAPS
from blockdev.qcow2.header_write import extensions_of, write_header
from blockdev.qcow2.words import big_endian, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.image import Image

_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_ALL_ONES = 1  # in a table entry without an offset
_MAX_TABLE_BYTES = 1 << 26
_MAX_BITMAPS = 65535
_MAX_NAME = 1023
_MIN_BITS, _MAX_BITS = 9, 31
_DIRTY_TRACKING = 1  # the only type there is


class KeptBitmap:
    """A bitmap in memory.

    Attributes:
        stored: how the file has it; its table is where it was until it is stored again.
        marks: what it says; None for one that can't be trusted.
        is_changed: the file has it otherwise.
    """

    __slots__ = ("is_changed", "marks", "stored")

    def __init__(
        self, stored: StoredBitmap, marks: DirtyBitmap | None, *, is_changed: bool = False
    ) -> None:
        self.stored = stored
        self.marks = marks
        self.is_changed = is_changed


class BitmapStore:
    """All bitmaps of an image that is open for writing.

    Raises:
        QemuError: they can't be read.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._old_directory = image.bitmaps.place
        self._freed: list[Reference] = []
        self._is_changed = False
        self.bitmaps = [
            KeptBitmap(stored, None if stored.is_in_use else load(image, stored))
            for stored in image.bitmaps.listed()
        ]
        for kept in self.bitmaps:
            self._attach(kept)
        self._counts = {id(kept): self._count(kept) for kept in self.bitmaps}

    def _attach(self, kept: KeptBitmap) -> None:
        """Let writes to the disk come into it, or no more."""
        if kept.marks is None:
            return
        attached = self._image.dirty_bitmaps
        if kept.stored.is_enabled and kept.marks not in attached:
            attached.append(kept.marks)
        elif not kept.stored.is_enabled and kept.marks in attached:
            attached.remove(kept.marks)

    def _count(self, kept: KeptBitmap) -> int:
        return kept.marks.count if kept.marks is not None else 0

    # --- what `qemu-img bitmap` does

    def find(self, name: str) -> KeptBitmap:
        """The bitmap of this name.

        Raises:
            QemuError: there is none.
        """
        for kept in self.bitmaps:
            if kept.stored.name == name:
                return kept
        raise QemuError(f"Dirty bitmap '{name}' not found", errno.ENOENT)

    def usable(self, name: str) -> tuple[KeptBitmap, DirtyBitmap]:
        """The bitmap of this name, which can be trusted, and what it says."""
        kept = self.find(name)
        if kept.marks is None:
            raise QemuError(
                f"Bitmap '{name}' is inconsistent and cannot be used\n"
                "Try block-dirty-bitmap-remove to delete this bitmap from disk",
                errno.EINVAL,
            )
        return kept, kept.marks

    def add(self, name: str, granularity: int, *, enabled: bool = True) -> None:
        """Make a bitmap that says nothing so far.

        Args:
            granularity: bytes; 0 for the image's cluster size.
        """
        image = self._image
        if not name:
            raise QemuError("Bitmap name cannot be empty")
        granularity = granularity or max(4096, min(image.cluster_size, 65536))
        if granularity & (granularity - 1) or granularity < 512:
            raise QemuError("Granularity must be power of 2 and at least 512")
        if any(kept.stored.name == name for kept in self.bitmaps):
            raise QemuError(f"Bitmap already exists: {name}")
        bits = granularity.bit_length() - 1
        node = image.node_name
        prefix = f"Can't make bitmap '{name}' persistent in '{node}': "
        if image.header.version < 3:
            raise QemuError(f"{prefix}Cannot store dirty bitmaps in qcow2 v2 files")
        if bits > _MAX_BITS:
            raise QemuError(f"{prefix}Granularity exceeds maximum ({1 << _MAX_BITS} bytes)")
        data = name.encode("utf-8", "surrogateescape")
        if len(data) > _MAX_NAME:
            raise QemuError(f"{prefix}Name length exceeds maximum ({_MAX_NAME} characters)")
        if len(self.bitmaps) >= _MAX_BITMAPS:
            raise QemuError(f"{prefix}Maximum number of persistent bitmaps is already reached")
        entry = DirectoryEntry(
            bitmap_table_offset=0,
            bitmap_table_size=0,
            flags=AUTO if enabled else 0,
            type=_DIRTY_TRACKING,
            granularity_bits=bits,
            name_size=len(data),
            extra_data_size=0,
        )
        marks = DirtyBitmap(image.size, granularity)
        kept = KeptBitmap(StoredBitmap(entry, name), marks, is_changed=True)
        # The youngest comes last in the file, as with QEMU.
        self.bitmaps.append(kept)
        self._attach(kept)
        self._is_changed = True

    def remove(self, name: str) -> None:
        kept = self.find(name)
        self.bitmaps.remove(kept)
        if kept.marks is not None and kept.marks in self._image.dirty_bitmaps:
            self._image.dirty_bitmaps.remove(kept.marks)
        self._free(kept.stored)
        self._is_changed = True

    def clear(self, name: str) -> None:
        kept, marks = self.usable(name)
        marks.clear()
        kept.is_changed = True

    def enable(self, name: str, *, enabled: bool) -> None:
        kept, _ = self.usable(name)
        entry = kept.stored.entry
        flags = entry.flags | AUTO if enabled else entry.flags & ~AUTO
        kept.stored.entry = entry.replace(flags=flags)
        self._attach(kept)
        self._is_changed = True

    def merge(self, name: str, source: DirtyBitmap) -> None:
        """Let a bitmap say too what another one says."""
        kept, marks = self.usable(name)
        for offset, size in source.runs():
            marks.mark(offset, min(size, max(0, self._image.size - offset)))
        kept.is_changed = True

    # --- to the file

    def disk_was_resized(self) -> None:
        """Fit all bitmaps to the disk."""
        for kept in self.bitmaps:
            if kept.marks is not None:
                kept.marks.resize(self._image.size)
                kept.is_changed = True

    def store(self) -> None:
        """Bring what changed to the file.

        Order: new bits, tables and directory | the header names them | the old ones are freed.
        """
        for kept in self.bitmaps:
            if self._counts.get(id(kept)) != self._count(kept):
                kept.is_changed = True
        was_taken = not self._image.bitmaps.are_recording and self._image.bitmaps.are_listed
        changed = [kept for kept in self.bitmaps if kept.is_changed]
        if not (self._is_changed or changed or was_taken):
            return
        image, metadata = self._image, self._image.metadata
        metadata.write_back()
        runs: list[Reference] = []
        try:
            for kept in changed:
                self._store_one(kept, runs)
            for kept in self.bitmaps:
                if kept.marks is not None:
                    entry = kept.stored.entry
                    kept.stored.entry = entry.replace(flags=entry.flags & ~IN_USE)
            directory = b"".join(kept.stored.pack() for kept in self.bitmaps)
            offset = metadata.allocate_bytes(len(directory), runs)
            if directory:
                metadata.file.write(offset, [directory])
            metadata.refcounts.write()
            self._switch(offset, len(directory))
        except QemuError as error:
            metadata.give_back(runs, error)
            raise
        old_offset, old_size = self._old_directory
        metadata.free_bytes_later(old_offset, old_size)
        for reference in self._freed:
            metadata.allocator.free_later(reference)
        self._freed.clear()
        self._old_directory = offset, len(directory)
        self._is_changed = False
        self._counts = {id(kept): self._count(kept) for kept in self.bitmaps}
        for kept in self.bitmaps:
            kept.is_changed = False
        image.bitmaps.were_stored(offset, len(directory), len(self.bitmaps))
        metadata.conclude()

    def _switch(self, offset: int, size: int) -> None:
        """Let the header name a directory, or none."""
        metadata = self._image.metadata
        extensions = [item for item in extensions_of(metadata) if item[0] != EXTENSION_BITMAPS]
        header = metadata.header
        features = header.autoclear_features & ~BITMAPS
        if self.bitmaps:
            extension = BitmapsExtension(
                nb_bitmaps=len(self.bitmaps),
                reserved=0,
                bitmap_directory_size=size,
                bitmap_directory_offset=offset,
            )
            extensions.append((EXTENSION_BITMAPS, extension.pack()))
            features |= BITMAPS
        header = header.replace(autoclear_features=features)
        backing = self._image.backing_name.encode("utf-8", "surrogateescape")
        write_header(metadata, header, extensions, backing)

    def _store_one(self, kept: KeptBitmap, runs: list[Reference]) -> None:
        """Write a bitmap's bits and table to new clusters."""
        assert kept.marks is not None
        metadata = self._image.metadata
        size = metadata.cluster_size
        bits = kept.marks.pack()
        clusters = -(-len(bits) // size)
        if clusters * 8 > _MAX_TABLE_BYTES:
            raise QemuError("File too large", errno.EFBIG)
        self._free(kept.stored)
        table = array("Q", bytes(8 * clusters))
        for index in range(clusters):
            part = bits[index * size : (index + 1) * size]
            if part.strip(b"\0"):
                table[index] = metadata.allocate_bytes(size, runs)
                metadata.file.write(table[index], [part.ljust(size, b"\0")])
        offset = metadata.allocate_bytes(8 * clusters, runs)
        if clusters:
            metadata.file.write(offset, [big_endian(table)])
        kept.stored.entry = kept.stored.entry.replace(
            bitmap_table_offset=offset, bitmap_table_size=clusters
        )

    def _free(self, stored: StoredBitmap) -> None:
        """The file's clusters of a bitmap go once the header names others."""
        entry, metadata = stored.entry, self._image.metadata
        if not entry.bitmap_table_offset:
            return
        for offset in _table(self._image, stored):
            if offset & _OFFSET_MASK:
                cluster = (offset & _OFFSET_MASK) >> metadata.cluster_bits
                self._freed.append((cluster, 1))
        first = entry.bitmap_table_offset >> metadata.cluster_bits
        self._freed.append((first, -(-8 * entry.bitmap_table_size // metadata.cluster_size)))


def _table(image: Image, stored: StoredBitmap) -> array[int]:
    entry = stored.entry
    if 8 * entry.bitmap_table_size > _MAX_TABLE_BYTES:
        raise QemuError(f"Bitmap '{stored.name}' doesn't satisfy the constraints", errno.EINVAL)
    data = image.file.read(entry.bitmap_table_offset, 8 * entry.bitmap_table_size)
    return from_big_endian("Q", data)


def load(image: Image, stored: StoredBitmap) -> DirtyBitmap:
    """What a bitmap in the file says.

    Raises:
        QemuError: it can't be read.
    """
    if not _MIN_BITS <= stored.entry.granularity_bits <= _MAX_BITS:
        raise QemuError(f"Bitmap '{stored.name}' doesn't satisfy the constraints", errno.EINVAL)
    marks = DirtyBitmap(image.size, stored.granularity)
    pieces = -(-image.size // stored.granularity)
    length = -(-pieces // 8)
    size = image.cluster_size
    table = _table(image, stored)
    if len(table) != -(-length // size):
        raise QemuError(f"Bitmap '{stored.name}' doesn't satisfy the constraints", errno.EINVAL)
    parts: list[bytes] = []
    for entry in table:
        if entry & _OFFSET_MASK:
            parts.append(image.file.read(entry & _OFFSET_MASK, size))
        else:
            parts.append((b"\xff" if entry & _ALL_ONES else b"\0") * size)
    marks.unpack(b"".join(parts)[:length])
    return marks


def copy_bitmaps(source: Image, target: Image, *, skips_broken: bool) -> list[str]:
    """Give a disk another one's bitmaps.

    Returns:
        The names of those that couldn't be trusted and were left out.

    Raises:
        QemuError: one can't be trusted, and isn't to be left out, or can't be stored.
    """
    store = target.bitmap_store
    skipped: list[str] = []
    for stored in source.bitmaps.listed():
        if stored.is_in_use:
            if not skips_broken:
                raise QemuError(
                    f"Cannot copy inconsistent bitmap '{stored.name}'\n"
                    "Try --skip-broken-bitmaps, or use 'qemu-img bitmap --remove'"
                )
            skipped.append(stored.name)
            continue
        store.add(stored.name, stored.granularity, enabled=stored.is_enabled)
        store.merge(stored.name, load(source, stored))
    store.store()
    return skipped
