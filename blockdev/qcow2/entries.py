"""L2 entries: what their bits say, one by one and a whole table at once.

A table is an array of 64-bit words.  With extended L2 entries each takes two: the second has a
bit for each of 32 subclusters that says whether it is allocated, and one whether it reads as
zeros.  Whole tables are worked on as one large number.
Source: qcow2 specification, "Cluster mapping", "Extended L2 Entries".
"""

from __future__ import annotations

from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    # Clusters that are referred to: a run (first, count), or their numbers in any order.
    Reference: TypeAlias = tuple[int, int] | list[int]

COPIED = 1 << 63  # the cluster has this one reference: it may be written in place
COMPRESSED = 1 << 62
ZERO = 1  # reads as zeros; not with extended entries
OFFSET_MASK = 0x00FFFFFFFFFFFE00  # bits 9-55

ALL_ALLOCATED = (1 << 32) - 1  # of a bitmap: every subcluster has its data in the cluster
ALL_ZERO = ALL_ALLOCATED << 32  # of a bitmap: every subcluster reads as zeros

_SECTOR = 512


class EntryLayout:
    """How the L2 entries of an image are laid out.

    Args:
        cluster_bits: log2 of the cluster size.
        is_extended: whether an entry takes two words.
    """

    def __init__(self, cluster_bits: int, *, is_extended: bool) -> None:
        self.cluster_bits = cluster_bits
        self.cluster_size = 1 << cluster_bits
        self.is_extended = is_extended
        self.words = 2 if is_extended else 1
        self.l2_bits = cluster_bits - (4 if is_extended else 3)  # log2 of a table's entries
        self.span_bits = cluster_bits + self.l2_bits  # log2 of the disk that a table maps
        self._size_shift = 62 - (cluster_bits - 8)
        self._table_words = self.cluster_size // 8
        self._copied = self._in_each_entry(COPIED)
        self._compressed = self._in_each_entry(COMPRESSED)
        self._unaligned = self._in_each_entry(OFFSET_MASK & (self.cluster_size - 1))
        self._offsets = self._in_each_entry(OFFSET_MASK)
        self._one = self._in_each_entry(1)
        entries = self._table_words // self.words
        ramp = array("Q", bytes(self.cluster_size))
        ramp[:: self.words] = array("Q", range(0, entries * self.cluster_size, self.cluster_size))
        self._ramp = int.from_bytes(ramp.tobytes(), "little")

    def _in_each_entry(self, word: int) -> int:
        words = array("Q", [word, *[0] * (self.words - 1)]) * (self._table_words // self.words)
        return int.from_bytes(words.tobytes(), "little")

    def compressed_range(self, entry: int) -> tuple[int, int]:
        """Where a compressed cluster's bytes may lie: host offset and length."""
        offset = entry & ((1 << self._size_shift) - 1)
        sectors = (entry >> self._size_shift & ((1 << (self.cluster_bits - 8)) - 1)) + 1
        return offset, sectors * _SECTOR - (offset & (_SECTOR - 1))

    def compressed_clusters(self, entry: int) -> tuple[int, int]:
        """The run of host clusters that a compressed cluster's bytes touch."""
        offset, length = self.compressed_range(entry)
        first = offset >> self.cluster_bits
        return first, ((offset + length - 1) >> self.cluster_bits) - first + 1

    def run_length(self, words: array[int]) -> int:
        """How many entries of a table map clusters in a row, if that is all there is in it.

        So it is after a sequential write: from the first entry on each is the one before plus a
        cluster, with the same flags, and behind them there is nothing.  0 for any other table.
        """
        first = words[0]
        if not first & OFFSET_MASK or first & (
            COMPRESSED | ZERO if self.words == 1 else COMPRESSED
        ):
            return 0
        if first & OFFSET_MASK & (self.cluster_size - 1):
            return 0
        number = int.from_bytes(words.tobytes(), "little")
        length = -(-number.bit_length() // (64 * self.words))
        one, ramp = self._one, self._ramp
        if length * self.words < self._table_words:
            mask = (1 << 64 * self.words * length) - 1
            one, ramp = one & mask, ramp & mask
        expected = first * one + ramp
        if self.words > 1:
            expected += words[1] * one << 64
        return length if number == expected else 0

    def with_copied(self, words: array[int], length: int, *, is_copied: bool) -> array[int]:
        """A table that is a run of entries, with all of them marked as ours alone, or none."""
        number = int.from_bytes(words.tobytes(), "little")
        mask = self._copied & (1 << 64 * self.words * length) - 1
        number = number | mask if is_copied else number & ~mask
        return array("Q", number.to_bytes(self.cluster_size, "little"))

    def without_copied(self, words: array[int]) -> array[int] | None:
        """The table with nothing marked as ours alone; None if nothing is."""
        number = int.from_bytes(words.tobytes(), "little")
        if not number & self._copied:
            return None
        return array("Q", (number & ~self._copied).to_bytes(self.cluster_size, "little"))

    def references(self, words: array[int]) -> Iterable[Reference]:
        """The clusters that a table's entries refer to; unaligned entries are passed over."""
        number = int.from_bytes(words.tobytes(), "little")
        if not number:
            return
        if number & (self._compressed | self._unaligned):
            yield from self._slow_references(words)
            return
        offsets = array("Q", (number & self._offsets).to_bytes(self.cluster_size, "little"))
        bits = self.cluster_bits
        clusters = [offset >> bits for offset in offsets[:: self.words] if offset]
        if clusters:
            yield clusters

    def _slow_references(self, words: array[int]) -> Iterable[Reference]:
        clusters: list[int] = []
        for entry in words[:: self.words]:
            if entry & COMPRESSED:
                yield self.compressed_clusters(entry)
            elif entry & OFFSET_MASK and not entry & OFFSET_MASK & (self.cluster_size - 1):
                clusters.append((entry & OFFSET_MASK) >> self.cluster_bits)
        if clusters:
            yield clusters


def subclusters(first: int, end: int) -> int:
    """The bits of the subclusters `first` to `end` in the lower half of a bitmap."""
    return (1 << end) - (1 << first)
