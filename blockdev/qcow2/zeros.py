"""Zeros without data: whole clusters that read as zeros, and clusters that are let go."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.qcow2.image import Image


def write_zeroes(image: Image, offset: int, size: int, *, may_unmap: bool) -> None:
    """Make bytes read as zeros.

    Args:
        may_unmap: clusters that are allocated may go; otherwise they stay, without being read.
    """

    def whole(start: int, clusters: int) -> None:
        _zero_clusters(image, start, clusters, keep=not may_unmap)

    def edge(start: int, length: int) -> None:
        # A cluster of which the rest is zeros already is one without data.
        first = start & -image.cluster_size
        before, after = start - first, first + image.cluster_size - start - length
        if _is_zeros(image, first, before) and _is_zeros(image, start + length, after):
            whole(first, 1)
        else:
            image.metadata.active.write(start, [bytes(length)])

    _each_part(image, offset, size, edge, whole)


def discard(image: Image, offset: int, size: int) -> None:
    """Let whole clusters inside the bytes go; they read as zeros then.

    Parts of clusters keep what they have.
    """

    def whole(start: int, clusters: int) -> None:
        _zero_clusters(image, start, clusters, keep=False)

    _each_part(image, offset, size, _leave, whole)


def _leave(_offset: int, _size: int) -> None:
    """What a discard does with a part of a cluster."""


def _is_zeros(image: Image, offset: int, size: int) -> bool:
    """Whether bytes are known to be zeros without a look at data."""
    return image.metadata.active.is_zeros(offset, size, nothing_below=image.backing is None)


def _each_part(
    image: Image,
    offset: int,
    size: int,
    edge: Callable[[int, int], None],
    whole: Callable[[int, int], None],
) -> None:
    """Call `edge` for parts of clusters, and `whole` for the clusters between them."""
    cluster = image.cluster_size
    end = offset + size
    # The disk's last cluster is a whole one too where the disk ends in it.
    whole_end = -(-end // cluster) * cluster if end == image.size else end // cluster * cluster
    while offset < end:
        boundary = (offset // cluster + 1) * cluster
        if offset % cluster or offset >= whole_end:
            edge(offset, min(boundary, end) - offset)
            offset = boundary
        else:
            whole(offset, (whole_end - offset) // cluster)
            offset = whole_end


def _zero_clusters(image: Image, offset: int, clusters: int, *, keep: bool) -> None:
    size = image.cluster_size
    # Version 2 has no word for zeros: without a backing file nothing mapped will do.
    if image.header.version > 2:
        image.metadata.active.unmap(offset, clusters, as_zeros=True, keep=keep)
    elif image.backing is None:
        image.metadata.active.unmap(offset, clusters, as_zeros=False)
    else:
        for start in range(offset, offset + clusters * size, size):
            image.metadata.active.write(start, [bytes(min(size, image.size - start))])
