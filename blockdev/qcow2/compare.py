"""Where two states of one image's disk differ: the parts that they share needn't be read."""

from __future__ import annotations

from array import array

from blockdev.qcow2.entries import COPIED, OFFSET_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.qcow2.mapping import Mapping

SECTOR_SIZE = 512  # bytes; ranges begin and end at these
_AT_ONCE = 1 << 20  # bytes that are compared together


class DiskState:
    """A disk at some moment.

    Attributes:
        mapping: where its bytes are.
        size: bytes.
        has_backing: what isn't mapped is another image's.
    """

    __slots__ = ("has_backing", "mapping", "size")

    def __init__(self, mapping: Mapping, size: int, *, has_backing: bool) -> None:
        self.mapping = mapping
        self.size = size
        self.has_backing = has_backing

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the disk; behind its end there are zeros."""
        inside = max(0, min(size, self.size - offset))
        return self.mapping.read(offset, inside) + bytes(size - inside)

    def is_zeros(self, offset: int, size: int) -> bool:
        """Whether bytes are known to be zeros without a look at data."""
        inside = max(0, min(size, self.size - offset))
        return self.mapping.is_zeros(offset, inside, nothing_below=not self.has_backing)


def differing_ranges(a: DiskState, b: DiskState) -> Iterator[tuple[int, int]]:
    """The ranges that differ, in order: offset and length in bytes, of whole sectors.

    Raises:
        QemuError: a table or data can't be read.
    """
    start = end = 0
    for offset, size in _suspects(a, b):
        for place, length in _compare(a, b, offset, size):
            if place != end:
                if end > start:
                    yield start, end - start
                start = place
            end = place + length
    if end > start:
        yield start, end - start


def _suspects(a: DiskState, b: DiskState) -> Iterator[tuple[int, int]]:
    """What isn't mapped to the same place in both, and so may differ; pieces of bounded size."""
    layout = a.mapping.clusters.layout
    span, step = 1 << layout.span_bits, max(_AT_ONCE, layout.cluster_size)
    shorter, longer = sorted([a.size, b.size])
    for index in range(-(-longer // span)):
        first = index * span
        is_shared = _l1_entry(a, index) == _l1_entry(b, index)
        if is_shared and (first + span <= shorter or shorter == longer):
            continue
        in_a, in_b = _words(a, index), _words(b, index)
        for place in range(0, min(span, longer - first), step):
            offset, size = first + place, min(step, span - place, longer - first - place)
            if offset + size > shorter:
                # What only one of them has differs where it isn't zero.
                is_alike = a.is_zeros(offset, size) and b.is_zeros(offset, size)
            else:
                start = place // layout.cluster_size * layout.words
                end = -(-(place + size) // layout.cluster_size) * layout.words
                is_alike = is_shared or _are_alike(in_a, in_b, start, end)
            if not is_alike:
                yield offset, size


def _l1_entry(state: DiskState, index: int) -> int:
    l1 = state.mapping.l1
    return l1[index] & OFFSET_MASK if index < len(l1) else 0


def _words(state: DiskState, l1_index: int) -> array[int] | None:
    table = state.mapping.l2_table(l1_index)
    return None if table is None else table.words


def _are_alike(a: array[int] | None, b: array[int] | None, start: int, end: int) -> bool:
    """Whether entries map the same; the mark of an own cluster says nothing of its content."""
    in_a, in_b = _part(a, start, end), _part(b, start, end)
    if in_a == in_b:
        return True
    return [word & ~COPIED for word in in_a] == [word & ~COPIED for word in in_b]


def _part(words: array[int] | None, start: int, end: int) -> array[int]:
    return array("Q", bytes(8 * (end - start))) if words is None else words[start:end]


def _compare(a: DiskState, b: DiskState, offset: int, size: int) -> Iterator[tuple[int, int]]:
    """The sectors of a piece that differ, one by one or more in a row."""
    in_a, in_b = a.read(offset, size), b.read(offset, size)
    if in_a == in_b:
        return
    for start in range(0, size, SECTOR_SIZE):
        end = min(start + SECTOR_SIZE, size)
        if in_a[start:end] != in_b[start:end]:
            yield offset + start, end - start
