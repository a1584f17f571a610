import ctypes
import mmap
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE, Memory, MemoryFault, RamBlock

KIB = 1 << 10
MIB = 1 << 20


def resident(block):
    """Bytes of the block that have memory behind them, as the kernel counts."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(block.mapping))
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(address // PAGE_SIZE * 8)
        entries = array("Q", pagemap.read(block.size // PAGE_SIZE * 8))
    return PAGE_SIZE * sum(entry >> 63 for entry in entries)


def test_a_block_is_zero_and_untouched_at_first():
    block = RamBlock("ram", 3 * MIB)
    assert block.read(0, 3 * MIB) == bytes(3 * MIB)
    assert [block.is_touched(chunk) for chunk in range(block.chunks)] == [False] * 3


def test_a_write_touches_the_chunks_it_lies_in():
    block = RamBlock("ram", 4 * MIB)
    block.write(2 * MIB - 1, b"ab")
    assert block.read(2 * MIB - 2, 4) == b"\0ab\0"
    assert [block.is_touched(chunk) for chunk in range(block.chunks)] == [False, True, True, False]


def test_a_write_outside_the_block_is_our_own_mistake():
    block = RamBlock("ram", PAGE_SIZE)
    for offset in (-1, PAGE_SIZE - 1):
        with pytest.raises(AssertionError):
            block.write(offset, b"ab")
    with pytest.raises(AssertionError):
        block.read(PAGE_SIZE - 1, 2)


def test_an_empty_write_touches_nothing():
    block = RamBlock("ram", 2 * MIB)
    block.write(MIB, b"")
    assert not block.is_touched(0)
    assert not block.is_touched(1)


def test_clearing_a_whole_chunk_gives_its_memory_back():
    block = RamBlock("ram", 9 * MIB)
    block.write(0, b"x" * 8 * MIB)
    assert resident(block) == 8 * MIB
    for chunk in range(8):
        block.clear(chunk * MIB, MIB)
    assert resident(block) == 0
    assert not any(block.is_touched(chunk) for chunk in range(8))
    assert block.read(0, 8 * MIB) == bytes(8 * MIB)


def test_clearing_a_page_leaves_its_neighbours():
    block = RamBlock("ram", MIB)
    block.write(0, b"x" * 3 * PAGE_SIZE)
    block.clear(PAGE_SIZE, PAGE_SIZE)
    assert block.read(0, 3 * PAGE_SIZE) == b"x" * 4096 + bytes(4096) + b"x" * 4096
    assert block.is_touched(0)


def test_clearing_what_was_never_touched_takes_no_memory():
    block = RamBlock("ram", 40 * MIB)
    for chunk in range(40):
        block.clear(chunk * MIB + PAGE_SIZE, PAGE_SIZE)
    assert resident(block) == 0


def test_the_last_chunk_may_be_a_short_one():
    block = RamBlock("bios", 256 * KIB)
    assert block.chunks == 1
    assert block.chunk_size(0) == 256 * KIB
    block.write(256 * KIB - 1, b"x")
    block.clear(0, 256 * KIB)
    assert block.read(0, 256 * KIB) == bytes(256 * KIB)


def test_memory_that_the_host_has_not_is_refused_in_qemus_words():
    with pytest.raises(QemuError) as refused:
        RamBlock("ram", 1 << 60)
    assert str(refused.value) == "cannot set up guest memory 'ram': Cannot allocate memory"


# --- the address space


def pc():
    """A PC's memory: RAM below and above the hole, the firmware at two places."""
    memory = Memory()
    ram = RamBlock("pc.ram", 4 * MIB)
    bios = RamBlock("pc.bios", 256 * KIB)
    bios.write(0, bytes(range(256)) * KIB)
    memory.map(0, ram, 0, 3 * MIB)
    memory.map(1 << 32, ram, 3 * MIB)
    memory.map(0xFFFC0000, bios, readonly=True)
    memory.map(0xE0000, bios, 128 * KIB, 128 * KIB, readonly=True)
    return memory, ram, bios


def test_what_is_mapped_later_hides_what_was_there():
    memory, ram, bios = pc()
    assert memory.read(0xE0000, 4) == bytes(range(4))
    ram.write(0xE0000, b"ram!")
    assert memory.read(0xE0000, 4) == bytes(range(4))
    assert [(r.base, r.size, r.block) for r in memory.regions] == [
        (0, 0xE0000, ram),
        (0xE0000, 128 * KIB, bios),
        (MIB, 2 * MIB, ram),
        (0xFFFC0000, 256 * KIB, bios),
        (1 << 32, MIB, ram),
    ]


def test_reads_and_writes_go_across_regions():
    memory, ram, _ = pc()
    memory.write(0xE0000 - 2, b"abcd")
    assert ram.read(0xE0000 - 2, 4) == b"ab\0\0"
    assert memory.read(0xE0000 - 2, 4) == b"ab\0\1"
    memory.write(1 << 32, b"high")
    assert ram.read(3 * MIB, 4) == b"high"
    assert b"".join(memory.views(0xFFFFFFFE, 4)) == b"\xfe\xffhi"


@pytest.mark.parametrize("address", [3 * MIB, 3 * MIB - 1, 0xFFFBFFFF, (1 << 32) + MIB, 1 << 63])
def test_a_fault_tells_the_first_address_that_is_not_mapped(address):
    memory, ram, _ = pc()
    with pytest.raises(MemoryFault) as fault:
        memory.read(address, 2)
    assert fault.value.address == max(address, 3 * MIB)
    with pytest.raises(MemoryFault):
        memory.write(address, b"xy")
    assert ram.read(3 * MIB - 1, 1) == b"\0"


def test_nothing_at_all_may_be_read_anywhere():
    assert Memory().read(5, 0) == b""


def test_without_regions_every_address_faults():
    with pytest.raises(MemoryFault, match="Cannot access memory"):
        Memory().read(0, 1)


def test_blocks_migrate_largest_first_and_equal_ones_as_they_came():
    memory = Memory()
    for index, (name, size) in enumerate([("a", 1), ("b", 2), ("c", 1), ("d", 4), ("e", 2)]):
        memory.map(index << 32, RamBlock(name, size * MIB))
    assert [block.name for block in memory.migration_blocks()] == ["d", "b", "e", "a", "c"]
    assert memory.ram_size == 10 * MIB
    assert memory.block_named("c") is memory.blocks[2]
    assert memory.block_named("x") is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),  # base
            st.integers(0, 15),  # offset
            st.integers(1, 16),  # size
            st.integers(0, 1),  # block
        ),
        max_size=12,
    )
)
def test_the_address_space_is_what_the_last_mapping_of_each_page_says(mappings):
    memory = Memory()
    blocks = [RamBlock("a", 16 * PAGE_SIZE), RamBlock("b", 16 * PAGE_SIZE)]
    for number, block in enumerate(blocks):
        for page in range(16):
            block.write(page * PAGE_SIZE, bytes([1 + 16 * number + page]) * PAGE_SIZE)
    expected = {}
    for base, offset, size, number in mappings:
        size = min(size, 16 - offset)
        memory.map(base * PAGE_SIZE, blocks[number], offset * PAGE_SIZE, size * PAGE_SIZE)
        for page in range(size):
            expected[base + page] = 1 + 16 * number + offset + page
    for page in range(60):
        if page in expected:
            assert memory.read(page * PAGE_SIZE + 5, 1) == bytes([expected[page]])
        else:
            assert memory.find(page * PAGE_SIZE) is None


def test_the_pages_are_the_hosts():
    assert mmap.PAGESIZE == PAGE_SIZE
