"""An x86 processor as a reset leaves it: registers to look at, and its view of memory.

It executes nothing; paging is off, so that its addresses are physical ones.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import Memory

_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
_GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_ALIASES = {"sp": "esp", "fp": "ebp"}


class X86Cpu:
    """One processor.

    Args:
        index: its number.
        memory: the physical address space.
    """

    def __init__(self, index: int, memory: Memory) -> None:
        self.index = index
        self.thread_id = _thread.get_native_id()
        self.halted = index != 0  # only the first one runs before it wakes the others
        self._memory = memory
        self._registers: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """The state after power-on.  Source: Intel SDM volume 3, table 9-1; qemu64's EDX."""
        registers = dict.fromkeys(_GENERAL, 0)
        registers.update((f"r{n}", 0) for n in range(8, 16))
        registers.update(edx=0x60FB1, eip=0xFFF0, eflags=2)
        for segment in _SEGMENTS:
            registers[segment] = registers[f"{segment}.base"] = 0
            registers[f"{segment}.limit"] = 0xFFFF
        registers.update({"cs": 0xF000, "cs.base": 0xFFFF0000})
        self._registers = registers

    def register(self, name: str) -> int | None:
        """A register by the name that ``print $name`` takes; None when there is none."""
        if name == "pc":
            return self._registers["cs.base"] + self._registers["eip"]
        return self._registers.get(_ALIASES.get(name, name))

    def physical(self, address: int) -> int:
        """The physical address of a virtual one: 52 bits of it, as paging is off."""
        return address & (1 << 52) - 1

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a virtual address."""
        return self._memory.read(address, size)
