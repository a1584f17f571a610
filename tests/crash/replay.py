"""Every image that a crash in the middle of a recording can leave behind.

A killed process leaves a prefix of its writes.  A power failure leaves every barrier's past, and of
what came after the last one any subset, each write of it perhaps torn between two sectors; a write
inside one sector happens or doesn't.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tests.crash.layout import SECTOR
from tests.crash.record import Barrier, Event, Recording, Truncate, Write

ALL_SUBSETS_UP_TO = 5  # pieces in a group; of more, each alone, each missing, and random ones


class Depth(NamedTuple):
    """How far to go.

    Attributes:
        random_subsets: of each group that has too many pieces for all subsets.
        torn: sizes of the pieces that large writes are torn into, bytes.
        torn_pieces: of a group's pieces, how many are left out or kept alone.
        seed: of the random subsets.
    """

    random_subsets: int
    torn: tuple[int, ...]
    torn_pieces: int
    seed: int = 7


class State:
    """A file by its differences from the start of the recording."""

    __slots__ = ("_keep", "_length", "_sectors", "_start")

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._sectors: dict[int, bytes] = {}
        self._length = len(start)
        self._keep = len(start)  # bytes of the start that no truncation has taken away

    def copy(self) -> State:
        other = State.__new__(State)
        other._start, other._length, other._keep = self._start, self._length, self._keep
        other._sectors = self._sectors.copy()
        return other

    def apply(self, event: Event) -> None:
        if isinstance(event, Truncate):
            self._truncate(event.size)
        elif isinstance(event, Write):
            self._write(event.offset, event.data)

    def _write(self, offset: int, data: bytes) -> None:
        self._length = max(self._length, offset + len(data))
        done = 0
        while done < len(data):
            sector, inside = divmod(offset + done, SECTOR)
            piece = data[done : done + SECTOR - inside]
            if len(piece) < SECTOR:
                old = self._sector(sector)
                piece = old[:inside] + piece + old[inside + len(piece) :]
                done += SECTOR - inside
            else:
                done += SECTOR
            self._sectors[sector] = piece

    def _sector(self, sector: int) -> bytes:
        piece = self._sectors.get(sector)
        if piece is None:
            at = sector * SECTOR
            piece = self._start[at : min(at + SECTOR, self._keep)].ljust(SECTOR, b"\0")
        return piece

    def read(self, offset: int, size: int) -> bytes:
        first = offset // SECTOR
        sectors = range(first, -(-(offset + size) // SECTOR))
        data = b"".join(map(self._sector, sectors))
        return data[offset - first * SECTOR :][:size]

    def _truncate(self, size: int) -> None:
        if size < self._length:
            last, inside = divmod(size, SECTOR)
            edge = self._sector(last)
            self._sectors = {n: data for n, data in self._sectors.items() if n < last}
            if inside:
                self._sectors[last] = edge[:inside].ljust(SECTOR, b"\0")
            self._keep = min(self._keep, size)
        self._length = size

    def key(self) -> tuple[int, int, int]:
        """Equal for equal files, unless two hashes meet."""
        start = self._start
        changed = frozenset(
            (n, data)
            for n, data in self._sectors.items()
            if start[n * SECTOR : (n + 1) * SECTOR] != data
        )
        return self._length, self._keep, hash(changed)

    def image(self) -> bytearray:
        """The file's bytes."""
        data = bytearray(self._start[: self._keep])
        data.extend(bytes(max(0, self._length - len(data))))
        for sector, piece in self._sectors.items():
            data[sector * SECTOR : (sector + 1) * SECTOR] = piece
        del data[self._length :]
        return data


class Crash(NamedTuple):
    """One way to be cut short.

    Attributes:
        certain: events of the log that are surely on the disk.
        begun: events of the log that had happened, perhaps only in the drive's memory.
    """

    label: str
    state: State
    certain: int
    begun: int


def crashes(recording: Recording, depth: Depth) -> Iterator[Crash]:
    """Each distinct image once, what a killed process leaves first."""
    seen: set[tuple[tuple[int, int, int], int]] = set()
    chance = random.Random(depth.seed)
    for crash in itertools.chain(_prefixes(recording), _power_failures(recording, depth, chance)):
        # The same image is judged again where more of it was promised.
        key = (crash.state.key(), _promised(recording, crash.certain))
        if key not in seen:
            seen.add(key)
            yield crash


def _promised(recording: Recording, certain: int) -> int:
    return sum(
        version.promised is not None and version.promised <= certain
        for version in recording.versions
    )


def _prefixes(recording: Recording) -> Iterator[Crash]:
    state = State(recording.start)
    yield Crash(f"killed before write 1 of {recording.writes}", state.copy(), 0, 0)
    writes = 0
    for done, event in enumerate(recording.log, 1):
        if isinstance(event, Barrier):
            continue
        state.apply(event)
        writes += 1
        label = f"killed after write {writes} of {recording.writes}"
        # A barrier right behind the write changes nothing for a killed process.
        end = done
        while end < len(recording.log) and isinstance(recording.log[end], Barrier):
            end += 1
        yield Crash(label, state.copy(), end, end)


def _power_failures(recording: Recording, depth: Depth, chance: random.Random) -> Iterator[Crash]:
    base = State(recording.start)
    certain = number = 0
    log = recording.log
    while certain < len(log):
        end = certain
        while end < len(log) and not isinstance(log[end], Barrier):
            end += 1
        group = log[certain:end]
        if group:
            number += 1
            where = f"power lost in group {number}"
            for size in (0, *depth.torn):
                pieces = _changing(base, list(_torn(group, size))) if size else group
                how = f", torn at {size}" if size else ""
                limit = depth.torn_pieces if size else len(pieces)
                for kept, which in _subsets(len(pieces), limit, depth.random_subsets, chance):
                    state = base.copy()
                    for index in kept:
                        state.apply(pieces[index])
                    yield Crash(f"{where}{how}: {which}", state, certain, end)
        for event in group:
            base.apply(event)
        certain = end + 1


def _torn(group: list[Event], size: int) -> Iterator[Event]:
    """The group's writes in pieces that end where a multiple of `size` does."""
    for event in group:
        if not isinstance(event, Write):
            yield event
            continue
        done = 0
        while done < len(event.data):
            length = size - (event.offset + done) % size
            yield Write(event.offset + done, event.data[done : done + length])
            done += length


def _changing(base: State, pieces: list[Event]) -> list[Event]:
    """The pieces without those that write what is there already."""
    touched = Counter(sector for piece in pieces for sector in _sectors(piece))
    return [
        piece
        for piece in pieces
        if not isinstance(piece, Write)
        or any(touched[sector] > 1 for sector in _sectors(piece))
        or base.read(piece.offset, len(piece.data)) != piece.data
    ]


def _sectors(event: Event) -> range:
    if not isinstance(event, Write):
        return range(0)
    return range(event.offset // SECTOR, -(-(event.offset + len(event.data)) // SECTOR))


def _subsets(
    pieces: int, limit: int, random_ones: int, chance: random.Random
) -> Iterator[tuple[Iterable[int], str]]:
    """Which pieces are there, and that in words."""
    everything = range(pieces)
    if pieces <= ALL_SUBSETS_UP_TO:
        for bits in itertools.product((False, True), repeat=pieces):
            kept = list(itertools.compress(everything, bits))
            yield kept, f"writes {[n + 1 for n in kept]} of {pieces} are there"
        return
    chosen = everything if pieces <= limit else sorted(chance.sample(everything, limit))
    for n in chosen:
        yield [n], f"write {n + 1} of {pieces} alone is there"
        yield [m for m in everything if m != n], f"write {n + 1} of {pieces} is missing"
    for _ in range(random_ones):
        share = chance.random()
        kept = [n for n in everything if chance.random() < share]
        shown = [n + 1 for n in kept]
        if len(kept) > pieces // 2:
            missing = sorted(set(everything) - set(kept))
            yield kept, f"writes {[n + 1 for n in missing]} of {pieces} are missing"
        else:
            yield kept, f"writes {shown} of {pieces} are there"
