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


# The sixth and the seventh byte of the headers of 4096 pages in a row, but for the flags.
_SIXTH = b"".join([bytes([number]) * 16 for number in range(256)])
_SEVENTH = bytes(range(0, 256, 16)) * 256


def _headers(offset: int, pages: int, flags: int, payload: bytes = b"") -> bytearray:
    """The headers of pages of one chunk, each with the same payload behind it.

    Made column by column: a step for each page would take longer than all else.
    """
    record = HEADER.pack(offset & -1 << 24 | flags) + payload
    records = bytearray(record * pages)
    first = offset >> 12 & 0xFFF
    records[5 :: len(record)] = _SIXTH[first : first + pages]
    records[6 :: len(record)] = _SEVENTH[first : first + pages]
    return records


def zero_records(offset: int, pages: int) -> bytes:
    """The records of `pages` zero pages of one chunk, CONTINUE in all of them."""
    return bytes(_headers(offset, pages, ZERO | CONTINUE, b"\0"))


def page_records(block: RamBlock, offset: int, pages: int) -> tuple[list[bytes | memoryview], int]:
    """The records of `pages` pages of one chunk in pieces, CONTINUE in all of them.

    Returns:
        The pieces, of which the first is a header, and how many of the pages aren't zero.
    """
    end = offset + pages * PAGE_SIZE
    packed = bytes(_headers(offset, pages, PAGE | CONTINUE))
    headers = [packed[start : start + 8] for start in range(0, len(packed), 8)]
    mapping, view = block.mapping, block.view
    first_bytes = mapping[offset:end:PAGE_SIZE]
    pieces: list[bytes | memoryview]
    if 0 not in first_bytes:
        pieces = [*headers, *headers]  # as many as needed; all are put right at once
        pieces[::2] = headers
        pieces[1::2] = [view[page : page + PAGE_SIZE] for page in range(offset, end, PAGE_SIZE)]
        return pieces, pages
    packed = zero_records(offset, pages)
    pieces = []
    zeros = 0
    for index, first_byte in enumerate(first_bytes):
        page = offset + index * PAGE_SIZE
        if first_byte or mapping[page : page + PAGE_SIZE] != _ZERO_PAGE:
            pieces += (headers[index], view[page : page + PAGE_SIZE])
        else:
            zeros += 1
            start = index * ZERO_RECORD_SIZE
            pieces.append(packed[start : start + ZERO_RECORD_SIZE])
    return pieces, pages - zeros


def named(pieces: list[bytes | memoryview], name: str) -> list[bytes | memoryview]:
    """The same records, of which the first names its block."""
    encoded = name.encode("utf-8", "surrogateescape")
    (header,) = HEADER.unpack_from(pieces[0])
    first = HEADER.pack(header & ~CONTINUE) + bytes([len(encoded)]) + encoded + pieces[0][8:]
    return [first, *pieces[1:]]
