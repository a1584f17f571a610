"""Registers and memory as a debugger asks for them: the text of a packet in, its answer out.

Each raises ValueError where the text has no number where one belongs.
"""

from __future__ import annotations

from machine.gdb.packet import MAX_SIZE
from machine.gdb.target import REGISTERS, internal_name, pack_register, unpack_registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.cpu.x86 import X86Cpu
    from machine.memory import Memory

OK, UNKNOWN, INVALID, FAULT = b"OK", b"", b"E22", b"E14"


def all_registers(cpu: X86Cpu) -> bytes:
    registers = cpu.registers()
    data = b"".join(pack_register(registers, number) for number in range(len(REGISTERS)))
    return data.hex().encode()


def change_all_registers(cpu: X86Cpu, digits: str) -> bytes:
    unpack_registers(read_bytes(digits), lambda name, value: write_register(cpu, name, value))
    return OK


def read_register(cpu: X86Cpu, text: str) -> bytes:
    data = pack_register(cpu.registers(), int(text, 16))
    return data.hex().encode() if data else FAULT


def change_register(cpu: X86Cpu, text: str) -> bytes:
    """``NUMBER=VALUE``; what there is no register for is passed over."""
    number, equals, digits = text.partition("=")
    if not equals:
        return INVALID
    index = int(number, 16)
    if 0 <= index < len(REGISTERS):
        name, size, _ = REGISTERS[index]
        new = int.from_bytes(read_bytes(digits)[:size], "little")
        write_register(cpu, internal_name(name), new)
    return OK


def write_register(cpu: X86Cpu, name: str, value: int) -> None:
    """No guest here is in 64-bit mode, outside of which half of these registers is."""
    if not name.startswith("r"):
        cpu.write_register(name, value & 0xFFFFFFFF)


def read_memory(cpu: X86Cpu, text: str) -> bytes:
    """``ADDRESS,SIZE``.  Raises: MemoryFault."""
    try:
        address, size = read_numbers(text)
    except ValueError:
        return INVALID if "," not in text else UNKNOWN
    if size > MAX_SIZE // 2:
        return INVALID
    return cpu.read(address, size).hex().encode()


def write_memory(cpu: X86Cpu, memory: Memory, text: str) -> bytes:
    """``ADDRESS,SIZE:DATA``.  Raises: MemoryFault."""
    place, colon, digits = text.partition(":")
    address, size = read_numbers(place)
    data = read_bytes(digits)
    if not colon or size > len(data):
        return INVALID
    memory.write(cpu.physical(address), data[:size])
    return OK


def read_bytes(digits: str) -> bytes:
    """Two digits a byte; what is no digit counts as 0, as in QEMU."""
    known = "".join(digit if digit in "0123456789abcdefABCDEF" else "0" for digit in digits)
    return bytes.fromhex(known[: len(known) // 2 * 2])


def read_numbers(text: str) -> tuple[int, int]:
    """``ADDRESS,SIZE``, hexadecimal."""
    first, comma, second = text.partition(",")
    if not comma:
        raise ValueError(text)
    address, size = int(first, 16), int(second, 16)
    if not (0 <= address < 1 << 64 and 0 <= size < 1 << 32):
        raise ValueError(text)
    return address, size
