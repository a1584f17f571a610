"""Another size for a disk, in the orders of `blockdev.qcow2.metadata`."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.qcow2.header import MAX_L1_BYTES, l1_entries_for
from blockdev.qcow2.words import big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.image import Image
    from blockdev.qcow2.metadata import Metadata

_LARGEST = (1 << 63) - (1 << 30)  # bytes; QEMU aligns its limit to what a request may be long


def resize(image: Image, size: int) -> None:
    """Give the disk `size` bytes; bytes that come read as zeros.

    Raises:
        QemuError: the size can't be, or the image's version doesn't allow it.
    """
    if size < 0:
        raise QemuError("Image size cannot be negative", errno.EINVAL)
    if size > _LARGEST:
        raise QemuError(f"offset({size}) exceeds maximum({_LARGEST})", errno.EFBIG)
    if size % 512:
        raise QemuError("The new size must be a multiple of 512", errno.EINVAL)
    if image.header.version < 3 and image.snapshots():
        text = "Can't resize a v2 image which has snapshots"
        raise QemuError(text, errno.ENOTSUP)
    metadata = image.metadata
    needed = l1_entries_for(size, metadata.layout.span_bits)
    if 8 * needed > MAX_L1_BYTES:
        text = f"Failed to grow the L1 table: {os.strerror(errno.EFBIG)}"
        raise QemuError(text, errno.EFBIG)
    old_size = image.size
    if size < old_size:
        _cut(image, size)
    # State that a goto left behind the disk would be in the way of a larger one.
    metadata.drop_entries_past(l1_entries_for(old_size, metadata.layout.span_bits))
    image.write_back()
    if needed > len(metadata.active.l1):
        grow_l1(metadata, needed, size)
    else:
        metadata.switch_header("size", "size", size=size)
    if size > old_size:
        _hide_backing(image, old_size, size)
    image.flush()


def _cut(image: Image, size: int) -> None:
    """Let go what lies past the new end; the rest of its last cluster becomes zeros."""
    active = image.metadata.active
    end = -(-size // image.cluster_size) * image.cluster_size
    if size < end:
        tail = min(end, image.size) - size
        active.write(size, [bytes(tail)])
    clusters = -(-(image.size - end) // image.cluster_size)
    if clusters > 0:
        active.unmap(end, clusters, as_zeros=False)


def _hide_backing(image: Image, old_size: int, size: int) -> None:
    """What a longer backing file has past the old end isn't the disk's."""
    if image.backing is not None and image.backing.size > old_size:
        image.write_zeroes(old_size, min(size, image.backing.size) - old_size)


def preallocate(image: Image, offset: int, size: int, mode: str) -> None:
    """Give clusters to bytes that have none so far and read as zeros.

    Args:
        mode: ``metadata``; ``falloc`` takes their space on the host too, ``full`` writes zeros.
    """
    metadata = image.metadata
    cluster_size = image.cluster_size
    first, end = offset // cluster_size, -(-(offset + size) // cluster_size)
    if offset % cluster_size:
        first += 1  # the cluster that the old end was in
    position = first
    while position < end:
        file_end = image.file.size
        run, count = metadata.active.take_clusters(position * cluster_size, end - position)
        start, length = run * cluster_size, count * cluster_size
        # What is past the file's end is zeros; what isn't may be anything.
        stale = length if mode == "full" else max(0, min(length, file_end - start))
        try:
            if start + length > file_end:
                image.file.truncate(start + length)
            image.file.write_zeroes(start, stale)
            if mode == "falloc":
                image.file.preallocate(start, length, mode)
        except QemuError as error:
            metadata.allocator.free_now((run, count))
            reason = os.strerror(error.errno_value or errno.EIO)
            text = f"Failed to resize underlying file: Could not resize file: {reason}"
            raise QemuError(text, error.errno_value) from error
        metadata.active.map_clusters(position * cluster_size, run, count)
        position += count
    image.flush()


def cut_file(image: Image) -> None:
    """Give back the end of the file that nothing uses, once that is on the disk."""
    image.flush()
    metadata = image.metadata
    clusters = -(-image.file.size // image.cluster_size)
    used = metadata.refcounts.last_used(clusters) + 1
    if used < clusters:
        image.file.truncate(used * image.cluster_size)


def grow_l1(metadata: Metadata, entries: int, size: int) -> None:
    """A longer L1 table: the new one | the header names it, and the new size | free the old."""
    runs: list[Reference] = []
    l1 = metadata.active.l1[:]
    l1.extend([0] * (entries - len(l1)))
    try:
        offset = metadata.allocate_bytes(8 * entries, runs)
        metadata.file.write(offset, [big_endian(l1)])
        metadata.switch_l1(metadata.mapping(l1), offset, size)
    except QemuError as error:
        metadata.give_back(runs, error)
        raise
