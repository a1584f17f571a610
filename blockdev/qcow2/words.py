"""Tables of numbers as the format stores them, and as they are worked with in memory."""

from __future__ import annotations

import sys
from array import array

_SWAP = sys.byteorder == "little"


def big_endian(entries: array[int]) -> bytes:
    """The entries as the format stores them."""
    if not _SWAP:
        return entries.tobytes()
    copy = entries[:]
    copy.byteswap()
    return copy.tobytes()


def from_big_endian(typecode: str, data: bytes) -> array[int]:
    """The entries that the format stores as `data`."""
    entries = array(typecode, data)
    if _SWAP:
        entries.byteswap()
    return entries


def c_hex(number: int) -> str:
    """A number as C's ``%#x`` shows it."""
    return f"{number:#x}" if number else "0"


class RefcountWidth:
    """How the counts of an image are stored: 1 to 64 bits each.

    In memory a count takes a byte or more; narrower ones are spread out.
    Source: qcow2 specification, "Reference counting".

    Args:
        order: log2 of the bits, 0 to 6.
    """

    __slots__ = ("_spread", "bits", "itemsize", "maximum", "typecode")

    def __init__(self, order: int) -> None:
        self.bits = 1 << order
        self.typecode = {16: "H", 32: "I", 64: "Q"}.get(self.bits, "B")
        self.itemsize = array(self.typecode).itemsize
        self.maximum = (1 << self.bits) - 1
        self._spread: list[bytes] = []

    def unpack(self, data: bytes) -> array[int]:
        """The counts that a block stores."""
        if self.bits >= 8:
            return from_big_endian(self.typecode, data)
        return array("B", b"".join(map(self._table().__getitem__, data)))

    def pack(self, block: array[int], low: int, high: int) -> tuple[int, bytes]:
        """The bytes for the counts `low` to `high`, and their position in the block."""
        if self.bits >= 8:
            return low * self.itemsize, big_endian(block[low:high])
        per_byte = 8 // self.bits
        first, end = low // per_byte, -(-high // per_byte)
        part = block[first * per_byte : end * per_byte]
        packed = 0
        # The first count of a byte is in its lowest bits.
        for place in range(per_byte):
            lane = part[place::per_byte].tobytes()
            packed |= int.from_bytes(lane, "little") << (place * self.bits)
        return first, packed.to_bytes(end - first, "little")

    def limit_bytes(self, change: int) -> bytes:
        """How a count looks in memory that can't be changed so any more."""
        limit = self.maximum if change > 0 else 0
        return limit.to_bytes(self.itemsize, sys.byteorder)

    def _table(self) -> list[bytes]:
        if not self._spread:
            mask = (1 << self.bits) - 1
            shifts = range(0, 8, self.bits)
            self._spread = [bytes(byte >> s & mask for s in shifts) for byte in range(256)]
        return self._spread
