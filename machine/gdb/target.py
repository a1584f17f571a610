"""The registers as a debugger numbers them, and the description that tells it so.

Source: GDB manual, "Target Descriptions"; the order is that of QEMU's 64-bit x86 target.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_GENERAL = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
_SEGMENTS = "cs ss ds es fs gs".split()
_WIDE = "fs_base gs_base k_gs_base cr0 cr2 cr3 cr4 cr8 efer".split()
_FLOAT_CONTROL = "fctrl fstat ftag fiseg fioff foseg fooff fop".split()

Register = tuple[str, int, str]  # name, bytes, type

REGISTERS: tuple[Register, ...] = (
    *((name, 8, "int64") for name in _GENERAL),
    ("eflags", 4, "int32"),
    *((name, 4, "int32") for name in _SEGMENTS),
    *((name, 8, "int64") for name in _WIDE),
    *((f"st{number}", 10, "i387_ext") for number in range(8)),
    *((name, 4, "int32") for name in _FLOAT_CONTROL),
    *((f"xmm{number}", 16, "uint128") for number in range(16)),
    ("mxcsr", 4, "int32"),
)

# What a reset leaves in those that nothing here changes.
_RESET = {"cr0": 0x60000010, "fctrl": 0x37F, "mxcsr": 0x1F80}
_MAIN = "target.xml"
_REGISTERS_FILE = "i386-64bit.xml"


def internal_name(name: str) -> str:
    """What `machine.cpu.x86` calls a register."""
    if name in _GENERAL and not name[1:].isdigit():
        return f"e{name[1:]}"
    if name.endswith("_base"):
        return f"{name[:2]}.base"
    return name


def value(registers: Mapping[str, int], name: str) -> int:
    return registers.get(internal_name(name), _RESET.get(name, 0))


def pack_register(registers: Mapping[str, int], number: int) -> bytes:
    """A register's bytes; none for one that there isn't."""
    if not 0 <= number < len(REGISTERS):
        return b""
    name, size, _ = REGISTERS[number]
    return (value(registers, name) & (1 << 8 * size) - 1).to_bytes(size, "little")


def unpack_registers(data: bytes, write: Callable[[str, int], object]) -> None:
    """Give what all registers are to hold, as far as the bytes go."""
    at = 0
    for name, size, _ in REGISTERS:
        if at + size > len(data):
            return
        write(internal_name(name), int.from_bytes(data[at : at + size], "little"))
        at += size


def description(name: str) -> str | None:
    """One of the files that describe the target; None for one that there isn't."""
    if name == _MAIN:
        return (
            '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>'
            f'<architecture>i386:x86-64</architecture><xi:include href="{_REGISTERS_FILE}"/>'
            "</target>"
        )
    if name != _REGISTERS_FILE:
        return None
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">']
    lines.append('<feature name="org.gnu.gdb.i386.core">')
    lines += (
        f'  <reg name="{each}" bitsize="{8 * size}" type="{kind}"/>'
        for each, size, kind in REGISTERS
    )
    return "\n".join([*lines, "</feature>", ""])
