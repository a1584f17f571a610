"""Writing compressed clusters: several share a cluster of the file, which counts each of them."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.compressed import compress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.metadata import Metadata


def write_compressed(metadata: Metadata, offset: int, data: bytes) -> None:
    """Write clusters compressed, or as they are where that doesn't make them smaller.

    Args:
        offset: of the first, a multiple of the cluster size.
        data: whole clusters, but for the last of the disk.

    Raises:
        QemuError: the bytes aren't clusters, or can't be written.
    """
    size = metadata.cluster_size
    if offset % size or (len(data) % size and offset + len(data) != metadata.size):
        raise QemuError("Invalid argument", errno.EINVAL)
    kind = metadata.compression_type
    for start in range(0, len(data), size):
        cluster = data[start : start + size]
        packed = compress(cluster.ljust(size, b"\0"), kind)
        write_packed(metadata, offset + start, cluster, packed)


def write_packed(metadata: Metadata, offset: int, cluster: bytes, packed: bytes | None) -> None:
    """Write one cluster that is compressed already.

    Args:
        cluster: its content; the disk may end in it.
        packed: that compressed; None where that makes it no smaller.

    Raises:
        QemuError: the cluster is there already, or can't be written.
    """
    active = metadata.active
    if active.is_allocated(offset):
        raise QemuError("Input/output error", errno.EIO)
    if packed is None:
        active.write(offset, [cluster])
        return
    host_offset, runs = _place(metadata, len(packed))
    try:
        metadata.file.write(host_offset, [packed])
    except QemuError:
        for cluster_number in runs:
            metadata.allocator.free_now((cluster_number, 1))
        raise
    entry = metadata.layout.compressed_entry(host_offset, len(packed))
    active.map_compressed(offset, entry)
    metadata.packed_end = host_offset + len(packed)


def _place(metadata: Metadata, size: int) -> tuple[int, list[int]]:
    """Room for some bytes behind the last packed ones, or in a new cluster.

    Returns:
        The host offset, and the clusters that count one reference more.
    """
    bits = metadata.cluster_bits
    allocator = metadata.allocator
    end = metadata.packed_end
    room = -end % metadata.cluster_size
    shared = end >> bits
    if room and allocator.common_count(shared, 1):
        if size <= room:
            try:
                allocator.count_up((shared, 1))
            except QemuError:  # no more references fit its count
                pass
            else:
                return end, [shared]
        else:
            first, _ = allocator.allocate(1, exactly=True)
            metadata.guard.check(first, 1)
            if first == shared + 1:
                try:
                    allocator.count_up((shared, 1))
                except QemuError:
                    pass
                else:
                    return end, [shared, first]
            return first << bits, [first]
    first, _ = allocator.allocate(1, exactly=True)
    metadata.guard.check(first, 1)
    return first << bits, [first]
