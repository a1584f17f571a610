"""Which pages differ, held against a comparison byte by byte."""

import random
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev.errors import QemuError
from blockdev.qcow2.create import create_image
from machine import snapshot
from machine.assembly import build
from machine.machine import Machine
from machine.memory import PAGE_SIZE, Memory, RamBlock
from machine.migration.decode import decode
from machine.migration.decode_ram import Run
from machine.migration.decode_source import BytesSource, snapshot_source
from machine.migration.pages import PresentPages, SavedPages, differing_pages, page_bytes
from machine.migration.ram_records import PAGE, XBZRLE, ZERO

PAGES = 520  # two chunks of 1 MiB and a bit

writes = st.lists(
    st.tuples(st.integers(0, PAGES * PAGE_SIZE - 1), st.binary(min_size=1, max_size=9)), max_size=9
)


@settings(max_examples=40)
@given(writes, writes, st.integers(0, 3))
def test_they_are_those_of_a_comparison_byte_by_byte(
    before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], full_chunks: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.qcow2"
        create_image(str(path), 1 << 20)
        machine = Machine(ram_size=PAGES * PAGE_SIZE)
        machine.drives.add({"if": "none", "id": "d0", "file": str(path)})
        build(machine)
        machine.memory.write(0, random.Random(1).randbytes(min(full_chunks, 2) << 20))
        contents, states = [], []
        for tag, stories in (("a", before), ("b", after)):
            for offset, data in stories:
                machine.memory.write(offset, data[: PAGES * PAGE_SIZE - offset])
            for _ in snapshot.savevm(machine, tag):
                pass
            contents.append(machine.memory.read(0, PAGES * PAGE_SIZE))
            source, _ = snapshot_source(machine.drives.backends[0].medium(), tag)
            states.append(SavedPages(source))
            decode(source, states[-1])
        expected = [
            ("ram", page)
            for page in range(PAGES)
            if page_of(contents[0], page) != page_of(contents[1], page)
        ]
        present = PresentPages(machine.memory)
        assert list(differing_pages(states[0], states[1])) == expected
        assert list(differing_pages(states[0], present)) == expected
        assert list(differing_pages(present, states[1])) == []
        for _, page in expected[:3]:
            assert page_bytes(states[0], "ram", page) == page_of(contents[0], page)
            assert page_bytes(present, "ram", page) == page_of(contents[1], page)
        machine.close()


def page_of(content: bytes, page: int) -> bytes:
    return content[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]


@pytest.fixture
def saved() -> SavedPages:
    return SavedPages(BytesSource(bytes(8) + b"\7" * (1 << 20)))


def test_a_page_that_comes_twice_is_what_came_last(saved: SavedPages) -> None:
    saved.note(b"ram", Run(ZERO, 0, pages=8, size=1, payload=b"\0"))
    saved.note(b"ram", Run(PAGE, 2 * PAGE_SIZE, pages=3, position=8, size=PAGE_SIZE, payload=None))
    saved.note(b"ram", Run(ZERO, 3 * PAGE_SIZE, pages=1, size=1, payload=b"\5"))
    pieces = [(piece.first, piece.end, piece.fill) for piece in saved.pieces("ram")]
    assert pieces == [(0, 2, 0), (2, 3, -1), (3, 4, 5), (4, 5, -1), (5, 8, 0)]
    assert page_bytes(saved, "ram", 4) == b"\7" * PAGE_SIZE
    assert page_bytes(saved, "ram", 3) == b"\5" * PAGE_SIZE
    assert page_bytes(saved, "ram", 900) == bytes(PAGE_SIZE)


spans = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=12
)


@settings(max_examples=200)
@given(spans)
def test_later_runs_lie_over_earlier_ones(runs: list[tuple[int, int, int]]) -> None:
    saved = SavedPages(BytesSource(b""))
    model: dict[int, int] = {}
    for first, count, fill in runs:
        run = Run(ZERO, first * PAGE_SIZE, pages=count, size=1, payload=bytes([fill]))
        saved.note(b"ram", run)
        model.update(dict.fromkeys(range(first, first + count), fill))
    pieces = saved.pieces("ram")
    assert all(a.end <= b.first for a, b in pairwise(pieces))
    found = {page: piece.fill for piece in pieces for page in range(piece.first, piece.end)}
    assert found == model


def test_a_block_that_only_one_has_is_zero_in_the_other(saved: SavedPages) -> None:
    saved.note(b"vga", Run(PAGE, 0, pages=2, position=8, size=PAGE_SIZE, payload=None))
    memory = Memory()
    memory.map(0, RamBlock("ram", 2 * PAGE_SIZE))
    memory.write(PAGE_SIZE, b"x")
    assert list(differing_pages(saved, PresentPages(memory))) == [
        ("vga", 0),
        ("vga", 1),
        ("ram", 1),
    ]


def test_pages_that_only_say_what_changed_are_refused(saved: SavedPages) -> None:
    with pytest.raises(QemuError, match="packed"):
        saved.note(b"ram", Run(XBZRLE, 0, payload=b"\1\0\1x"))


def test_a_run_far_away_takes_no_room(saved: SavedPages) -> None:
    """The source may say any offset; what is kept is as long as the source."""
    saved.note(b"ram", Run(ZERO, 1 << 60, pages=1, size=1, payload=b"\1"))
    assert list(differing_pages(saved, SavedPages(BytesSource(b"")))) == [("ram", 1 << 48)]
