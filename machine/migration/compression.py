"""Pages that travel compressed, each by itself, under the capability ``compress``.

A record is a page's, with a be32 length and so many bytes of zlib's format behind it.
"""

from __future__ import annotations

import errno
import zlib

from machine.memory import PAGE_SIZE
from machine.migration.qemufile import StreamError
from machine.migration.ram_records import COMPRESS, CONTINUE, HEADER, ZERO_RECORD_SIZE, zero_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import RamBlock
    from machine.migration.qemufile import QEMUFileReader
    from machine.vmstate.description import Report

LONGEST = PAGE_SIZE + (PAGE_SIZE >> 12) + 13  # bytes that zlib may make of a page
_LENGTH_SIZE = 4
_ZERO_PAGE = bytes(PAGE_SIZE)


def compressed_records(
    block: RamBlock, offset: int, pages: int, level: int
) -> tuple[list[bytes | memoryview], int, int]:
    """The records of `pages` pages of one chunk, CONTINUE in all of them.

    Args:
        level: how hard zlib tries, 0 to 9.

    Returns:
        The records; how many of them aren't zero pages; and how long the data of those is,
        bytes.
    """
    pieces: list[bytes | memoryview] = []
    packed = zero_records(offset, pages)
    compressed = size = 0
    for index in range(pages):
        page = offset + index * PAGE_SIZE
        content = block.view[page : page + PAGE_SIZE]
        if content == _ZERO_PAGE:
            start = index * ZERO_RECORD_SIZE
            pieces.append(packed[start : start + ZERO_RECORD_SIZE])
            continue
        data = zlib.compress(content, level)
        head = HEADER.pack(page | COMPRESS | CONTINUE) + len(data).to_bytes(_LENGTH_SIZE, "big")
        pieces.append(head + data)
        compressed += 1
        size += len(data)
    return pieces, compressed, size


def read_compressed(file: QEMUFileReader, report: Report) -> bytes:
    """The page of a record, behind its header.

    Raises:
        StreamError: it can't be one.
    """
    size = file.get_be32()
    if file.error:
        raise StreamError(file.error)
    if size > LONGEST:
        report(f"Invalid compressed data length: {size - (size >> 31 << 32)}")
        raise StreamError(errno.EINVAL)
    unpacker = zlib.decompressobj()
    try:
        page = unpacker.decompress(file.get_buffer(size), PAGE_SIZE)
    except zlib.error:
        page = b""
    if file.error:
        raise StreamError(file.error)
    if len(page) != PAGE_SIZE or not unpacker.eof:
        report("decompress data failed")
        raise StreamError(errno.EIO)
    return page
