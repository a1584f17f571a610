"""The status of a qcow2 disk's bytes, as QEMU's driver tells it."""

from __future__ import annotations

from blockdev.qcow2.entries import COMPRESSED as COMPRESSED_ENTRY
from blockdev.qcow2.entries import OFFSET_MASK
from blockdev.qcow2.entries import ZERO as ZERO_ENTRY
from blockdev.qcow2.header import SUBCLUSTERS
from blockdev.status import COMPRESSED, DATA, OFFSET_VALID, RECURSE, ZERO, BlockStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.qcow2.image import Image
    from blockdev.qcow2.lookup import Lookup

# QEMU looks at so much of a table together, and asks about so many bytes at once, so that no
# answer goes farther.
_SLICE_BYTES = 65536
_MOST = (1 << 31) - 1

# What an entry says: the flags, of bytes with a place in the file and of others.
_BELOW, _BELOW_PLACED = 0, OFFSET_VALID
_ZEROS, _ZEROS_PLACED = ZERO, ZERO | OFFSET_VALID
_PLACED = DATA | OFFSET_VALID
_PACKED = DATA | COMPRESSED


def own_status(image: Image, offset: int, size: int, *, in_slices: bool) -> BlockStatus:
    """What the image itself has at an offset.

    Args:
        in_slices: as for `blockdev.status.status`.
    """
    flags, length, host = _run(image.metadata.active, offset, size, in_slices=in_slices)
    if flags == _PLACED and image.is_preallocated:
        flags |= RECURSE
    return BlockStatus(flags, length, host, image.file)


def looks_preallocated(image: Image) -> bool:
    """Whether the file takes so much less than its clusters that most may be holes."""
    if image.file.allocated_bytes < 0:
        return False
    real = image.file.allocated_bytes // image.cluster_size
    threshold = max(real * 10 // 9, real + 2)
    clusters = -(-image.file.size // image.cluster_size)
    return image.metadata.refcounts.used_clusters(clusters) >= threshold


def _run(lookup: Lookup, offset: int, size: int, *, in_slices: bool) -> tuple[int, int, int]:
    """Flags, for how many bytes they hold, and the host offset of the first."""
    layout = lookup.clusters.layout
    bits, cluster_size, words_each = layout.cluster_bits, layout.cluster_size, layout.words
    l1_index, l2_index = divmod(offset >> bits, 1 << layout.l2_bits)
    in_cluster = offset & (cluster_size - 1)
    slice_bytes = cluster_size
    if in_slices:
        slice_bytes = min(_SLICE_BYTES, cluster_size)
        size = min(size, _MOST)
    slice_entries = slice_bytes // (8 * words_each)
    left = slice_entries - l2_index % slice_entries
    reach = (left << bits) - in_cluster
    size = min(size, reach)
    table = lookup.l2_table(l1_index)
    if table is None:
        return _BELOW, size, 0
    if words_each > 1:
        return _subcluster_run(lookup, l1_index, l2_index, in_cluster, size)
    first, mapped = table.run(lookup.clusters.columns)
    if l2_index < mapped:  # the table is one run
        length = min(size, (mapped - l2_index << bits) - in_cluster)
        return _PLACED, length, (first + l2_index << bits) + in_cluster
    words = table.words
    entry = words[l2_index]
    if entry & COMPRESSED_ENTRY:
        return _PACKED, min(size, cluster_size - in_cluster), 0
    host = lookup.data_offset(table, l2_index)
    wanted = -(-(in_cluster + size) >> bits)
    if entry & ZERO_ENTRY:
        flags = _ZEROS_PLACED if host else _ZEROS
    else:
        flags = _PLACED if host else _BELOW
    step = cluster_size if host else 0
    mask = COMPRESSED_ENTRY | ZERO_ENTRY | OFFSET_MASK
    count, expected = 1, entry & mask
    while count < wanted:
        expected += step
        if words[l2_index + count] & mask != expected:
            break
        count += 1
    return flags, min(size, (count << bits) - in_cluster), host + in_cluster


def _subcluster_run(
    lookup: Lookup, l1_index: int, l2_index: int, in_cluster: int, size: int
) -> tuple[int, int, int]:
    """As `_run`, where a bitmap tells of each subcluster."""
    layout = lookup.clusters.layout
    cluster_size = layout.cluster_size
    bits = layout.cluster_bits - 5
    table = lookup.l2_table(l1_index)
    assert table is not None
    words = table.words

    def state(index: int, number: int) -> tuple[int, int]:
        """Flags of a subcluster and the host offset of its cluster."""
        entry, bitmap = words[2 * index], words[2 * index + 1]
        if entry & COMPRESSED_ENTRY:
            return _PACKED, 0
        host = lookup.data_offset(table, index)
        if bitmap >> (SUBCLUSTERS + number) & 1:
            return (_ZEROS_PLACED if host else _ZEROS), host
        if bitmap >> number & 1:
            return _PLACED, host
        return (_BELOW_PLACED if host else _BELOW), host

    first = in_cluster >> bits
    flags, host = state(l2_index, first)
    if flags == _PACKED:
        return flags, min(size, cluster_size - in_cluster), 0
    end = first + 1  # in subclusters, from the start of the first cluster
    while end << bits < in_cluster + size:
        ahead, number = divmod(end, SUBCLUSTERS)
        expected = host + ahead * cluster_size if host else 0
        if state(l2_index + ahead, number) != (flags, expected):
            break
        end += 1
    return flags, min(size, (end << bits) - in_cluster), host + in_cluster if host else 0
