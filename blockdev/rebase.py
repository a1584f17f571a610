"""Puts a disk over another backing file without changing what it shows."""

from __future__ import annotations

import os

from blockdev.chain import allocation_above, backing_of
from blockdev.errors import QemuError
from blockdev.status import SECTOR, length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.node import BlockNode

_AT_ONCE = 2 << 20  # bytes


def pull_up(
    node: BlockNode, old: BlockNode | None, new: BlockNode | None, common: BlockNode | None
) -> Iterator[float]:
    """Write to a disk what its old and new backing files differ in.

    Args:
        node: the disk, which may be written.
        old: what is under it so far; None: zeros.
        new: what will be; None: zeros.
        common: an image of the disk's chain that the new one is, or None.

    Yields:
        How much of everything was done since, per cent.

    Raises:
        QemuError: an image can't be read or written.
    """
    size = length_of(node)
    ends = [0 if backing is None else length_of(backing) for backing in (old, new)]
    share = 100 / -(-size // min(size, _AT_ONCE)) if size else 0.0
    offset = 0
    while offset < size:
        is_own, length = _allocation(node, offset, min(_AT_ONCE, size - offset))
        if not is_own and common is not None:
            first = backing_of(node)
            if first is not None:
                inside = max(0, min(length, length_of(first) - offset))
                if inside:
                    is_changed, length = allocation_above(first, common, offset, inside)
                    is_own = not is_changed
        if is_own:
            offset += length
            continue
        for backing_end in ends:
            if offset < backing_end < offset + length:
                length = backing_end - offset
        before = _read(old, offset, length, ends[0], "old")
        after = _read(new, offset, length, ends[1], "new")
        for start, end in _differences(before, after):
            try:
                node.write(offset + start, [memoryview(before)[start:end]])
            except QemuError as error:
                text = f"Error while writing to COW image: {_reason(error)}"
                raise QemuError(text, error.errno_value) from error
        offset += length
        yield share


def _allocation(node: BlockNode, offset: int, size: int) -> tuple[bool, int]:
    try:
        return node.allocation(offset, size)
    except QemuError as error:
        text = f"error while reading image metadata: {_reason(error)}"
        raise QemuError(text, error.errno_value) from error


def _read(backing: BlockNode | None, offset: int, length: int, end: int, which: str) -> bytes:
    if backing is None or offset >= end:
        return bytes(length)
    try:
        return backing.read(offset, length)
    except QemuError as error:
        text = f"error while reading from {which} backing file"
        raise QemuError(text, error.errno_value) from error


def _differences(before: bytes, after: bytes) -> Iterator[tuple[int, int]]:
    """Runs of sectors that differ."""
    if before == after:
        return
    start = -1
    for place in range(0, len(before), SECTOR):
        if before[place : place + SECTOR] != after[place : place + SECTOR]:
            if start < 0:
                start = place
        elif start >= 0:
            yield start, place
            start = -1
    if start >= 0:
        yield start, len(before)


def _reason(error: QemuError) -> str:
    return os.strerror(error.errno_value) if error.errno_value else str(error)
