import time

import pytest

from blockdev.errors import QemuError
from machine.dirty_rate import BITMAP, MEASURED, MEASURING, RING, SAMPLING, DirtyRate
from machine.loop import MainLoop
from machine.memory import PAGE_SIZE, Memory, RamBlock

MIB = 1 << 20


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.map(0, RamBlock("large", 128 * MIB))
    memory.map(256 * MIB, RamBlock("small", 16 * MIB))
    return memory


@pytest.mark.parametrize(("mode", "counted"), [(BITMAP, 20), (SAMPLING, 12)])
def test_each_page_written_while_it_measures_is_counted_once(
    mode: str, counted: int, memory: Memory
) -> None:
    loop = MainLoop()
    rate = DirtyRate(memory, loop)
    memory.write(0, bytes(MIB))  # before: not counted
    rate.start(mode, 1)
    assert rate.status == MEASURING
    begin = time.monotonic()
    for _ in range(2):
        memory.write(64 * MIB, bytes(12 * MIB))
        memory.write(256 * MIB, b"".join(bytes(PAGE_SIZE) for _ in range(8 * 256)))
    loop.run_until(lambda: rate.status == MEASURED)
    memory.write(0, bytes(MIB))  # after
    seconds = time.monotonic() - begin
    assert counted / seconds - 2 <= rate.rate <= counted, "QEMU takes no samples of small blocks"
    assert all(not block.dirty_bitmaps for block in memory.blocks)


def test_a_machine_without_memory_has_no_rate() -> None:
    loop = MainLoop()
    rate = DirtyRate(Memory(), loop)
    rate.start(SAMPLING, 1)
    loop.run_until(lambda: rate.status == MEASURED)
    assert rate.rate == -1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((SAMPLING, 0), "calc-time is out of range[1, 60]."),
        ((SAMPLING, 61), "calc-time is out of range[1, 60]."),
        ((SAMPLING, 1, 127), "sample-pages is out of range[128, 16384]."),
        ((BITMAP, 1, 16385), "sample-pages is out of range[128, 16384]."),
        ((RING, 1), "mode dirty-ring is not enabled, use other method instead."),
    ],
)
def test_what_cannot_be_measured_changes_nothing(
    arguments: tuple[str, int, int], sentence: str, memory: Memory
) -> None:
    rate = DirtyRate(memory, MainLoop())
    with pytest.raises(QemuError, match=r"^" + sentence.replace("[", r"\[").replace(".", r"\.")):
        rate.start(*arguments)
    assert rate.status == "unstarted"


def test_one_measurement_at_a_time(memory: Memory) -> None:
    rate = DirtyRate(memory, MainLoop())
    rate.start(SAMPLING, 1)
    with pytest.raises(QemuError, match="already being measured"):
        rate.start(SAMPLING, 1)
