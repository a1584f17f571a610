"""Guest memory as kdump's compressed format has it, in the flat form that can go through a pipe.

Each page is compressed by itself, zero pages share one; bitmaps say which pages there are.
Source: makedumpfile's README and IMPLEMENTATION (diskdump header version 6, flattened format).
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK_SIZE = 4096  # bytes; a page's too
_SIGNATURE = b"KDUMP   "
_VERSION = 6
_MACHINE = b"x86_64"
_NAME_SIZE, _NAMES, _MACHINE_INDEX = 65, 6, 4  # of what uname says; only the machine is told
_HEADER = struct.Struct("<8sI390s22sIIIIIIIIII")
_HEADER_SIZE = 464  # with what is reserved behind it
_SUB_HEADER = struct.Struct("<QII11Q")
_PAGE = struct.Struct("<QIIQ")  # offset, size, flags, page flags
_ZLIB = 1  # in the header: how pages are compressed; of a page: that it is
_DUMP_LEVEL = 1  # zero pages are left out
_FLAT_HEADER = struct.pack(">16sQQ", b"makedumpfile", 1, 1).ljust(BLOCK_SIZE, b"\0")
_RECORD = struct.Struct(">qq")
_END = _RECORD.pack(-1, -1)
_DESCRIPTIONS_AT_ONCE = 512  # pages
_ZERO = bytes(BLOCK_SIZE)

Part = tuple[int, memoryview]  # physical address, content; both multiples of `BLOCK_SIZE`


def flat_dump(parts: Sequence[Part], notes: bytes, cpus: int) -> Iterator[tuple[bytes, int]]:
    """The bytes of a dump, in pieces, each with how much of the memory it brings.

    Args:
        parts: the memory, by address.
        notes: ELF notes of the processors.
        cpus: how many these are.
    """
    yield _FLAT_HEADER, 0
    for offset, data in _head(parts, notes, cpus):
        yield _record(offset, data), 0
    yield from _pages(parts, _pages_offset(parts, notes))
    yield _END, 0


def _record(offset: int, data: bytes) -> bytes:
    return _RECORD.pack(offset, len(data)) + data


def _page_limit(parts: Sequence[Part]) -> int:
    """The number after that of the last page."""
    return max(address + len(view) for address, view in parts) // BLOCK_SIZE


def _bitmap_size(parts: Sequence[Part]) -> int:
    """Bytes of one of the two bitmaps: whole blocks."""
    return -(-_page_limit(parts) // (8 * BLOCK_SIZE)) * BLOCK_SIZE


def _head(parts: Sequence[Part], notes: bytes, cpus: int) -> Iterator[tuple[int, bytes]]:
    limit, bitmap_size = _page_limit(parts), _bitmap_size(parts)
    sub_size = -(-(_SUB_HEADER.size + len(notes)) // BLOCK_SIZE)
    names = bytes(_NAME_SIZE * _MACHINE_INDEX) + _MACHINE
    counts = (sub_size, 2 * bitmap_size // BLOCK_SIZE, min(limit, 0xFFFFFFFF), 0, 0, 0, 0, cpus)
    header = _HEADER.pack(_SIGNATURE, _VERSION, names, b"", _ZLIB, BLOCK_SIZE, *counts)
    yield 0, header.ljust(_HEADER_SIZE, b"\0")
    notes_at = BLOCK_SIZE + _SUB_HEADER.size
    yield (
        BLOCK_SIZE,
        _SUB_HEADER.pack(0, _DUMP_LEVEL, 0, 0, 0, 0, 0, notes_at, len(notes), 0, 0, 0, 0, limit),
    )
    yield notes_at, notes
    bitmap = bytearray(bitmap_size)
    for address, view in parts:
        for page in range(address // BLOCK_SIZE, (address + len(view)) // BLOCK_SIZE):
            bitmap[page >> 3] |= 1 << (page & 7)
    bitmap_at = (1 + sub_size) * BLOCK_SIZE
    for start in (bitmap_at, bitmap_at + bitmap_size):
        yield start, bytes(bitmap)


def _pages_offset(parts: Sequence[Part], notes: bytes) -> int:
    """Where the descriptions of the pages begin."""
    sub_size = -(-(_SUB_HEADER.size + len(notes)) // BLOCK_SIZE)
    return (1 + sub_size) * BLOCK_SIZE + 2 * _bitmap_size(parts)


def _pages(parts: Sequence[Part], described_at: int) -> Iterator[tuple[bytes, int]]:
    """The descriptions of all pages, and their content: first the zeros, then all others."""
    count = sum(len(view) for _, view in parts) // BLOCK_SIZE
    zero_at = described_at + count * _PAGE.size
    zero = _PAGE.pack(zero_at, BLOCK_SIZE, 0, 0)
    yield _record(zero_at, _ZERO), 0
    data_at = zero_at + BLOCK_SIZE
    descriptions: list[bytes] = []
    contents: list[bytes] = []
    for page in _each_page(parts):
        if page == _ZERO:
            descriptions.append(zero)
        else:
            packed, flags = zlib.compress(page, zlib.Z_BEST_SPEED), _ZLIB
            if len(packed) >= BLOCK_SIZE:
                packed, flags = bytes(page), 0
            at = data_at + sum(map(len, contents))
            descriptions.append(_PAGE.pack(at, len(packed), flags, 0))
            contents.append(packed)
        if len(descriptions) == _DESCRIPTIONS_AT_ONCE:
            yield _group(described_at, descriptions, data_at, contents)
            described_at += len(descriptions) * _PAGE.size
            data_at += sum(map(len, contents))
            descriptions, contents = [], []
    yield _group(described_at, descriptions, data_at, contents)


def _each_page(parts: Sequence[Part]) -> Iterator[memoryview]:
    for _, view in parts:
        for start in range(0, len(view), BLOCK_SIZE):
            yield view[start : start + BLOCK_SIZE]


def _group(
    described_at: int, descriptions: list[bytes], data_at: int, contents: list[bytes]
) -> tuple[bytes, int]:
    data = b"".join(contents)
    records = _record(described_at, b"".join(descriptions)) if descriptions else b""
    records += _record(data_at, data) if data else b""
    return records, len(descriptions) * BLOCK_SIZE
