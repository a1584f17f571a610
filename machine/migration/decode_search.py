"""Places in a stream that can't be reached by reading on: looked for by what they look like."""

from __future__ import annotations

from machine.migration.decode_source import WINDOW
from machine.migration.stream import (
    COMMAND,
    EOF,
    SECTION_END,
    SECTION_FOOTER,
    SECTION_FULL,
    SECTION_PART,
    SECTION_START,
    VMDESCRIPTION,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.decode_source import Source

LARGEST_DESCRIPTION = 16 << 20  # bytes
LONGEST_SEARCH = 64 << 20  # bytes from the end in which the description is looked for
MOST_CANDIDATES = 64


def find_description(source: Source, start: int) -> tuple[int, bytes] | None:
    """The description at the end of a stream.

    It can't be reached from the front, since it is what tells the lengths of devices.

    Args:
        start: the end of the sections isn't before this.

    Returns:
        Where its text begins, and the text; None if there is none.
    """
    mark = b'{"page_size"'
    candidates = 0
    end = source.size
    lowest = max(start, end - LONGEST_SEARCH)
    while end > lowest:
        begin = max(lowest, end - WINDOW)
        data = source.read(begin, min(end + len(mark) - 1, source.size) - begin)
        place = data.rfind(mark)
        while place >= 0:
            text = _description_at(source, begin + place, start)
            candidates += 1
            if text is not None:
                return begin + place, text
            if candidates == MOST_CANDIDATES:
                return None
            place = data.rfind(mark, 0, place + len(mark) - 1)
        end = begin
    return None


def _description_at(source: Source, offset: int, start: int) -> bytes | None:
    """The text from `offset` on, if that is one with what comes before it."""
    if offset - 6 < start:
        return None
    head = source.read(offset - 6, 6)
    size = int.from_bytes(head[2:], "big")
    if head[:2] != bytes([EOF, VMDESCRIPTION]) or size > LARGEST_DESCRIPTION:
        return None
    if offset + size > source.size or source.read(offset + size - 1, 1) != b"}":
        return None
    return source.read(offset, size)


def find_footer(data: bytes, section_id: int) -> int:
    """Where a section's footer is, with what can follow it; -1 if nowhere."""
    footer = bytes([SECTION_FOOTER]) + section_id.to_bytes(4, "big")
    place = data.find(footer)
    while place >= 0 and data[place + 5 : place + 6] not in _AFTER_FOOTER:
        place = data.find(footer, place + 1)
    return place


_AFTER_FOOTER = {
    bytes([each]) for each in (EOF, SECTION_START, SECTION_PART, SECTION_END, SECTION_FULL, COMMAND)
}


def find_header(data: bytes) -> int:
    """Where the header of another FULL section is, with a name that can be one; -1 if nowhere."""
    mark = bytes([SECTION_FULL, 0, 0])  # nobody has more than 65536 sections
    place = data.find(mark)
    while place >= 0:
        size = data[place + 5] if place + 5 < len(data) else 0
        end = place + 6 + size
        name = data[place + 6 : end]
        ids = data[end : end + 8]
        if (
            size
            and len(ids) == 8
            and name.isascii()
            and name.decode().isprintable()
            and ids[:2] == ids[4:6] == b"\0\0"  # instances and versions are small numbers
        ):
            return place
        place = data.find(mark, place + 1)
    return -1
