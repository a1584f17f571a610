import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.memory import PAGE_SIZE, RamBlock
from machine.migration import ram as ram_module
from machine.migration.qemufile import QEMUFileReader, StreamError
from machine.migration.ram import (
    RamState,
)
from machine.migration.ram_records import (
    CONTINUE,
    EOS,
    MEM_SIZE,
    PAGE,
    XBZRLE,
    ZERO,
    zero_records,
)
from tests.machine.machines import DIALECTS, MIB, Bytes, Collecting, Dripping, SavedMachine
from tests.machine.test_xbzrle import encode


def be64(number):
    return number.to_bytes(8, "big")


def body(*records):
    """What follows a section's header, with its end."""
    return b"".join(records) + be64(EOS)


def load(machine, data, version=4, channel=Bytes):
    """Let the ram section alone take some bodies."""
    entry = machine.registry.find("ram", 0)
    file = QEMUFileReader(channel(data))
    list(entry.live.load(file, version, machine.reports.append))
    return file


def fill(machine, chunks):
    """Write random chunks; what the memory is then."""
    for chunk in chunks:
        machine.ram.write(chunk * MIB, os.urandom(min(MIB, machine.ram.size - chunk * MIB)))
    return machine.content()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [PAGE_SIZE, 3 * PAGE_SIZE, MIB, 5 * MIB + 2 * PAGE_SIZE])
def test_memory_of_any_size_survives_the_way_out_and_in(dialect, size):
    source = SavedMachine(size, DIALECTS[dialect])
    content = fill(source, range(0, source.ram.chunks, 2))
    target = SavedMachine(size, DIALECTS[dialect])
    target.load(source.save())
    assert target.content() == content
    assert target.reports == []


def test_loading_over_other_content_leaves_nothing_of_it():
    source, target = SavedMachine(4 * MIB), SavedMachine(4 * MIB)
    source.ram.write(2 * MIB + 5 * PAGE_SIZE, b"x")
    fill(target, range(4))
    target.load(source.save())
    assert target.content() == source.content()
    assert [target.ram.is_touched(chunk) for chunk in (1, 2, 3)] == [False, True, False]


def test_zero_memory_is_neither_touched_by_saving_nor_by_loading():
    source, target = SavedMachine(64 * MIB), SavedMachine(64 * MIB)
    target.load(source.save())
    assert not any(source.ram.is_touched(chunk) for chunk in range(64))
    assert not any(target.ram.is_touched(chunk) for chunk in range(64))


def test_memory_that_became_zero_again_is_given_back_when_saved():
    machine = SavedMachine(2 * MIB)
    machine.ram.write(0, b"x" * MIB)
    machine.ram.write(0, bytes(MIB))
    assert machine.ram.is_touched(0)
    assert machine.save() == SavedMachine(2 * MIB).save()
    assert not machine.ram.is_touched(0)


def test_a_page_is_zero_only_if_all_of_it_is():
    source, target = SavedMachine(MIB), SavedMachine(MIB)
    for page in range(0, 256, 3):
        source.ram.write(page * PAGE_SIZE + 4095 - page, b"x")
    stream = source.save()
    target.load(stream)
    assert target.content() == source.content()
    assert len(stream) == len(SavedMachine(MIB).save()) + 86 * (PAGE_SIZE - 1)


@settings(max_examples=60)
@given(
    writes=st.lists(
        st.tuples(
            st.integers(0, 3 * MIB - 1), st.binary(min_size=1, max_size=20), st.integers(0, 3000)
        ),
        max_size=12,
    ),
    stale=st.lists(st.integers(0, 3 * MIB - 10000), max_size=6),
    size=st.integers(1, 200_000),
    dialect=st.sampled_from(sorted(DIALECTS)),
)
def test_any_memory_survives_in_pieces_of_any_size(writes, stale, size, dialect):
    switches = DIALECTS[dialect]
    source, target = SavedMachine(3 * MIB, switches), SavedMachine(3 * MIB, switches)
    for offset, pattern, repeats in writes:
        data = (pattern * (repeats + 1))[: 3 * MIB - offset]
        source.ram.write(offset, data)
    for offset in stale:
        target.ram.write(offset, b"stale" * 2000)
    steps = target.load(Dripping(source.save(), max(size, 500)))
    assert target.content() == source.content()
    assert None in steps


def test_several_blocks_go_largest_first_and_each_name_is_said_once():
    def machine():
        made = SavedMachine(2 * MIB)
        made.memory.map(1 << 32, RamBlock("pc.bios", 64 << 10))
        made.memory.map(2 << 32, RamBlock("vga.vram", 3 * MIB))
        return made

    source, target = machine(), machine()
    for block in source.memory.blocks:
        block.write(block.size - PAGE_SIZE, block.name.encode() * 100)
    stream = source.save()
    names = [b"\x08vga.vram", b"\x03ram", b"\x07pc.bios"]
    positions = [stream.rindex(name) for name in names]
    assert positions == sorted(positions)
    assert [stream.count(name) for name in names] == [2, 3, 2]  # "ram" is the section's name too
    target.load(stream)
    for ours, theirs in zip(target.memory.blocks, source.memory.blocks, strict=True):
        assert ours.read(0, ours.size) == theirs.read(0, theirs.size)


# --- while the guest runs


def test_pages_written_while_saving_are_sent_again():
    source, target = SavedMachine(3 * MIB), SavedMachine(3 * MIB)
    fill(source, range(3))
    channel = Collecting()
    file, saver = source.saver(channel)
    saver.begin()
    assert saver.progress() == (0, 3 * MIB)
    assert saver.iterate()
    assert saver.progress() == (3 * MIB, 3 * MIB)
    source.ram.write(MIB + 5, b"once more")
    assert saver.pending() == 0  # nobody has looked yet
    saver.sync()
    assert saver.pending() == PAGE_SIZE
    assert saver.iterate()
    source.ram.write(2 * MIB, b"at the last moment")
    source.global_state.runstate = b"running".ljust(100, b"\0")
    assert list(saver.complete()) == [(3 * MIB, 3 * MIB)]
    saver.cleanup()
    assert source.ram.dirty_bitmaps == []
    assert file.error == 0
    target.load(channel.data)
    assert target.content() == source.content()
    statistics = source.registry.find("ram", 0).live.statistics
    assert (statistics.normal, statistics.duplicate) == (3 * 256 + 2, 0)
    assert statistics.dirty_sync_count == 3
    assert len(channel.data) < 3 * MIB + 40000


def test_parts_are_of_bounded_size(monkeypatch):
    monkeypatch.setattr(ram_module, "PART_SIZE", 2 * MIB)
    source, target = SavedMachine(7 * MIB), SavedMachine(7 * MIB)
    fill(source, range(7))
    channel = Collecting()
    file, saver = source.saver(channel)
    saver.begin()
    sizes = []
    is_clean = False
    while not is_clean:
        before = file.transferred
        is_clean = saver.iterate()
        sizes.append(file.transferred - before)
        source.ram.write(len(sizes), b"x")  # always the page that went first
    assert max(sizes) < 2 * MIB + 256 * 4104
    assert len(sizes) == 4
    source.global_state.runstate = b"running".ljust(100, b"\0")
    list(saver.complete())
    target.load(channel.data)
    assert target.content() == source.content()


def test_memory_that_is_only_looked_at_ends_a_part_too(monkeypatch):
    monkeypatch.setattr(ram_module, "PART_SIZE", 2 * MIB)
    source = SavedMachine(6 * MIB)
    source.ram.write(0, bytes(6 * MIB))
    _, saver = source.saver(Collecting())
    saver.begin()
    assert [saver.iterate() for _ in range(3)] == [False, False, True]


def test_saving_and_loading_take_little_memory_besides():
    source, target = SavedMachine(24 * MIB), SavedMachine(24 * MIB)
    fill(source, range(24))
    descriptor = os.memfd_create("stream")

    class File:
        def writev(self, buffers):
            return os.writev(descriptor, buffers)

        def readinto(self, view):
            return os.readv(descriptor, [view])

        def close(self):
            pass

    tracemalloc.start()
    try:
        source.save(File())
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 6 * MIB
        tracemalloc.reset_peak()
        os.lseek(descriptor, 0, os.SEEK_SET)
        target.load(File())
        _, peak = tracemalloc.get_traced_memory()
        assert peak < 6 * MIB
    finally:
        tracemalloc.stop()
        os.close(descriptor)
    assert target.content() == source.content()


# --- what a stream may say


PAGES = [bytes([65 + number]) * PAGE_SIZE for number in range(4)]


def test_continue_means_the_block_of_the_section_before():
    machine = SavedMachine(MIB)
    state = machine.registry.find("ram", 0).live
    for data in (
        body(be64(0x1000 | PAGE), b"\x03ram", PAGES[0]),
        body(be64(0x3000 | PAGE | CONTINUE), PAGES[1]),
    ):
        list(state.load(QEMUFileReader(Bytes(data)), 4, machine.reports.append))
    assert machine.content()[: 4 * PAGE_SIZE] == bytes(4096) + PAGES[0] + bytes(4096) + PAGES[1]


def test_the_later_record_of_a_page_wins_even_a_zero_one():
    machine = SavedMachine(MIB)
    named = [be64(0x1000 | PAGE), b"\x03ram", PAGES[0], be64(PAGE | CONTINUE), PAGES[1]]
    zero = [be64(0x1000 | ZERO | CONTINUE), b"\0"]
    load(machine, body(*named, *zero, be64(PAGE | CONTINUE), PAGES[2]))
    assert machine.content()[: 2 * PAGE_SIZE] == PAGES[2] + bytes(PAGE_SIZE)


def test_a_page_may_be_filled_with_any_byte():
    machine = SavedMachine(MIB)
    named = [be64(ZERO), b"\x03ram", b"\x07", be64(0x1000 | ZERO | CONTINUE), b"\xff"]
    load(machine, body(*named))
    assert machine.content()[: 3 * PAGE_SIZE] == b"\x07" * 4096 + b"\xff" * 4096 + bytes(4096)


def test_pages_that_are_left_out_stay_as_they_were():
    machine = SavedMachine(MIB)
    machine.ram.write(0, PAGES[0] + PAGES[1])
    load(machine, body(be64(0x1000 | PAGE), b"\x03ram", PAGES[2]))
    assert machine.content()[: 2 * PAGE_SIZE] == PAGES[0] + PAGES[2]


def test_a_zero_run_that_stops_short_of_its_chunk_clears_no_more():
    machine = SavedMachine(2 * MIB)
    machine.ram.write(0, b"x" * 2 * MIB)
    records = zero_records(0, 255)
    load(machine, body(be64(ZERO), b"\x03ram\0", records[9:]))
    assert machine.content() == bytes(255 * 4096) + b"x" * (2 * MIB - 255 * 4096)


def test_a_zero_run_with_a_hole_leaves_the_hole():
    machine = SavedMachine(MIB)
    machine.ram.write(0, b"x" * MIB)
    records = zero_records(0, 256)
    hole = records[: 100 * 9] + records[101 * 9 :]
    named = be64(0x64000 | ZERO) + b"\x03ram\x07"
    load(machine, body(named, hole))
    assert machine.content() == bytes(100 * 4096) + b"\x07" * 4096 + bytes(155 * 4096)


def test_changed_pages_come_as_runs():
    machine = SavedMachine(MIB)
    old = os.urandom(PAGE_SIZE)
    new = old[:50] + bytes(byte ^ 1 for byte in old[50:60]) + old[60:]
    machine.ram.write(0x2000, old)
    runs = encode(old, new)
    change = b"\x01" + len(runs).to_bytes(2, "big") + runs
    load(machine, body(be64(0x2000 | XBZRLE), b"\x03ram", change))
    assert machine.content()[0x2000:0x3000] == new


@pytest.mark.parametrize("version", [0, 3, 5])
def test_only_version_4_is_known(version):
    with pytest.raises(StreamError, match="Invalid argument"):
        load(SavedMachine(MIB), body(), version)


def test_the_list_of_blocks_may_have_any_order_and_lack_some():
    machine = SavedMachine(2 * MIB)
    machine.memory.map(1 << 32, RamBlock("b", MIB))
    sizes = {b"\x03ram": 2 * MIB, b"\x01b": MIB}
    for names in ([b"\x01b", b"\x03ram"], [b"\x01b"], []):
        total = sum(sizes[name] for name in names)
        blocks = [name + be64(sizes[name]) for name in names]
        load(machine, body(be64(total | MEM_SIZE), *blocks))
    assert machine.reports == []


def test_a_stream_of_named_pages_needs_no_continue():
    machine = SavedMachine(MIB)
    content = os.urandom(MIB)
    records = [
        be64(offset | PAGE) + b"\x03ram" + content[offset : offset + PAGE_SIZE]
        for offset in range(0, MIB, PAGE_SIZE)
    ]
    load(machine, body(*reversed(records)), channel=lambda data: Dripping(data, 5000))
    assert machine.content() == content


def test_every_chunks_zero_records_are_those_of_its_pages():
    for offset, pages in ((0, 256), (15 * MIB, 256), (16 * MIB, 3), ((1 << 40) + MIB, 256)):
        expected = b"".join(
            be64(offset + page * PAGE_SIZE | ZERO | CONTINUE) + b"\0" for page in range(pages)
        )
        assert zero_records(offset, pages) == expected


def test_a_machine_without_memory_has_nothing_to_send():
    machine = SavedMachine(0)
    state = RamState(machine.memory)
    assert state.progress() == (0, 0)
