"""Packets of the remote serial protocol: ``$DATA#SUM``, bytes in, packets out, without I/O.

Source: GDB manual, "Remote Protocol Overview".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE = 4096  # bytes of a packet; longer ones are passed over
_SPECIAL = b"$#}*"
_ESCAPE = ord("}")
_REPEAT = ord("*")


class PacketReader:
    """Takes bytes, and gives packets that are complete."""

    __slots__ = ("_data", "_sum")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what has begun."""
        self._data: bytearray | None = None
        self._sum: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The data of each packet, None for a damaged one; other bytes are passed over."""
        for byte in data:
            if self._data is None:
                if byte == ord("$"):
                    self._data = bytearray()
            elif self._sum is not None:
                self._sum.append(byte)
                if len(self._sum) == 2:
                    yield self._end()
            elif byte == ord("#"):
                self._sum = bytearray()
            elif len(self._data) == MAX_SIZE:
                self.clear()
            else:
                self._data.append(byte)

    def _end(self) -> bytes | None:
        assert self._data is not None
        assert self._sum is not None
        raw, told = bytes(self._data), bytes(self._sum)
        self.clear()
        if told.lower() != b"%02x" % (sum(raw) & 0xFF):
            return None
        return _decoded(raw)


def _decoded(raw: bytes) -> bytes:
    """Without escapes and repetitions."""
    data = bytearray()
    at = 0
    while at < len(raw):
        byte = raw[at]
        if byte == _ESCAPE and at + 1 < len(raw):
            at += 1
            data.append(raw[at] ^ 0x20)
        elif byte == _REPEAT and at + 1 < len(raw) and data:
            at += 1
            data += data[-1:] * max(raw[at] - 29, 0)
        else:
            data.append(byte)
        at += 1
    return bytes(data[:MAX_SIZE])


def pack(data: bytes) -> bytes:
    """A packet of data, which must be free of special bytes or escaped."""
    return b"$%b#%02x" % (data, sum(data) & 0xFF)


def escape(data: bytes) -> bytes:
    """Data that may hold any byte, fit for a packet."""
    return b"".join(b"}%c" % (byte ^ 0x20) if byte in _SPECIAL else b"%c" % byte for byte in data)
