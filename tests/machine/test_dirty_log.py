"""The log of the pages that a guest writes."""

from machine.memory import PAGE_SIZE, RamBlock
from machine.migration.dirty_log import DirtyLog

MIB = 1 << 20


def test_it_has_the_pages_written_since_it_was_taken():
    block = RamBlock("ram", 3 * MIB)
    block.write(0, b"before anybody kept a log")
    log = DirtyLog(block)
    dirty = bytearray(block.pages)
    assert log.move_into(dirty) == 0
    block.write(2 * MIB - 1, b"xy")
    block.write(7 * PAGE_SIZE, bytes(3 * PAGE_SIZE))
    assert log.move_into(dirty) == 5
    assert [page for page in range(block.pages) if dirty[page]] == [7, 8, 9, 511, 512]
    block.write(8 * PAGE_SIZE, b"again")
    dirty[8] = 0
    assert log.move_into(dirty) == 1
    assert dirty.count(1) == 5
    block.tell_written(0, block.size)
    assert log.move_into(dirty) == block.pages
    log.stop()
    block.write(0, b"x")
    assert log.move_into(dirty) == 0


def test_several_keep_their_own():
    block = RamBlock("ram", MIB)
    first, second = DirtyLog(block), DirtyLog(block)
    block.write(0, b"x")
    assert first.move_into(bytearray(block.pages)) == 1
    first.stop()
    block.write(PAGE_SIZE, b"x")
    assert (first.count, second.count) == (0, 2)
