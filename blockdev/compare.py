"""Whether two disks have the same content, and with what is known of it the same allocation."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.memory import Memory
from blockdev.status import ALLOCATED, SECTOR, ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.node import BlockNode

_AT_ONCE = 2 << 20  # bytes


class Difference(QemuError):
    """The disks are not the same; the sentence says where."""


class NoStatus(QemuError):
    """What a disk has where can't be found out."""


def compare(
    first: BlockNode, second: BlockNode, names: tuple[str, str], *, strict: bool
) -> Iterator[int | None]:
    """Compare two disks piece by piece.

    Args:
        names: what they are called where one can't be read.
        strict: sizes and allocation shall be the same too.

    Yields:
        How many bytes were compared since; None once, where the shorter one ends.

    Raises:
        Difference: there is one.
        NoStatus: a disk's tables can't be read.
        QemuError: a disk can't be read.
    """
    comparison = _Comparison(first, second, names)
    sizes = length_of(first), length_of(second)
    if strict and sizes[0] != sizes[1]:
        raise Difference("Strict mode: Image size mismatch!")
    offset, end = 0, min(sizes)
    while offset < end:
        length = comparison.step(offset, sizes, strict=strict)
        yield length
        offset += length
    if sizes[0] == sizes[1]:
        return
    yield None
    longer = 0 if sizes[0] > sizes[1] else 1
    while offset < max(sizes):
        length = comparison.step_alone(longer, offset, max(sizes) - offset)
        yield length
        offset += length


class _Comparison:
    def __init__(self, first: BlockNode, second: BlockNode, names: tuple[str, str]) -> None:
        self._nodes = first, second
        self._names = names
        self._memory = Memory(_AT_ONCE), Memory(_AT_ONCE)

    def step(self, offset: int, sizes: tuple[int, int], *, strict: bool) -> int:
        """Compare one piece; its length."""
        found = [self._status(which, offset, size - offset) for which, size in enumerate(sizes)]
        length = min(found[0][1], found[1][1])
        flags = found[0][0], found[1][0]
        if strict and flags[0] != flags[1]:
            raise Difference(f"Strict mode: Offset {offset} block status mismatch!")
        has_data = [bool(f & ALLOCATED) for f in flags]
        if flags[0] & flags[1] & ZERO:
            return length
        if has_data[0] == has_data[1]:
            if has_data[0]:
                length = min(length, _AT_ONCE)
                self._compare(offset, length)
        else:
            length = min(length, _AT_ONCE)
            self._expect_zeros(0 if has_data[0] else 1, offset, length)
        return length

    def step_alone(self, which: int, offset: int, size: int) -> int:
        """See that a piece past the other's end is zeros; its length."""
        flags, length = self._status(which, offset, size)
        if flags & ALLOCATED and not flags & ZERO:
            length = min(length, _AT_ONCE)
            self._expect_zeros(which, offset, length)
        return length

    def _status(self, which: int, offset: int, size: int) -> tuple[int, int]:
        try:
            found = status_above(self._nodes[which], None, offset, size)
        except QemuError as error:
            text = f"Sector allocation test failed for {self._names[which]}"
            raise NoStatus(text, error.errno_value) from error
        return found.flags, found.length

    def _read(self, which: int, offset: int, length: int) -> bytes:
        try:
            return self._nodes[which].read(offset, length)
        except QemuError as error:
            reason = os.strerror(error.errno_value) if error.errno_value else str(error)
            text = f"Error while reading offset {offset} of {self._names[which]}: {reason}"
            raise QemuError(text, error.errno_value) from error

    def _compare(self, offset: int, length: int) -> None:
        if self._are_same(offset, length):
            return
        one, other = self._read(0, offset, length), self._read(1, offset, length)
        if one != other:
            for start in range(0, length, SECTOR):
                if one[start : start + SECTOR] != other[start : start + SECTOR]:
                    raise Difference(f"Content mismatch at offset {offset + start}!")

    def _are_same(self, offset: int, length: int) -> bool:
        """Whether both have the same; False also where one can't be read."""
        try:
            for node, memory in zip(self._nodes, self._memory, strict=True):
                node.read_into(offset, memory.view[:length])
        except QemuError:
            return False
        # What is behind shorter pieces was the same in both before.
        return self._memory[0] == self._memory[1]

    def _expect_zeros(self, which: int, offset: int, length: int) -> None:
        first = first_data(self._read(which, offset, length))
        if first is not None:
            raise Difference(f"Content mismatch at offset {offset + first}!")


def first_data(data: bytes | bytearray) -> int | None:
    """Where the first sector begins that isn't all zeros; None if there is none."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    return None if zeros == len(data) else zeros // SECTOR * SECTOR
