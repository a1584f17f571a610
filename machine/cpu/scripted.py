"""The scripted guest: it writes pages of RAM and blocks of a disk, and uses a PC's devices.

Page and block number n get n as their first eight bytes; they are written in a row, round and
round.  Where there is a PC around it, `machine.cpu.program` says what else it does.
"""

from __future__ import annotations

import struct

from blockdev.errors import QemuError
from machine.cpu.interface import Cpu
from machine.cpu.notes import Notes
from machine.cpu.writes import Writes
from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blockdev.backend import Backend
    from machine.cpu.budget import Budget
    from machine.cpu.program import Program
    from machine.memory import Memory

BLOCK_SIZE = 4096  # bytes
_WORD = struct.Struct("<Q")
_PAGES_AT_ONCE = 16  # between two looks at the clock
_PAUSE_NS = 10_000_000  # between two slices without end for writes alone
# Writes a second that stand for "as fast as it can" where nothing may depend on the host.
FLAT_OUT = 20_000
# The rates that a key chooses one after the other, writes a second; before the first, what the
# options say.
RATES: tuple[float | None, ...] = (None, 16, 256, 4096)


class ScriptedCpu(Cpu):
    """The scripted guest.

    Args:
        memory: the physical address space.
        base: of its part of RAM, bytes.
        size: of that, a multiple of `PAGE_SIZE`, two pages at least.
        pages_rate: pages a second; 0 for as fast as it can; None for no pages.
        disk: what it writes blocks to; None for nothing.
        disk_rate: bytes a second; 0 for as fast as it can; None for no blocks.
        disk_size: how much of the disk it writes, from its start, bytes; None for all of it.
        disk_failed: asked about a write that the disk refused: whether the guest is to hear of
            it.  Then it writes no more blocks until a reset; else it tries again later.
        program: what it does with the devices of a PC; None on a board without.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        base: int,
        size: int,
        pages_rate: float | None,
        disk: Backend | None = None,
        disk_rate: float | None = None,
        disk_size: int | None = None,
        disk_failed: Callable[[QemuError], bool],
        program: Program | None = None,
    ) -> None:
        self._memory = memory
        self._base = base
        self._page_count = size // PAGE_SIZE - 1  # beside the one for the notes
        self._disk = disk
        self._disk_size = disk_size
        self._disk_failed = disk_failed
        self._notes = Notes(memory, base)
        self._pages = Writes(_PAGES_AT_ONCE, self._write_page)
        self._blocks = Writes(1, self._write_block, self._disk_wait_ns)
        self._pages_rate = pages_rate
        self._blocks_rate = None if disk_rate is None else disk_rate / BLOCK_SIZE
        self._program = program
        if program is not None:
            program.write_log = self._write_log

    def reset(self) -> None:
        """Begin anew."""
        self._notes.clear()

    def run(self, now_ns: int, budget: Budget) -> int | None:
        notes, program = self._notes, self._program
        if not notes.read():
            notes.start_ns = now_ns
            if program is not None:
                program.start(notes)
        self._take_rates()
        flat_out = FLAT_OUT if budget.is_endless else None
        try:
            while budget.has_time():
                if program is not None and program.has_work(notes):
                    program.work(notes)
                    continue
                event_ns = program.next_event_ns if program is not None else None
                if event_ns is None or event_ns > now_ns:
                    # Each in turn, so that those without limit share the time.
                    went_on = [each.go_on(now_ns, flat_out) for each in self._writes]
                    if not any(went_on):
                        break
                elif not self._catch_up(event_ns, flat_out):
                    self._take_event(event_ns)
        except QemuError as error:
            notes.gave_up = int(self._disk_failed(error))
        notes.pages, notes.blocks = self._pages.done, self._blocks.done
        notes.write()
        times = [each.next_ns(now_ns, flat_out) for each in self._writes]
        if budget.is_endless:
            # What is due is due, however late it is done; so not each of them needs a slice.
            earliest_ns = now_ns + _PAUSE_NS
            times = [None if each is None else max(each, earliest_ns) for each in times]
        if program is not None:
            times.append(now_ns if program.has_work(notes) else program.wake_ns(budget))
        return min([each for each in times if each is not None], default=None)

    def _take_rates(self) -> None:
        """Bring the writes to what the notes say of them."""
        notes = self._notes
        self._pages.done, self._blocks.done = notes.pages, notes.blocks
        pages, blocks = self._pages, self._blocks
        pages.rate, pages.since_ns, pages.before = self._pages_rate, notes.start_ns, 0
        blocks.rate, blocks.since_ns, blocks.before = self._blocks_rate, notes.start_ns, 0
        if 0 < notes.pages_choice <= len(RATES):
            pages.rate = RATES[notes.pages_choice - 1]
            pages.since_ns, pages.before = notes.pages_since_ns, notes.pages_before
        if 0 < notes.blocks_choice <= len(RATES):
            blocks.rate = RATES[notes.blocks_choice - 1]
            blocks.since_ns, blocks.before = notes.blocks_since_ns, notes.blocks_before
        self._writes = [pages]
        if self._disk is not None and not notes.gave_up:
            self._writes.append(blocks)

    def _catch_up(self, event_ns: int, flat_out: float | None) -> bool:
        """Do some of the writes that were due before an event; whether there were any."""
        limited = [each for each in self._writes if each.rate or flat_out]
        went_on = [each.go_on(event_ns, flat_out) for each in limited]
        return any(went_on)

    def _take_event(self, event_ns: int) -> None:
        assert self._program is not None
        notes = self._notes
        notes.pages, notes.blocks = self._pages.done, self._blocks.done
        choices = notes.pages_choice, notes.blocks_choice
        self._program.take_event(notes, event_ns)
        if choices != (notes.pages_choice, notes.blocks_choice):
            self._take_rates()

    def interrupt(self, line: int, level: bool) -> None:
        """It asks the interrupt controllers itself."""

    def registers(self) -> Mapping[str, int]:
        if self._program is None or not self._notes.read():
            return {}
        return self._program.registers(self._notes)

    def invalidate(self, address: int, size: int) -> None:
        """It keeps nothing that it read."""

    def _write_page(self, number: int) -> None:
        page = 1 + number % self._page_count
        self._memory.write(self._base + page * PAGE_SIZE, _WORD.pack(number))

    def _disk_wait_ns(self) -> int:
        return self._disk.wait_ns(is_write=True) if self._disk is not None else 0

    def _write_block(self, number: int) -> None:
        # The first block is the program's, where there is one.
        first = int(self._program is not None)
        count = max(self._room() // BLOCK_SIZE - first, 1)
        self._put_block(first + number % count, _WORD.pack(number))

    def _write_log(self, text: bytes) -> None:
        """Write the first block, where there is a disk."""
        if self._disk is not None and not self._notes.gave_up:
            self._room()
            self._put_block(0, text)

    def _put_block(self, block: int, data: bytes) -> None:
        assert self._disk is not None
        self._disk.write(block * BLOCK_SIZE, [data, bytes(BLOCK_SIZE - len(data))])

    def _room(self) -> int:
        """Bytes of the disk that it may write."""
        assert self._disk is not None
        size = self._disk.medium().size
        if self._disk_size is not None:
            size = min(size, self._disk_size)
        if size < BLOCK_SIZE:
            raise QemuError("the disk is smaller than a block")
        return size
