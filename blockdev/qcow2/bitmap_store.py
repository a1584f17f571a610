"""The persistent bitmaps of an image in memory, and their way to the file and back.

They are among the node's bitmaps; see `blockdev.node_bitmap`. While they are here the file calls
them in use; they are stored before the image is closed or left to others.
Source: qcow2 specification, "Bitmaps".
"""

from __future__ import annotations

import errno
import os
from array import array

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.dirty_marks import BitmapKeeper
from blockdev.errors import QemuError
from blockdev.node_bitmap import (
    MAX_NAME,
    NodeBitmap,
    add_bitmap,
    check_pieces,
    merge_marks,
    named_bitmaps,
)
from blockdev.qcow2.bitmaps import (
    AUTO,
    DIRTY_TRACKING,
    IN_USE,
    MAX_BITS,
    BitmapsExtension,
    DirectoryEntry,
    StoredBitmap,
)
from blockdev.qcow2.extensions import EXTENSION_BITMAPS
from blockdev.qcow2.header import BITMAPS
from blockdev.qcow2.header_write import extensions_of, write_header
from blockdev.qcow2.words import big_endian, from_big_endian
from blockdev.status import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.image import Image

_OFFSET_MASK = 0x00FFFFFFFFFFFE00
_ALL_ONES = 1  # in a table entry without an offset
_MAX_TABLE_BYTES = 1 << 26
_MAX_BITMAPS = 65535


class BitmapStore(BitmapKeeper):
    """Takes all bitmaps of an image into memory.

    Raises:
        QemuError: they can't be read.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._old_directory = image.bitmaps.place
        self._freed: list[Reference] = []
        self._last: list[tuple[object, ...]] = []  # as it was stored
        self._stored = image.bitmaps.listed()  # as the file has them
        loaded: list[NodeBitmap] = []
        for stored in self._stored:
            if any(stored.name == other.name for other in loaded):
                raise QemuError(f"Bitmap already exists: {stored.name}", errno.EINVAL)
            loaded.append(self._load(stored))
        image.dirty_bitmaps += loaded
        self._call_in_use()

    def _load(self, stored: StoredBitmap) -> NodeBitmap:
        image = self._image
        is_broken = stored.is_in_use
        size = length_of(image)
        # QEMU counts nothing in a bitmap that nobody can trust.
        marks = DirtyBitmap(size, stored.granularity) if is_broken else load(image, stored)
        return NodeBitmap(
            stored.name,
            marks,
            size,
            is_recording=stored.is_enabled and not is_broken,
            is_persistent=True,
            is_inconsistent=is_broken,
            is_read_only=image.read_only,
        )

    def _call_in_use(self) -> None:
        """Let everyone know that the file may not be told of what is written from now on."""
        bitmaps = self._image.bitmaps
        if not self._image.read_only and bitmaps.are_true:
            bitmaps.invalidate(disabled=True)

    @property
    def kept(self) -> list[NodeBitmap]:
        """The bitmaps that are stored, the newest first."""
        return [each for each in named_bitmaps(self._image) if each.is_persistent]

    def check_new(self, name: str, granularity: int) -> None:
        if self._image.header.version < 3:
            raise QemuError("Cannot store dirty bitmaps in qcow2 v2 files")
        if granularity > 1 << MAX_BITS:
            raise QemuError(f"Granularity exceeds maximum ({1 << MAX_BITS} bytes)")
        if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
            raise QemuError(f"Name length exceeds maximum ({MAX_NAME} characters)")
        if len(self.kept) >= _MAX_BITMAPS:
            raise QemuError("Maximum number of persistent bitmaps is already reached")

    def remove(self, name: str) -> None:
        stored = next((each for each in self._stored if each.name == name), None)
        if stored is not None:
            self._stored.remove(stored)
            self._write_directory([], [stored])

    def reopened(self) -> None:
        """The image may be written from now on, or no longer."""
        for bitmap in self.kept:
            bitmap.is_read_only = self._image.read_only
        self._call_in_use()

    def _state(self) -> list[tuple[object, ...]]:
        """What all bitmaps are like, as far as is seen without looking at each piece."""
        return [(each.name, each.is_recording, each.marks, each.count) for each in self.kept]

    def forget(self) -> None:
        """Let the bitmaps go from memory, as somebody else may have the image from now on."""
        image = self._image
        for bitmap in self.kept:
            image.dirty_bitmaps.remove(bitmap)

    # --- to the file

    def store(self) -> None:
        """Bring all of them to the file.

        Order: new bits, tables and directory | the header names them | the old ones are freed.
        """
        image = self._image
        kept = self.kept
        if image.read_only or not (kept or self._stored):
            if any(not each.is_read_only for each in kept):
                raise QemuError("No write access", errno.EINVAL)
            return
        if image.bitmaps.are_recording and self._last == self._state():
            return  # the file has it already, and was not written since
        known = {stored.name: stored for stored in self._stored}
        # What the file has not had comes last, the newest first, as with QEMU.
        order = [each for each in kept if each.name not in known]
        by_name = {each.name: each for each in kept}
        self._write_directory(
            [(by_name[stored.name], stored) for stored in self._stored if stored.name in by_name]
            + [(each, _new_entry(each)) for each in order],
            [stored for stored in self._stored if stored.name not in by_name],
        )
        self._last = self._state()

    def _write_directory(
        self, changed: list[tuple[NodeBitmap, StoredBitmap]], removed: list[StoredBitmap]
    ) -> None:
        """Write a new directory, with new bits for those that changed.

        Args:
            changed: what the directory is to have; empty: what it has but for those `removed`.
        """
        image, metadata = self._image, self._image.metadata
        metadata.write_back()
        runs: list[Reference] = []
        result = [stored for _, stored in changed] or [s for s in self._stored if s not in removed]
        before = [stored.entry for stored in result]
        # What is only listed anew is in use as before.
        are_in_use = bool(removed) and not changed and not image.bitmaps.are_recording
        try:
            for bitmap, stored in changed:
                self._store_one(bitmap, stored, runs)
            for stored in removed:
                self._free(stored)
            for stored in result if are_in_use else ():
                stored.entry = stored.entry.replace(flags=stored.entry.flags | IN_USE)
            directory = b"".join(stored.pack() for stored in result)
            offset = metadata.allocate_bytes(len(directory), runs)
            if directory:
                metadata.file.write(offset, [directory])
            metadata.refcounts.write()
            self._switch(offset, len(directory), len(result))
        except QemuError as error:
            for stored, entry in zip(result, before, strict=True):
                stored.entry = entry
            self._freed.clear()
            metadata.give_back(runs, error)
            raise
        old_offset, old_size = self._old_directory
        metadata.free_bytes_later(old_offset, old_size)
        for reference in self._freed:
            metadata.allocator.free_later(reference)
        self._freed.clear()
        self._old_directory = offset, len(directory)
        self._stored = result
        image.bitmaps.were_stored(offset, len(directory), len(result))
        if are_in_use:
            image.bitmaps.are_recording = image.bitmaps.are_true = False
        metadata.conclude()

    def _switch(self, offset: int, size: int, count: int) -> None:
        """Let the header name a directory, or none."""
        metadata = self._image.metadata
        extensions = [item for item in extensions_of(metadata) if item[0] != EXTENSION_BITMAPS]
        header = metadata.header
        features = header.autoclear_features & ~BITMAPS
        if count:
            extension = BitmapsExtension(
                nb_bitmaps=count,
                reserved=0,
                bitmap_directory_size=size,
                bitmap_directory_offset=offset,
            )
            extensions.append((EXTENSION_BITMAPS, extension.pack()))
            features |= BITMAPS
        header = header.replace(autoclear_features=features)
        backing = self._image.backing_name.encode("utf-8", "surrogateescape")
        write_header(metadata, header, extensions, backing)

    def _store_one(self, bitmap: NodeBitmap, stored: StoredBitmap, runs: list[Reference]) -> None:
        """Write a bitmap's bits and table to new clusters."""
        if bitmap.is_inconsistent:
            return
        metadata = self._image.metadata
        size = metadata.cluster_size
        bits = bitmap.marks.pack()
        clusters = -(-len(bits) // size)
        if clusters * 8 > _MAX_TABLE_BYTES:
            raise QemuError("File too large", errno.EFBIG)
        self._free(stored)
        table = array("Q", bytes(8 * clusters))
        for index in range(clusters):
            part = bits[index * size : (index + 1) * size]
            if part.strip(b"\0"):
                table[index] = metadata.allocate_bytes(size, runs)
                metadata.file.write(table[index], [part.ljust(size, b"\0")])
        offset = metadata.allocate_bytes(8 * clusters, runs)
        if clusters:
            metadata.file.write(offset, [big_endian(table)])
        is_enabled = bitmap.shows_recording
        stored.entry = stored.entry.replace(
            bitmap_table_offset=offset,
            bitmap_table_size=clusters,
            flags=(stored.entry.flags & ~(IN_USE | AUTO)) | (AUTO if is_enabled else 0),
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
    """Where the file has what a bitmap says.

    Raises:
        QemuError: an entry of the table can't be.
    """
    entry = stored.entry
    data = image.file.read(entry.bitmap_table_offset, 8 * entry.bitmap_table_size)
    table = from_big_endian("Q", data)
    for place in table:
        offset = place & _OFFSET_MASK
        if place & ~(_OFFSET_MASK | (0 if offset else _ALL_ONES)) or offset % image.cluster_size:
            raise QemuError(
                f"Could not read bitmap_table table from image for bitmap '{stored.name}': "
                f"{os.strerror(errno.EINVAL)}",
                errno.EINVAL,
            )
    return table


def load(image: Image, stored: StoredBitmap) -> DirtyBitmap:
    """What a bitmap in the file says.

    Raises:
        QemuError: it can't be read.
    """
    disk_size = length_of(image)
    check_pieces(disk_size, stored.granularity)
    pieces = -(-disk_size // stored.granularity)
    length = -(-pieces // 8)
    size = image.cluster_size
    table = _table(image, stored)
    if len(table) != -(-length // size):
        reason = os.strerror(errno.EINVAL)
        text = f"Could not read bitmap '{stored.name}' from image: {reason}"
        raise QemuError(text, errno.EINVAL)
    parts: list[bytes] = []
    for entry in table:
        if entry & _OFFSET_MASK:
            parts.append(image.file.read(entry & _OFFSET_MASK, size))
        else:
            parts.append((b"\xff" if entry & _ALL_ONES else b"\0") * size)
    marks = DirtyBitmap(disk_size, stored.granularity)
    marks.unpack(b"".join(parts)[:length])
    return marks


def _new_entry(bitmap: NodeBitmap) -> StoredBitmap:
    """A directory entry for a bitmap that the file has not had so far."""
    entry = DirectoryEntry(
        bitmap_table_offset=0,
        bitmap_table_size=0,
        flags=0,
        type=DIRTY_TRACKING,
        granularity_bits=bitmap.marks.granularity.bit_length() - 1,
        name_size=len(bitmap.name.encode("utf-8", "surrogateescape")),
        extra_data_size=0,
    )
    return StoredBitmap(entry, bitmap.name)


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
        made = add_bitmap(
            target,
            stored.name,
            granularity=stored.granularity,
            is_recording=stored.is_enabled,
            is_persistent=True,
        )
        merge_marks(made.marks, load(source, stored), target.size)
    store.store()
    return skipped
