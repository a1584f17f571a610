"""The records that pages of RAM travel in.

A record is a be64 of page offset and flags, perhaps the block's name, and what the flags say.
Pages are treated a chunk (1 MiB) at a time, since all that is done for a single page costs as
much as copying it.
"""

from __future__ import annotations

import struct

from machine.memory import CHUNK_SIZE, PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import RamBlock

ZERO = 0x02  # a byte follows: the whole page is made of it
MEM_SIZE = 0x04  # the list of blocks follows; the offset is the size of them all
PAGE = 0x08  # the page follows
EOS = 0x10  # the section's end
CONTINUE = 0x20  # the block is the last one named, so no name follows
XBZRLE = 0x40  # what changed in the page follows
HOOK = 0x80
COMPRESS = 0x100

FLAGS = PAGE_SIZE - 1
PAGES_PER_CHUNK = CHUNK_SIZE // PAGE_SIZE
ZERO_RECORD_SIZE = 9
PAGE_RECORD_SIZE = 8 + PAGE_SIZE
LONGEST_RECORD = 8 + 1 + 255 + PAGE_SIZE

HEADER = struct.Struct(">Q")

_ZERO_PAGE = bytes(PAGE_SIZE)


class HeaderTails:
    """The last bytes of the headers of the 4096 pages that share their upper five bytes."""

    __slots__ = ("_tails", "flags", "payload")

    def __init__(self, flags: int, payload: bytes = b"") -> None:
        self.flags = flags
        self.payload = payload
        self._tails: list[bytes] = []

    def of(self, offset: int, pages: int) -> list[bytes]:
        """Those for `pages` pages from `offset` on, all in the same chunk."""
        if not self._tails:  # made when first wanted: that takes longer than a start-up can spare
            self._tails = [
                (page << 12 | self.flags).to_bytes(3, "big") + self.payload for page in range(4096)
            ]
        first = (offset >> 12) & 0xFFF
        return self._tails[first : first + pages]


_ZERO_TAILS = HeaderTails(ZERO | CONTINUE, b"\0")
_PAGE_TAILS = HeaderTails(PAGE | CONTINUE)


def zero_records(offset: int, pages: int) -> bytes:
    """The records of `pages` zero pages of one chunk, CONTINUE in all of them."""
    upper = _upper_bytes(offset)
    return upper + upper.join(_ZERO_TAILS.of(offset, pages))


def page_records(block: RamBlock, offset: int, pages: int) -> tuple[list[bytes | memoryview], int]:
    """The records of `pages` pages of one chunk in pieces, CONTINUE in all of them.

    Returns:
        The pieces, of which the first is a header, and how many of the pages aren't zero.
    """
    end = offset + pages * PAGE_SIZE
    upper = _upper_bytes(offset)
    headers: list[bytes | memoryview] = [upper + tail for tail in _PAGE_TAILS.of(offset, pages)]
    mapping, view = block.mapping, block.view
    first_bytes = mapping[offset:end:PAGE_SIZE]
    pieces: list[bytes | memoryview]
    if 0 not in first_bytes:
        pieces = headers * 2  # twice as many places; all are filled right now
        pieces[::2] = headers
        pieces[1::2] = [view[page : page + PAGE_SIZE] for page in range(offset, end, PAGE_SIZE)]
        return pieces, pages
    zero_tails = _ZERO_TAILS.of(offset, pages)
    pieces = []
    zeros = 0
    for index, first_byte in enumerate(first_bytes):
        page = offset + index * PAGE_SIZE
        if first_byte or mapping[page : page + PAGE_SIZE] != _ZERO_PAGE:
            pieces += (headers[index], view[page : page + PAGE_SIZE])
        else:
            zeros += 1
            pieces.append(upper + zero_tails[index])
    return pieces, pages - zeros


def named(pieces: list[bytes | memoryview], name: str) -> list[bytes | memoryview]:
    """The same records, of which the first names its block."""
    encoded = name.encode("utf-8", "surrogateescape")
    (header,) = HEADER.unpack_from(pieces[0])
    first = HEADER.pack(header & ~CONTINUE) + bytes([len(encoded)]) + encoded + pieces[0][8:]
    return [first, *pieces[1:]]


def _upper_bytes(offset: int) -> bytes:
    return (offset >> 24).to_bytes(5, "big")
