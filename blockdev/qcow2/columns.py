"""L2 tables a column at a time: runs of clusters, marks and references of whole tables.

A table is taken as the file has it, big endian.  All its entries' first bytes are one column,
with the marks in it, their second bytes the next, and so on: slices with a step, which `bytes`
cuts, compares and translates for thousands of entries at once, where a loop would take each.
"""

from __future__ import annotations

from array import array

from blockdev.qcow2.entries import COMPRESSED, COPIED, OFFSET_MASK
from blockdev.qcow2.words import from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockdev.qcow2.entries import EntryLayout, Reference

_FEWEST_ENTRIES = 4096  # in a row
_MARK = COPIED >> 56  # in an entry's first byte
_UNMARKED = bytes(n & ~_MARK for n in range(256))  # for translate()


class Columns:
    """Looks at whole tables of one image.

    Args:
        layout: of the image's entries.
    """

    def __init__(self, layout: EntryLayout) -> None:
        self._layout = layout
        self._bits = layout.cluster_bits
        self._entry_size = 8 * layout.words
        # Entries in a row from _first on, so that small tables that follow each other are
        # compared with one such row, and their columns: most stay from one row to the next.
        self._length = 2 * max(_FEWEST_ENTRIES, 1 << layout.l2_bits)
        self._first = -self._length
        self._row = bytearray()
        self._keys: list[object] = [None] * 8  # what tells the row's columns from others
        self._ramps: dict[int, tuple[bytes, int]] = {}
        self._without: dict[int, bytes] = {}  # bits: the bytes that have none of them

    def run(self, table: bytes) -> tuple[int, int]:
        """The run of clusters that a table maps, if that is all there is in it.

        So it is after a sequential write: from the first entry on each maps the next cluster,
        with the same mark and no other flag, and behind them there is nothing.

        Returns:
            The first cluster and how many there are; 0, 0 for any other table.
        """
        bits, size = self._bits, self._entry_size
        first = int.from_bytes(table[:8], "big")
        if not first & OFFSET_MASK or first & (COMPRESSED | (1 << bits) - 1):
            return 0, 0
        end = len(table)
        if table[end - size :] == bytes(size):
            end = -(-len(table.rstrip(b"\0")) // size) * size
        length = end // size
        last = int.from_bytes(table[end - size : end - size + 8], "big")
        if last != first + (length - 1 << bits):
            return 0, 0
        words = table[:end] if size == 8 else array("Q", table[:end])[::2].tobytes()
        place = self._place(first >> bits, length)
        if not self._row.startswith(words, place):
            return 0, 0
        return (first & OFFSET_MASK) >> bits, length

    def _place(self, cluster: int, length: int) -> int:
        """Where entries in a row stand in `_row`; `cluster` is the first one's, with its flags."""
        start = cluster - self._first
        if not 0 <= start <= self._length - length:
            self._row = self._row or bytearray(8 * self._length)
            self._first = cluster & -(self._length // 2)
            start = cluster - self._first
            for place in range(8):
                shift = 8 * (7 - place) - self._bits
                key = self._key(self._first, shift)
                if key != self._keys[place]:
                    self._keys[place] = key
                    self._row[place::8] = self._column(self._first, shift)
        return 8 * start

    def _key(self, cluster: int, shift: int) -> object:
        """The same for all columns at one place that are the same."""
        if shift <= 0:
            return 0  # the row begins where the bytes do so anew
        if 1 << shift < self._length:
            return cluster % (256 << shift)
        # Where its two bytes meet, if they aren't the same, is the middle of the row.
        return cluster >> shift & 255, cluster + self._length - 1 >> shift & 255

    def _column(self, cluster: int, shift: int) -> bytes:
        """The lowest bytes of numbers in a row, each shifted right."""
        length = self._length
        if shift <= 8:
            ramp, period = self._ramps.get(shift) or self._ramp(shift)
            start = cluster % period
            return ramp[start : start + length]
        step = 1 << shift
        pieces: list[bytes] = []
        while length > 0:
            count = min(length, step - cluster % step)
            pieces.append(bytes([cluster >> shift & 255]) * count)
            cluster += count
            length -= count
        return b"".join(pieces)

    def _ramp(self, shift: int) -> tuple[bytes, int]:
        """The lowest bytes of all numbers from 0 on, each shifted right; their period too."""
        if shift < 0:
            period = bytes(n << -shift & 255 for n in range(256 >> min(-shift, 8)))
        else:
            period = b"".join(bytes([n]) * (1 << shift) for n in range(256))
        ramp = period * (self._length // len(period) + 2)
        self._ramps[shift] = ramp, len(period)
        return ramp, len(period)

    def is_marked(self, table: bytes) -> bool:
        """Whether a table's first entry says that its cluster is its alone; so do all of a run."""
        return table[0] & _MARK != 0

    def marked(self, table: bytes, length: int) -> bytes:
        """A table that is a run of `length` entries, with all of them marked as ours alone."""
        return self._with_first_bytes(table, bytes([table[0] | _MARK]) * length)

    def unmarked(self, table: bytes) -> bytes:
        """A table with nothing marked as ours alone; the same one if nothing was."""
        old = table[:: self._entry_size]
        new = old.translate(_UNMARKED)
        return table if new == old else self._with_first_bytes(table, new)

    def _with_first_bytes(self, table: bytes, column: bytes) -> bytes:
        changed = bytearray(table)
        changed[: len(column) * self._entry_size : self._entry_size] = column
        return bytes(changed)

    def references(self, table: bytes) -> Iterable[Reference]:
        """The clusters that a table's entries refer to; unaligned entries are passed over."""
        layout, bits = self._layout, self._bits
        entries = from_big_endian("Q", table)[:: layout.words]
        if self._have(table, COMPRESSED):
            yield from (
                layout.compressed_clusters(entry) for entry in entries if entry & COMPRESSED
            )
            entries = array("Q", [entry for entry in entries if not entry & COMPRESSED])
        unaligned = OFFSET_MASK & (1 << bits) - 1
        if self._have(table, unaligned):
            entries = array("Q", [entry for entry in entries if not entry & unaligned])
        clusters = [(entry & OFFSET_MASK) >> bits for entry in entries if entry & OFFSET_MASK]
        if clusters:
            yield clusters

    def _have(self, table: bytes, flags: int) -> bool:
        """Whether some entry has any of some flags."""
        for place, byte in enumerate(flags.to_bytes(8, "big")):
            if byte:
                without = self._without.get(byte)
                if without is None:
                    without = bytes(n for n in range(256) if not n & byte)
                    self._without[byte] = without
                if table[place :: self._entry_size].translate(None, without):
                    return True
        return False
