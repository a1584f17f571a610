"""The scripted guest: it writes pages of RAM and blocks of a disk, at a rate.

All that it knows about itself is in guest memory, where the first page of its part of RAM has

======  =====  ========================================================
offset  bytes  little endian
======  =====  ========================================================
0       8      `MAGIC`: the words after it mean something
8       8      guest time at which it began, nanoseconds
16      8      pages written since
24      8      disk blocks written since
======  =====  ========================================================

so a saved machine has no section for it: any QEMU loads the state, and the guest goes on in
whatever program runs it next.  Page and block number n get n as their first eight bytes; they
are written in a row, round and round.
"""

from __future__ import annotations

import struct

from blockdev.errors import QemuError
from machine.cpu.interface import Cpu
from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.backend import Backend
    from machine.memory import Memory

MAGIC = b"hmpguest"
BLOCK_SIZE = 4096  # bytes
_NOTES = struct.Struct("<8sqQQ")
_WORD = struct.Struct("<Q")
_SECOND_NS = 1_000_000_000
_PAGES_AT_ONCE = 16  # between two looks at the clock


class Writes:
    """Writes that come at a rate.

    Args:
        rate: writes a second; 0 for as many as there is time for.
        at_once: how many are done before somebody else is due.
        write: does the n-th, counted from 0.
        wait_ns: how long the next one is held up by somebody else.

    Attributes:
        done: how many were.
    """

    __slots__ = ("_at_once", "_rate", "_wait_ns", "_write", "done")

    def __init__(
        self,
        rate: float,
        at_once: int,
        write: Callable[[int], object],
        wait_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._wait_ns = wait_ns
        self._rate = rate
        self._at_once = at_once
        self._write = write
        self.done = 0

    def go_on(self, elapsed_ns: int) -> bool:
        """Do some of those that are due; whether there were any.

        Args:
            elapsed_ns: guest time since the guest began.
        """
        due = self.done + self._at_once
        if self._rate:
            due = min(due, int(elapsed_ns * self._rate / _SECOND_NS))
        is_due = self.done < due and not self._wait_ns()
        while is_due and self.done < due:
            self._write(self.done)
            self.done += 1
        return is_due

    def next_ns(self, elapsed_ns: int) -> int:
        """When the next one is due, in guest time since the guest began."""
        due = int((self.done + 1) * _SECOND_NS / self._rate) + 1 if self._rate else 0
        held_ns = self._wait_ns()
        return max(due, elapsed_ns + held_ns) if held_ns else due


class ScriptedCpu(Cpu):
    """The scripted guest.

    Args:
        memory: the physical address space.
        base: of its part of RAM, bytes.
        size: of that, a multiple of `PAGE_SIZE`, two pages at least.
        pages_rate: pages a second; 0 for as fast as it can; None for no pages.
        disk: what it writes blocks to; None for nothing.
        disk_rate: bytes a second; 0 for as fast as it can.
        disk_size: how much of the disk it writes, from its start, bytes; None for all of it.
        disk_failed: asked about a write that the disk refused: whether the guest is to hear of
            it.  Then it writes no more blocks until a reset; else it tries again later.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        base: int,
        size: int,
        pages_rate: float | None,
        disk: Backend | None = None,
        disk_rate: float = 0,
        disk_size: int | None = None,
        disk_failed: Callable[[QemuError], bool],
    ) -> None:
        self._memory = memory
        self._base = base
        self._page_count = size // PAGE_SIZE - 1  # beside the one for the notes
        self._disk = disk
        self._disk_size = disk_size
        self._disk_failed = disk_failed
        self._gave_up_disk = False
        self._pages = Writes(pages_rate or 0, _PAGES_AT_ONCE, self._write_page)
        self._writes_pages = pages_rate is not None
        self._blocks = Writes(disk_rate / BLOCK_SIZE, 1, self._write_block, self._disk_wait_ns)

    def reset(self) -> None:
        """Begin anew."""
        self._gave_up_disk = False
        self._memory.write(self._base, bytes(_NOTES.size))

    def run(self, now_ns: int, has_time: Callable[[], bool]) -> int | None:
        before = _NOTES.unpack(self._memory.read(self._base, _NOTES.size))
        magic, start_ns, self._pages.done, self._blocks.done = before
        if magic != MAGIC:
            start_ns, self._pages.done, self._blocks.done = now_ns, 0, 0
        writes = [self._pages] if self._writes_pages else []
        if self._disk is not None and not self._gave_up_disk:
            writes.append(self._blocks)
        try:
            while has_time():
                # Each in turn, so that those without limit share the time.
                went_on = [each.go_on(now_ns - start_ns) for each in writes]
                if not any(went_on):
                    break
        except QemuError as error:
            self._gave_up_disk = self._disk_failed(error)
        notes = (MAGIC, start_ns, self._pages.done, self._blocks.done)
        if notes != before:
            self._memory.write(self._base, _NOTES.pack(*notes))
        elapsed_ns = now_ns - start_ns
        return start_ns + min(each.next_ns(elapsed_ns) for each in writes) if writes else None

    def interrupt(self, line: int, level: bool) -> None:
        """It listens to none."""

    def register(self, name: str) -> int | None:
        return None

    def disassemble(self, address: int, count: int) -> Sequence[str]:
        return ()

    def invalidate(self, address: int, size: int) -> None:
        """It keeps nothing that it read."""

    def _write_page(self, number: int) -> None:
        page = 1 + number % self._page_count
        self._memory.write(self._base + page * PAGE_SIZE, _WORD.pack(number))

    def _disk_wait_ns(self) -> int:
        return self._disk.wait_ns(is_write=True) if self._disk is not None else 0

    def _write_block(self, number: int) -> None:
        assert self._disk is not None
        size = self._disk.medium().size
        if self._disk_size is not None:
            size = min(size, self._disk_size)
        if size < BLOCK_SIZE:
            raise QemuError("the disk is smaller than a block")
        block = number % (size // BLOCK_SIZE)
        self._disk.write(block * BLOCK_SIZE, [_WORD.pack(number), bytes(BLOCK_SIZE - _WORD.size)])
