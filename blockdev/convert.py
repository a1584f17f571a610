"""Copies the content of disks, one behind the other, to another disk, without its zeros.

What becomes of zeros, and where one write ends and the next begins, is as with `qemu-img convert`.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.memory import Memory
from blockdev.status import DATA, SECTOR, ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.node import BlockNode

_AT_ONCE = 2 << 20  # bytes
_MOST = 0x7FFFFFFF // SECTOR * SECTOR  # bytes that are looked at together
# What was read is written while the processor's cache still has it: a third of the time.
_HOT = 512 << 10  # bytes
_NO_SECTOR = bytes(SECTOR)
_NOTHING = bytes(_AT_ONCE)

# What is known of some bytes of the sources.
_DATA, _ZEROS, _BACKING = range(3)


class Conversion:
    """One copy.

    Args:
        sources: the disks.
        target: what they go to, large enough.
        is_zero: the target is new, and reads as zeros but for its backing file.
        has_backing: the target has a backing file that the first source has too, so that what
            only that has isn't copied.
        least_zeros: bytes of zeros that aren't written, in a row; 0: everything is written.
        compresses: whole clusters are written compressed.
        salvages: what can't be read is taken for zeros.

    Attributes:
        total: bytes of all sources.
    """

    def __init__(
        self,
        sources: Sequence[BlockNode],
        target: BlockNode,
        *,
        is_zero: bool,
        has_backing: bool,
        least_zeros: int,
        compresses: bool,
        salvages: bool = False,
    ) -> None:
        self._sources = sources
        self._ends: list[int] = []
        self.total = 0
        for source in sources:
            self.total += length_of(source)
            self._ends.append(self.total)
        self._target = target
        self._has_backing = has_backing
        self._backing_end = -1
        if has_backing and target.backing is not None:
            self._backing_end = length_of(target.backing)
        self._least_zeros = least_zeros
        self._is_zero = is_zero and not has_backing
        self._compresses = compresses
        self._salvages = salvages
        self._cluster = target.cluster_size if compresses else 0
        self._most = self._cluster or _AT_ONCE
        self._alignment = 1 << max(least_zeros // SECTOR, 1).bit_length() - 1  # sectors
        # Smaller parts than the target's clusters, or than what is aligned, would be pieced
        # together again.
        self._takes_parts = max(target.cluster_size, self._alignment * SECTOR) <= _HOT
        self._part = Memory(_HOT).view
        self._known = (_DATA, 0)  # kind, and up to where it holds
        self._which = 0

    def run(self) -> Iterator[float]:
        """Copy; yields how much of what is to be copied is done, per cent.

        Raises:
            QemuError: a source can't be read, or the target not written.
        """
        wanted = sum(end - start for start, end, kind in self._pieces() if self._is_copied(kind))
        done = 0
        pieces = self._compressed() if self._compresses else self._plain()
        for length in pieces:
            if length:
                done += length
                yield 100.0 * done / wanted

    def _is_copied(self, kind: int) -> bool:
        return kind == _DATA or (kind == _ZEROS and not self._least_zeros)

    # --- the sources

    def _pieces(self) -> Iterator[tuple[int, int, int]]:
        """Start, end and kind of the pieces that are dealt with one by one."""
        self._known, self._which = (_DATA, 0), 0
        start = 0
        while start < self.total:
            end, kind = self._piece(start)
            if kind == _ZEROS and not self._least_zeros:
                end = min(end, start + self._most)
            yield start, end, kind
            start = end

    def _piece(self, start: int) -> tuple[int, int]:
        while self._ends[self._which] <= start:
            self._which += 1
        end = min(self.total, start + _MOST)
        is_behind = 0 <= self._backing_end <= start
        if not is_behind and self._backing_end > start:
            end = min(end, self._backing_end)
        if self._known[1] <= start:
            end, kind = self._look(start, min(end, self._ends[self._which]), is_behind=is_behind)
            self._known = kind, end
        kind, known_end = self._known
        end = min(end, known_end)
        if kind == _DATA:
            end = min(end, start + self._most)
        if self._compresses:
            if end - start < self._cluster:
                # A cluster is written as a whole.
                end, kind = min(start + self._cluster, self.total), _DATA
                self._known = kind, max(known_end, start)
            else:
                end -= (end - start) % self._cluster
        return end, kind

    def _look(self, start: int, end: int, *, is_behind: bool) -> tuple[int, int]:
        source = self._sources[self._which]
        first = self._ends[self._which] - length_of(source)
        base = source.backing if self._has_backing else None
        try:
            found = status_above(source, base, start - first, end - start)
        except QemuError as error:
            if self._salvages:
                return min(end, start + SECTOR), _DATA
            offset, reason = start - first, _reason(error)
            text = f"error while reading block status at offset {offset}: {reason}"
            raise QemuError(text, error.errno_value) from error
        length = -(-found.length // SECTOR) * SECTOR
        tail = (start - first + length) % max(source.cluster_size, SECTOR)
        if length > tail:
            length -= tail
        if found.flags & ZERO:
            kind = _BACKING if is_behind else _ZEROS
        elif found.flags & DATA or not self._has_backing:
            kind = _DATA
        else:
            kind = _BACKING
        return start + length, kind

    def _read(self, start: int, length: int, *, piece: int | None = None) -> bytes:
        """Bytes of the sources; where the piece begins whose part they are is told on failure."""
        parts: list[bytes] = []
        which = self._which
        while self._ends[which] <= start:
            which += 1
        done = 0
        while done < length:
            source = self._sources[which]
            first = self._ends[which] - length_of(source)
            here = min(length, self._ends[which] - start) - done
            try:
                parts.append(source.read(start + done - first, here))
            except QemuError as error:
                if not self._salvages:
                    at = start if piece is None else piece
                    text = f"error while reading at byte {at}: {_reason(error)}"
                    raise QemuError(text, error.errno_value) from error
                parts.append(_salvaged(source, start + done - first, here))
            done += here
            which += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # --- the target

    def _plain(self) -> Iterator[int]:
        for start, end, kind in self._pieces():
            yield end - start if self._is_copied(kind) else 0
            try:
                if kind == _DATA:
                    self._copy(start, end)
                elif kind == _ZEROS and not self._least_zeros:
                    self._put(start, memoryview(bytes(end - start)))
                elif kind == _ZEROS:
                    self._zero(start, end - start)
            except _WriteError as error:
                raise error.at(start) from error

    def _copy(self, start: int, end: int) -> None:
        """Copy a piece with data: what has no zeros in it a part at a time, the rest at once."""
        here = start
        while here + _HOT <= end and self._copy_part(here):
            here += _HOT
        if here < end:
            data = self._read(here, end - here, piece=start)
            self._write(here, data, goes_on=here > start)

    def _copy_part(self, start: int) -> bool:
        """Copy `_HOT` bytes; False where that needs a closer look, and nothing is done."""
        source = self._sources[self._which]
        offset = start - (self._ends[self._which] - length_of(source))
        if not self._takes_parts or offset < 0 or start + _HOT > self._ends[self._which]:
            return False
        try:
            source.read_into(offset, self._part)
        except QemuError:
            return False
        if self._least_zeros and any(zero_sectors(self._part)):
            return False
        self._put(start, self._part)
        return True

    def _write(self, start: int, data: bytes, *, goes_on: bool) -> None:
        view = memoryview(data)
        if not self._least_zeros:
            self._put(start, view)
            return
        parts = SparseParts(
            data,
            start // SECTOR,
            self._alignment,
            self._least_zeros // SECTOR,
            goes_on=goes_on,
        )
        for first, end, is_data in parts:
            if is_data:
                self._put(start + first, view[first:end])
            else:
                self._zero(start + first, end - first)

    def _put(self, start: int, view: memoryview) -> None:
        try:
            self._target.write(start, [view])
        except QemuError as error:
            raise _WriteError(str(error), error.errno_value) from error

    def _zero(self, start: int, length: int) -> None:
        if self._is_zero:
            return
        try:
            self._target.write_zeroes(start, length, may_unmap=True)
        except QemuError as error:
            raise _WriteError(str(error), error.errno_value) from error

    # --- compressed

    def _compressed(self) -> Iterator[int]:
        from blockdev.qcow2.compression import Compressor
        from blockdev.qcow2.image import Image

        target = self._target
        assert isinstance(target, Image)
        with Compressor(target) as compressor:
            for start, end, kind in self._pieces():
                is_copied = self._is_copied(kind)
                yield end - start if is_copied else 0
                length = end - start
                try:
                    if is_copied:
                        data = self._read(start, length) if kind == _DATA else bytes(length)
                        if self._least_zeros and is_zeros(data):
                            compressor.finish()
                            self._zero(start, length)
                        else:
                            compressor.add(start, data)
                    elif kind == _ZEROS:
                        compressor.finish()
                        self._zero(start, length)
                except _WriteError as error:
                    raise error.at(start) from error


class _WriteError(QemuError):
    """The target can't be written."""

    def at(self, start: int) -> QemuError:
        """What is told of it: where the piece begins, and why."""
        text = f"error while writing at byte {start}: {_reason(self)}"
        return QemuError(text, self.errno_value)


class SparseParts:
    """Parts of some bytes, by turns to be written and all zeros.

    Args:
        data: the bytes, whole sectors.
        first: the number of the first sector on the disk.
        alignment: sectors, a power of two; the parts end at multiples of it.
        least: sectors of zeros in a row that are worth a part.
        goes_on: the bytes before them were written, so that a few zeros at the start are too.
    """

    def __init__(
        self, data: bytes, first: int, alignment: int, least: int, *, goes_on: bool = False
    ) -> None:
        self._first = first
        self._alignment = alignment
        self._least = least
        self._goes_on = goes_on
        self._data = data
        self._zero = [False] * (len(data) // SECTOR)

    def __iter__(self) -> Iterator[tuple[int, int, bool]]:
        """Start and end in bytes, and whether there is data."""
        data, zero = self._data, self._zero
        if not self._goes_on and is_zeros(data):
            yield 0, len(data), False
            return
        for number in zero_sectors(memoryview(data)):
            zero[number] = True
        start = 0
        if self._goes_on and (end := self._widened(0)):
            yield 0, end * SECTOR, True
            start = end
        while start < len(zero):
            end, is_data = self._run(start)
            if is_data:
                end = self._widened(end)
            yield start * SECTOR, end * SECTOR, is_data
            start = end

    def _widened(self, end: int) -> int:
        """Where data ends for which zeros too few to matter are data as well."""
        sectors, least = len(self._zero), self._least
        used = here = end
        while here < sectors:
            following, is_data = self._run(here)
            if is_data:
                used = following
            elif following - here >= least:
                break
            here = following
        return used

    def _run(self, start: int) -> tuple[int, bool]:
        """Where a run of sectors that are alike ends, moved to a multiple of the alignment."""
        zero = self._zero
        is_zero = zero[start]
        try:
            end = zero.index(not is_zero, start)
        except ValueError:
            return len(zero), not is_zero
        tail = (self._first + end) & (self._alignment - 1)
        if tail:
            if is_zero and end - start <= tail:
                is_zero = False
            end += -tail if is_zero else self._alignment - tail
        return min(end, len(zero)), not is_zero


def zero_sectors(data: memoryview) -> Iterator[int]:
    """The numbers of the sectors, of some whole ones, that are all zeros."""
    # Most sectors show at their first byte that they aren't, most others at one of a few more.
    for places in ((0,), (0, 3, 129, 258, 387, 511)):
        some = 0
        for place in places:
            some |= int.from_bytes(data[place::SECTOR], "little")
        here = some.to_bytes(len(data) // SECTOR, "little")
        if 0 not in here:
            return
    number = here.find(0)
    while number >= 0:
        if bytes(data[number * SECTOR : (number + 1) * SECTOR]) == _NO_SECTOR:
            yield number
        number = here.find(0, number + 1)


def is_zeros(data: bytes | bytearray) -> bool:
    """Whether all bytes are zeros."""
    return data == (_NOTHING if len(data) == _AT_ONCE else bytes(len(data)))


def _salvaged(source: BlockNode, offset: int, length: int) -> bytes:
    """Bytes of which some sectors can't be read; zeros in place of those."""
    parts: list[bytes] = []
    for start in range(offset, offset + length, SECTOR):
        try:
            parts.append(source.read(start, SECTOR))
        except QemuError:
            parts.append(_NO_SECTOR)
    return b"".join(parts)


def _reason(error: QemuError) -> str:
    return os.strerror(error.errno_value) if error.errno_value else str(error)
