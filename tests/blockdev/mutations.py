"""Damage to images that knows where things are: a seed always does the same damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from blockdev.qcow2.entries import COMPRESSED, OFFSET_MASK, EntryLayout
from blockdev.qcow2.header import EXTENDED_L2, Header
from blockdev.qcow2.snapshots import SnapshotHeader

_PIECE = 4096
_ADDRESS_BITS = (1 << 63) - 512

# Every damaged copy is called DAMAGED, in a folder where there is also a named pipe.
DAMAGED = "damaged.qcow2"
PIPE = "pipe"
BACKING_NAMES = [
    DAMAGED.encode(),
    PIPE.encode(),
    b"nowhere",
    b".",
    b"/dev/zero",
    b"/dev/null",
    b"/proc/self/mem",
    b"before\0behind",
    b"nbd://localhost",
    b"json:{}",
    b"\xff\xfe",
    b"n" * 300,
]


class Place(NamedTuple):
    """A number in an image: what it is, where, and in how many bytes."""

    what: str
    offset: int
    size: int


class Patch(NamedTuple):
    """Damage: what it is in words, and the bytes from `offset` on."""

    words: str
    offset: int
    data: bytes


class Specimen:
    """A sound image, taken apart; damaged copies of it can be written.

    Attributes:
        name: what is special about it.
        data: its bytes.
        tables: the numbers in it by kind of structure.
        structures: host offsets that something is at.
        compressed: host offset and length of compressed clusters.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.data = path.read_bytes()
        self.header = header = Header.unpack(self.data.ljust(Header.SIZE, b"\0"))
        self.cluster_size = 1 << header.cluster_bits
        self.tables: dict[str, list[Place]] = {}
        self.structures: set[int] = {0}
        self.compressed: list[tuple[int, int]] = []
        # Unwritten parts stay holes, so that a copy of a large image is made quickly.
        self._runs = [
            (offset, piece)
            for offset in range(0, len(self.data), _PIECE)
            if (piece := self.data[offset : offset + _PIECE]).strip(b"\0")
        ]
        self._take_apart()

    def _word(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 8], "big")

    def _note(self, kind: str, what: str, offset: int, size: int = 8) -> None:
        if 0 <= offset <= len(self.data) - size:
            self.tables.setdefault(kind, []).append(Place(what, offset, size))

    def _take_apart(self) -> None:
        header = self.header
        fields = {"u32": 4, "u64": 8}
        names = list(Header.__annotations__)
        for name in names:
            offset = Header.offset_of(name)
            following = names[names.index(name) + 1 : names.index(name) + 2]
            end = Header.offset_of(following[0]) if following else Header.SIZE
            assert end - offset in fields.values()
            self._note("header", f"header {name}", offset, end - offset)
        self._note("header", "compression type", 104, 1)
        start = header.header_length if header.version > 2 else 72
        for offset in range(start, min(start + 64, self.cluster_size - 4), 4):
            self._note("extensions", f"extension word at {offset}", offset, 4)
        for n in range(header.backing_file_size):
            self._note("backing name", f"backing name byte {n}", header.backing_file_offset + n, 1)
        self._take_refcounts_apart()
        self._take_mapping_apart("L1", header.l1_table_offset, header.l1_size)
        self._take_snapshots_apart()

    def _take_refcounts_apart(self) -> None:
        table, size = self.header.refcount_table_offset, self.cluster_size
        self.structures.add(table)
        for n in range(self.header.refcount_table_clusters * size // 8):
            block = self._word(table + 8 * n)
            if n < 8 or block:
                self._note("refcount table", f"refcount table entry {n}", table + 8 * n)
            if block:
                self.structures.add(block)
                for at in range(0, min(size, 256), 8):
                    self._note("refcounts", f"refcounts of block {n} at {at}", block + at)

    def _take_mapping_apart(self, what: str, l1_offset: int, l1_size: int) -> None:
        is_extended = self.header.version > 2 and self.header.incompatible_features & EXTENDED_L2
        layout = EntryLayout(self.header.cluster_bits, is_extended=bool(is_extended))
        self.structures.add(l1_offset)
        for n in range(l1_size):
            self._note(what, f"{what} entry {n}", l1_offset + 8 * n)
            table = self._word(l1_offset + 8 * n) & OFFSET_MASK
            if not table:
                continue
            self.structures.add(table)
            for at in range(0, self.cluster_size, 8 * layout.words):
                entry = self._word(table + at)
                if not entry and at > 64:
                    continue
                for word in range(layout.words):
                    words = f"{what} entry {n}, L2 entry {at // 8 // layout.words} word {word}"
                    self._note(f"L2 of {what}", words, table + at + 8 * word)
                if entry & COMPRESSED:
                    self.compressed.append(layout.compressed_range(entry))
                elif entry & OFFSET_MASK and len(self.structures) < 60:
                    self.structures.add(entry & OFFSET_MASK)

    def _take_snapshots_apart(self) -> None:
        offset = self.header.snapshots_offset
        for n in range(self.header.nb_snapshots):
            self.structures.add(offset // self.cluster_size * self.cluster_size)
            entry = SnapshotHeader.unpack(self.data, offset)
            position = offset
            for name in SnapshotHeader.__annotations__:
                position = offset + SnapshotHeader.offset_of(name)
                width = 8 if name in ("l1_table_offset", "vm_clock_nsec") else 4
                width = 2 if name in ("id_str_size", "name_size") else width
                self._note("snapshots", f"snapshot {n} {name}", position, width)
            position = offset + SnapshotHeader.SIZE
            for at in range(0, entry.extra_data_size - 7, 8):
                self._note("snapshots", f"snapshot {n} extra data at {at}", position + at)
            position += entry.extra_data_size
            for at in range(entry.id_str_size + entry.name_size):
                self._note("snapshots", f"snapshot {n} strings at {at}", position + at, 1)
            self._take_mapping_apart("snapshot's L1", entry.l1_table_offset, entry.l1_size)
            length = SnapshotHeader.SIZE + entry.extra_data_size
            offset += -(-(length + entry.id_str_size + entry.name_size) // 8) * 8

    def write(self, path: Path, patches: list[Patch], size: int) -> None:
        """Write a copy with the damage, cut or lengthened to `size` bytes."""
        with path.open("wb") as file:
            for offset, piece in self._runs:
                file.seek(offset)
                file.write(piece)
            for patch in patches:
                file.seek(patch.offset)
                file.write(patch.data)
            file.truncate(size)


class Damage:
    """What is wrong with one damaged copy.

    Args:
        specimen: the sound image.
        seed: decides what is damaged, and how.
    """

    def __init__(self, specimen: Specimen, seed: int) -> None:
        self._random = random.Random(seed)
        self._specimen = specimen
        self.size = len(specimen.data)
        self.patches = list(self._choose())

    def __str__(self) -> str:
        cut = [f"{self.size} bytes"] if self.size != len(self._specimen.data) else []
        return f"{self._specimen.name}: " + "; ".join([p.words for p in self.patches] + cut)

    def _choose(self) -> Iterator[Patch]:
        random, specimen = self._random, self._specimen
        for _ in range(random.choice([1, 1, 1, 2, 2, 4])):
            kind = random.choice(
                ["number"] * 8 + ["many"] * 2 + ["bytes"] * 2 + ["size", "backing"]
            )
            if kind == "number":
                yield self._number(random.choice(specimen.tables[self._kind()]))
            elif kind == "many":
                yield from self._many()
            elif kind == "bytes":
                yield self._bytes()
            elif kind == "backing":
                yield from self._backing()
            else:
                end = len(specimen.data)
                cut = random.choice([random.randrange(end), end // 512 * 512 // 2, end + 512])
                edge = random.randrange(0, end, specimen.cluster_size)
                self.size = random.choice([cut, edge])

    def _kind(self) -> str:
        return self._random.choice(list(self._specimen.tables))

    def _number(self, place: Place, value: int | None = None) -> Patch:
        offset, size = place.offset, place.size
        old = int.from_bytes(self._specimen.data[offset : offset + size], "big")
        if value is None:
            value = self._value(old, size)
        value %= 1 << 8 * size
        return Patch(f"{place.what} {old:#x} -> {value:#x}", offset, value.to_bytes(size, "big"))

    def _value(self, old: int, size: int) -> int:
        random, specimen = self._random, self._specimen
        bits = 8 * size
        choices = [
            0,
            1,
            (1 << bits) - 1,
            1 << random.randrange(bits),
            old ^ 1 << random.randrange(bits),
            old + 1,
            old - 1,
            old + 512,
            old + specimen.cluster_size,
            old << 1,
            random.randrange(1 << bits),
        ]
        if size >= 4:
            where = random.choice(sorted(specimen.structures))
            flags = random.choice([0, 1 << 63, 1 << 62, 1])
            choices += [where | flags, where, old & ~_ADDRESS_BITS | where]
            choices += [len(specimen.data) | flags, _ADDRESS_BITS & ~(specimen.cluster_size - 1)]
            choices += [1 << random.choice([30, 31, 40, 55, 56, 62])]
        return random.choice(choices)

    def _many(self) -> Iterator[Patch]:
        """A whole table set to one value, or with its entries changed places."""
        random = self._random
        kind = self._kind()
        places = self._specimen.tables[kind]
        if random.random() < 0.5:
            size = random.choice(places).size
            value = self._value(0, size)
            start = random.randrange(len(places))
            for place in places[start : start + random.choice([4, 64, 8192])]:
                if place.size == size:
                    yield self._number(place, value)
        else:
            for _ in range(min(len(places), 8)):
                one, other = random.choice(places), random.choice(places)
                data = self._specimen.data[other.offset : other.offset + other.size]
                yield self._number(one, int.from_bytes(data, "big"))

    def _bytes(self) -> Patch:
        """Nonsense over some bytes of a structure or of compressed data."""
        random, specimen = self._random, self._specimen
        if specimen.compressed and random.random() < 0.6:
            offset, length = random.choice(specimen.compressed)
            offset += random.choice([0, 0, random.randrange(length)])
        else:
            offset = random.choice(sorted(specimen.structures))
            offset += random.randrange(specimen.cluster_size)
        length = random.choice([1, 2, 8, 64, 512])
        filler = random.choice([random.randbytes(length), b"\xff" * length, bytes(length)])
        return Patch(f"{length} bytes at {offset:#x}", offset, filler)

    def _backing(self) -> Iterator[Patch]:
        """Another backing file: the image itself, nothing, something that is no file."""
        name = self._random.choice(BACKING_NAMES)
        offset = 512 - len(name) - 8
        yield Patch(f"backing file {name!r}", offset, name)
        for field, format in (("backing_file_offset", ">Q"), ("backing_file_size", ">I")):
            value = offset if format == ">Q" else len(name)
            yield Patch(field, Header.offset_of(field), struct.pack(format, value))
