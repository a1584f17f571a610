"""How often each cluster of a file is counted, in one byte a cluster.

The checker holds two of these side by side for files of many millions of clusters: the counts
that the file stores, and the references found in it.  Most counts are 0 or 1, so each has a byte,
and the few of 255 and more are in a dict besides.  What is done to runs of clusters is done by
`bytes` methods, never in a loop.
"""

from __future__ import annotations

import sys
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGE = 255  # this byte says: see the dict
_STRIDE = 4096
_TYPECODES = {4: "H", 5: "I", 6: "Q"}  # refcount order: array of that width

_plus_tables: dict[int, bytes] = {}


def _plus(weight: int) -> bytes:
    """A translate() table that adds `weight` to every byte; 255 stands for all from there on."""
    table = _plus_tables.get(weight)
    if table is None:
        table = bytes(min(n + weight, _LARGE) for n in range(256))
        _plus_tables[weight] = table
    return table


def _part(order: int, index: int) -> bytes:
    """A translate() table from a byte to the index-th count in it, lowest bits first."""
    bits = 1 << order
    return bytes(n >> index * bits & (1 << bits) - 1 for n in range(256))


class Tally:
    """A count for each cluster, by number.

    Attributes:
        small: the counts, 255 where `large` has it.
        large: the counts of 255 and more.
    """

    __slots__ = ("large", "small")

    def __init__(self, clusters: int) -> None:
        self.small = bytearray(clusters)
        self.large: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.small)

    def extend(self, clusters: int) -> None:
        """Make room for so many clusters at least."""
        self.small.extend(bytes(max(0, clusters - len(self.small))))

    def get(self, cluster: int) -> int:
        """The count of a cluster; 0 past the end."""
        if cluster >= len(self.small):
            return 0
        value = self.small[cluster]
        return value if value < _LARGE else self.large[cluster]

    def set(self, cluster: int, value: int) -> None:
        """Make the count of a cluster, which there must be room for, `value`."""
        self.small[cluster] = min(value, _LARGE)
        if value >= _LARGE:
            self.large[cluster] = value
        else:
            self.large.pop(cluster, None)

    def add(self, first: int, count: int, weight: int = 1) -> None:
        """Count `count` clusters, which there must be room for, `weight` times more."""
        if weight < _LARGE:
            raised = self.small[first : first + count].translate(_plus(weight))
            if _LARGE not in raised:
                self.small[first : first + count] = raised
                return
        for cluster in range(first, first + count):
            self.set(cluster, self.get(cluster) + weight)

    def all_are(self, value: int, first: int, count: int) -> bool:
        """Whether each of `count` clusters has the count `value`, below 255."""
        return self.small.count(value, first, first + count) == count

    def differences(self, other: Tally) -> Iterator[int]:
        """The clusters, in order, where another tally of the same length has another count."""
        mine, others = self.small, other.small
        large = sorted(self.large.keys() & other.large.keys())
        for start in range(0, len(mine), _STRIDE):
            here, there = mine[start : start + _STRIDE], others[start : start + _STRIDE]
            if here != there:
                found = [start + n for n, a in enumerate(here) if a != there[n]]
            elif not large:
                continue
            else:
                found = []
            if _LARGE in here and large:
                both = [c for c in large if start <= c < start + _STRIDE]
                found += [c for c in both if self.large[c] != other.large[c]]
                found.sort()
            yield from found

    def decode(self, block: bytes, order: int, first: int) -> None:
        """Take over the counts of a refcount block.

        Args:
            order: log2 of a count's width in bits, 0 to 6.
            first: the cluster that the block's first count is for; counts past the end of the
                tally are left out.
        """
        room = min((len(block) << 3) >> order, len(self.small) - first)
        if order <= 3:
            counts = bytearray(room)
            for index in range(8 >> order):
                whole = block.translate(_part(order, index)) if order < 3 else block
                places = range(index, room, 8 >> order)
                counts[index :: 8 >> order] = whole[: len(places)]
            large = _LARGE in counts
            wide: array[int] | bytearray = counts
        else:
            entries = array(_TYPECODES[order], block)
            if sys.byteorder == "little":
                entries.byteswap()
            wide = entries[:room]
            width = 1 << order - 3
            counts = bytearray(block[width - 1 : room * width : width])
            higher = (block[n : room * width : width] for n in range(width - 1))
            large = _LARGE in counts or any(part.count(0) != room for part in higher)
        self.small[first : first + room] = counts
        if large:
            for index, value in enumerate(wide):
                if value >= _LARGE:
                    self.set(first + index, value)

    def encode(self, size: int, order: int, first: int) -> bytes:
        """A refcount block of `size` bytes with the counts of the clusters from `first` on.

        A count that `order` has no room for becomes the largest there is.
        """
        entries = (size << 3) >> order
        maximum = (1 << (1 << order)) - 1
        counts = self.small[first : first + entries]
        counts.extend(bytes(entries - len(counts)))
        if order > 3:
            width = 1 << order - 3
            block = bytearray(size)
            block[width - 1 :: width] = counts
            if _LARGE in counts:
                for index, value in enumerate(counts):
                    if value == _LARGE:
                        wide = min(self.large[first + index], maximum)
                        block[index * width : (index + 1) * width] = wide.to_bytes(width, "big")
            return bytes(block)
        if order == 3:
            return bytes(counts)
        counts = counts.translate(bytes(min(n, maximum) for n in range(256)))
        total = 0
        for index in range(8 >> order):
            # Counts fit their bits, so shifting the whole number moves none into another byte.
            total |= int.from_bytes(counts[index :: 8 >> order], "big") << (index << order)
        return total.to_bytes(size, "big")
