"""Whole tables by the column say what their entries say one by one."""

import random
from array import array

import pytest

from blockdev.qcow2.columns import Columns
from blockdev.qcow2.entries import COMPRESSED, COPIED, OFFSET_MASK, EntryLayout
from blockdev.qcow2.words import big_endian, from_big_endian

LAYOUTS = [(bits, False) for bits in range(9, 22)] + [(bits, True) for bits in (14, 16, 19)]
MOST = (OFFSET_MASK + 512) >> 9  # clusters of 512 bytes that an entry has room for


def run_of(entries: list[int], bits: int) -> tuple[int, int]:
    """The run, as its definition has it."""
    while entries and not entries[-1]:
        entries.pop()
    if not entries or not entries[0] & OFFSET_MASK:
        return 0, 0
    first = entries[0]
    if first & (COMPRESSED | (1 << bits) - 1):
        return 0, 0
    if any(entry != first + (n << bits) for n, entry in enumerate(entries)):
        return 0, 0
    return (first & OFFSET_MASK) >> bits, len(entries)


def starts(chance: random.Random, bits: int) -> list[int]:
    """Clusters to begin at: anywhere, one behind the other, and around where bytes carry."""
    most = (MOST >> bits - 9) - (1 << bits)
    edge = min(most, 1 << chance.choice([8, 16, 24, 32]) + 8 - bits % 8)
    return [1, 2, chance.randrange(1, 1 << 20), edge - 3, edge, most]


@pytest.mark.parametrize(("bits", "is_extended"), LAYOUTS)
def test_a_run_is_seen_and_nothing_else(bits: int, *, is_extended: bool) -> None:
    chance = random.Random(bits)
    layout = EntryLayout(bits, is_extended=is_extended)
    columns = Columns(layout)
    words, entries = layout.words, 1 << layout.l2_bits
    for cluster in starts(chance, bits) * (2 if bits < 18 else 1):
        mark = chance.choice([0, COPIED])
        length = chance.choice([1, entries, chance.randrange(1, entries + 1)])
        table = array("Q", bytes(1 << bits))
        run = range(cluster << bits | mark, (cluster + length << bits) | mark, 1 << bits)
        table[: length * words : words] = array("Q", run)
        if is_extended:
            table[1 : length * words : words] = array("Q", [chance.getrandbits(64)]) * length
        raw = big_endian(table)
        assert columns.run(raw) == (cluster, length)
        assert columns.is_marked(raw) == bool(mark)
        unmarked = columns.unmarked(raw)
        assert columns.run(unmarked) == (cluster, length)
        assert not columns.is_marked(unmarked)
        assert columns.unmarked(unmarked) is unmarked
        assert columns.unmarked(columns.marked(raw, length)) == unmarked
        place = chance.randrange(length) * words
        for change in (1, 1 << chance.randrange(64), COPIED, COMPRESSED, 1 << bits, -1):
            other = table[:]
            other[place] = other[place] ^ change if change > 0 else 0
            expected = run_of(other[::words].tolist(), bits)
            assert columns.run(big_endian(other)) == expected, (place, change)


@pytest.mark.parametrize(("bits", "is_extended"), [(9, False), (12, False), (14, True)])
def test_references_are_those_of_the_entries(bits: int, *, is_extended: bool) -> None:
    chance = random.Random(bits)
    layout = EntryLayout(bits, is_extended=is_extended)
    columns = Columns(layout)
    for kinds in ([0, 1], [0, 1, 2], [1, 3], [0, 1, 2, 3]):
        table = array("Q", bytes(1 << bits))
        wanted: list[int] = []
        for n in range(0, len(table), layout.words):
            kind, cluster = chance.choice(kinds), chance.randrange(1, 1 << 20)
            table[n] = [0, cluster << bits | COPIED, 0, cluster << bits | 512][kind]
            if kind == 1:
                wanted.append(cluster)
            if kind == 2:
                table[n] = COMPRESSED | cluster << bits
                wanted.append(cluster)
            if kind == 3 and bits == 9:  # no cluster is unaligned there
                wanted.append((cluster << bits | 512) >> bits)
        found: list[int] = []
        for reference in columns.references(big_endian(table)):
            if isinstance(reference, list):
                found += reference
            else:
                found += range(reference[0], reference[0] + reference[1])
        assert sorted(found) == sorted(wanted)


def test_marks_go_from_every_entry() -> None:
    columns = Columns(EntryLayout(9, is_extended=False))
    table = array("Q", [COPIED | n << 9 if n % 3 else n << 9 for n in (5, 9, 4, 2) * 16])
    unmarked = from_big_endian("Q", columns.unmarked(big_endian(table)))
    assert unmarked.tolist() == [entry & ~COPIED for entry in table]
