"""How large a new image will be, before it is made."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.header import MAX_L1_BYTES
from blockdev.status import ALLOCATED, DATA, SECTOR, ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode

_ENTRY = 8  # bytes of an L1 or refcount table entry
_DIRECTORY_ENTRY = 24  # bytes of a bitmap's directory entry before its name


class Measure:
    """Bytes of a new image's file.

    Attributes:
        required: for what is to be copied.
        fully_allocated: with every cluster of the disk.
        bitmaps: that the source's bitmaps take besides; None where there can be none.
    """

    __slots__ = ("bitmaps", "fully_allocated", "required")

    def __init__(self, required: int, fully_allocated: int, bitmaps: int | None = None) -> None:
        self.required = required
        self.fully_allocated = fully_allocated
        self.bitmaps = bitmaps


def measure_raw(size: int) -> Measure:
    """A raw image of a disk of `size` bytes."""
    size = -(-size // SECTOR) * SECTOR
    return Measure(size, size)


def measure_qcow2(
    size: int,
    source: BlockNode | None,
    *,
    version: int = 3,
    cluster_size: int = 65536,
    refcount_bits: int = 16,
    extended_l2: bool = False,
    is_full: bool = False,
    has_backing: bool = False,
    bitmaps: Sequence[tuple[str, int]] | None = None,
) -> Measure:
    """A qcow2 image.

    Args:
        size: of the disk, if there is no source.
        source: what is copied into it; None: nothing.
        is_full: all its data clusters are written from the start.
        has_backing: it has a backing file, so that nobody knows what the source has else.
        bitmaps: names and granularities of those that are copied; None: none could be.

    Raises:
        QemuError: it would be larger than the format allows.
    """
    if source is not None:
        size = length_of(source)
    disk = -(-size // cluster_size) * cluster_size
    entry_size = 16 if extended_l2 else 8
    tables = -(-disk // cluster_size // (cluster_size // entry_size))
    if tables * _ENTRY > MAX_L1_BYTES:
        text = "The image size is too large (try using a larger cluster size)"
        raise QemuError(text, errno.EFBIG)
    data = 0
    if source is not None:
        data = disk if has_backing else _data_bytes(source, cluster_size)
    if is_full:
        data = disk
    whole = _whole(disk, cluster_size, refcount_bits, entry_size)
    room = None
    if bitmaps is not None and version > 2 and source is not None:
        room = _bitmap_bytes(bitmaps, size, cluster_size)
    return Measure(whole - disk + data, whole, room)


def _data_bytes(source: BlockNode, cluster_size: int) -> int:
    """Bytes of the clusters that the data of a disk touches."""
    end = length_of(source)
    total = offset = 0
    while offset < end:
        found = status_above(source, None, offset, end - offset)
        length = found.length
        if not found.flags & ZERO and found.flags & DATA and found.flags & ALLOCATED:
            length = -(-(offset + length) // cluster_size) * cluster_size - offset
            total += offset % cluster_size + length
        offset += length
    return total


def _whole(disk: int, cluster_size: int, refcount_bits: int, entry_size: int) -> int:
    """Bytes of an image with all its clusters."""
    per_table = cluster_size // entry_size
    entries = -(-disk // cluster_size // per_table) * per_table
    l2_bytes = entries * entry_size
    per_cluster = cluster_size // _ENTRY
    l1_bytes = -(-l2_bytes // cluster_size // per_cluster) * per_cluster * _ENTRY
    counted = cluster_size + l2_bytes + l1_bytes + disk
    return counted + _refcount_bytes(counted // cluster_size, cluster_size, refcount_bits)


def _refcount_bytes(clusters: int, cluster_size: int, refcount_bits: int) -> int:
    """Bytes of the refcount structures that count so many clusters, and themselves."""
    per_block = cluster_size * 8 // refcount_bits
    per_cluster = cluster_size // _ENTRY
    blocks = table = 0
    while True:
        before = blocks + table
        blocks = -(-(clusters + before) // per_block)
        table = -(-blocks // per_cluster)
        if blocks + table == before:
            return before * cluster_size


def _bitmap_bytes(bitmaps: Sequence[tuple[str, int]], disk: int, cluster_size: int) -> int:
    total = directory = 0
    for name, granularity in bitmaps:
        bits = -(-disk // granularity)
        # QEMU keeps them in words of 64 bits.
        clusters = -(-(-(-bits // 64) * 8) // cluster_size)
        total += clusters * cluster_size
        total += -(-clusters * _ENTRY // cluster_size) * cluster_size
        length = _DIRECTORY_ENTRY + len(name.encode("utf-8", "surrogateescape"))
        directory += -(-length // 8) * 8
    return total + -(-directory // cluster_size) * cluster_size
