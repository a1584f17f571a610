"""XBZRLE: what changed in a page, as runs of bytes that stayed and bytes that are new."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.qemufile import QEMUFileReader
    from machine.vmstate.description import Report

ENCODING = 0x01


def decode_page(file: QEMUFileReader, page: bytes, report: Report) -> bytes | None:
    """Read the changes of a page that was sent before, and make them.

    Returns:
        The new page; None, after a report, if the changes can't be read.
    """
    encoding = file.get_byte()
    size = file.get_be16()
    if encoding != ENCODING:
        report("Failed to load XBZRLE page - wrong compression!")
        return None
    if size > len(page):
        report("Failed to load XBZRLE page - len overflow!")
        return None
    new_page = apply_runs(page, file.get_buffer(size))
    if new_page is None:
        report("Failed to load XBZRLE page - decode error!")
    return new_page


def apply_runs(page: bytes, runs: bytes) -> bytes | None:
    """Change a page; None if the runs make no sense.

    Runs alternate: so many bytes stay (0 only at the very beginning), so many are new and follow.
    """
    result = bytearray(page)
    target = 0
    source = 0
    while source < len(runs):
        kept, source_after = _length(runs, source)
        if kept is None or (source and not kept):
            return None
        new, start = _length(runs, source_after)
        target += kept
        if not new or target + new > len(page) or start + new > len(runs):
            return None
        result[target : target + new] = runs[start : start + new]
        target += new
        source = start + new
    return bytes(result)


def _length(runs: bytes, position: int) -> tuple[int | None, int]:
    """A number of one or two bytes, seven bits in each, the low ones first; and where it ends.

    Two bytes must be left even if one is enough.
    """
    if position + 2 > len(runs):
        return None, position
    low, high = runs[position], runs[position + 1]
    if not low & 0x80:
        return low, position + 1
    if high & 0x80:
        return None, position
    return low & 0x7F | high << 7, position + 2
