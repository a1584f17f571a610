"""An x86 processor's registers, and its view of memory.

By itself it executes nothing and is as a reset leaves it; a guest that executes in its stead
tells what its registers hold.  Paging is off, so that its addresses are physical ones.
"""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from machine.memory import Memory

_SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
_GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_ALIASES = {"sp": "esp", "fp": "ebp"}
_FLAGS = (("D", 10), ("O", 11), ("S", 7), ("Z", 6), ("A", 4), ("P", 2), ("C", 0))


class X86Cpu:
    """One processor.

    Args:
        index: its number.
        memory: the physical address space.
        signature: what a reset leaves in EDX.

    Attributes:
        follow: tells the registers that differ from those after a reset; None for none.
        kept: registers that a saved state had, or that a debugger wrote.
    """

    def __init__(self, index: int, memory: Memory, signature: int) -> None:
        self.index = index
        self.thread_id = _thread.get_native_id()
        self.follow: Callable[[], Mapping[str, int]] | None = None
        self.kept: dict[str, int] = {}
        self._memory = memory
        self._signature = signature

    @property
    def halted(self) -> bool:
        """Whether it waits; only the first one runs before it wakes the others."""
        return bool(self.registers().get("halted", self.index != 0))

    def registers(self) -> dict[str, int]:
        """All registers.  Source of a reset's: Intel SDM volume 3, table 9-1."""
        registers = dict.fromkeys(_GENERAL, 0)
        registers.update((f"r{n}", 0) for n in range(8, 16))
        registers.update(edx=self._signature, eip=0xFFF0, eflags=2)
        for segment in _SEGMENTS:
            registers[segment] = registers[f"{segment}.base"] = 0
            registers[f"{segment}.limit"] = 0xFFFF
        registers.update({"cs": 0xF000, "cs.base": 0xFFFF0000})
        registers.update(self.kept)
        if self.follow is not None:
            registers.update(self.follow())
        return registers

    def write_register(self, name: str, value: int) -> None:
        """Change a register until the next reset; a guest that executes keeps its own."""
        self.kept[name] = value

    def reset(self) -> None:
        """Forget what was kept of registers."""
        self.kept = {}

    def register(self, name: str) -> int | None:
        """A register by the name that ``print $name`` takes; None when there is none."""
        registers = self.registers()
        if name == "pc":
            return registers["cs.base"] + registers["eip"]
        return registers.get(_ALIASES.get(name, name))

    def physical(self, address: int) -> int:
        """The physical address of a virtual one: 52 bits of it, as paging is off."""
        return address & (1 << 52) - 1

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a virtual address."""
        return self._memory.read(address, size)

    def describe_reset(self) -> Iterator[str]:
        """What the log says of a reset: also how flags are to be found, which are known then."""
        yield f"CPU Reset (CPU {self.index})"
        for line in self.describe():
            yield line
            if line.startswith("DR6="):
                yield "CCS=00000000 CCD=00000000 CCO=DYNAMIC"

    def describe(self) -> Iterator[str]:
        """The lines of ``info registers``; in real mode they show 32 bits."""
        registers = self.registers()
        for row in (("eax", "ebx", "ecx", "edx"), ("esi", "edi", "ebp", "esp")):
            yield " ".join(f"{name.upper()}={registers[name]:08x}" for name in row)
        eflags = registers["eflags"]
        flags = "".join(letter if eflags >> bit & 1 else "-" for letter, bit in _FLAGS)
        yield (
            f"EIP={registers['eip']:08x} EFL={eflags:08x} [{flags}] "
            f"CPL=0 II=0 A20=1 SMM=0 HLT={int(self.halted)}"
        )
        for name in _SEGMENTS:
            kind = 0x9B00 if name == "cs" else 0x9300
            base, limit = registers[f"{name}.base"], registers[f"{name}.limit"]
            yield f"{name.upper():3}={registers[name]:04x} {base:08x} {limit:08x} {kind:08x}"
        yield "LDT=0000 00000000 0000ffff 00008200"
        yield "TR =0000 00000000 0000ffff 00008b00"
        yield "GDT=     00000000 0000ffff"
        yield "IDT=     00000000 0000ffff"
        yield f"CR0={registers.get('cr0', 0x60000010):08x} CR2=00000000 CR3=00000000 CR4=00000000"
        yield "".join(f"DR{number}=0000000000000000 " for number in range(4))
        yield "DR6=00000000ffff0ff0 DR7=0000000000000400"
        yield "EFER=0000000000000000"
        yield "FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80"
        for number in range(0, 8, 2):
            yield " ".join(f"FPR{each}={0:016x} {0:04x}" for each in (number, number + 1))
        for number in range(0, 8, 2):
            yield " ".join(f"XMM{each:02}={0:016x} {0:016x}" for each in (number, number + 1))
