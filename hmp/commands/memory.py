"""Looking at memory and numbers, and memory into files."""

from __future__ import annotations

from hmp.arguments import Format
from hmp.command import Command
from hmp.expression import signed64
from machine.memory import MemoryFault
from machine.memory_file import read_or_zero, save_physical, save_virtual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from hmp.monitor import Monitor

    Progress = tuple[int, int]  # done, total: bytes

    class Readable(Protocol):
        """Physical memory, or memory as a CPU sees it."""

        def read(self, address: int, size: int) -> bytes: ...


_ADDRESS_END = 1 << 64
_STRIDE = 1 << 16  # bytes of memory that sum takes in a step
_LINES_PER_STEP = 256  # of a dump

_ESCAPES = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def print_(monitor: Monitor, *, fmt: Format, val: int) -> None:
    unsigned = val % _ADDRESS_END
    if fmt.letter == "x":
        text = f"{unsigned:#x}" if val else "0"
    elif fmt.letter == "o":
        text = f"0{unsigned:o}" if val else "0"
    elif fmt.letter == "u":
        text = str(unsigned)
    elif fmt.letter == "c":
        text = _character(val)
    else:
        text = str(val)
    monitor.print_line(text)


def _character(value: int) -> str:
    """A character in single quotes; of a larger value, the lowest 32 bits."""
    code = value & 0xFFFFFFFF
    letter = chr(code) if 32 <= code <= 126 or code in (10, 13) else ""
    return "'" + (_ESCAPES.get(letter, letter) or f"\\x{code:02x}") + "'"


def x(monitor: Monitor, *, fmt: Format, addr: int) -> Iterator[Progress] | None:
    cpu = monitor.current_cpu
    if cpu is None:
        monitor.print_line("Can not dump without CPU")
        return None
    return _dump(monitor, fmt, addr, cpu)


def xp(monitor: Monitor, *, fmt: Format, addr: int) -> Iterator[Progress] | None:
    if fmt.letter == "i" and monitor.current_cpu is None:
        monitor.print_line("Can not dump without CPU")
        return None
    return _dump(monitor, fmt, addr, monitor.machine.memory)


def _dump(monitor: Monitor, fmt: Format, start: int, source: Readable) -> Iterator[Progress]:
    """Print memory, a line for 8 or 16 bytes; it ends at a line that has an unmapped byte."""
    if fmt.letter == "i":
        from hmp.disassembly import disassemble

        count = max(fmt.count, 1)
        for number, line in enumerate(disassemble(source, start % _ADDRESS_END, count), 1):
            monitor.print_line(line)
            if number % _LINES_PER_STEP == 0:
                yield number, count
        return
    remaining = total = _signed32(fmt.size * fmt.count)
    line_size = 8 if fmt.size == 1 else 16
    address = start % _ADDRESS_END
    printed = 0
    while remaining > 0:
        size = min(remaining, line_size)
        try:
            data = source.read(address, size) if address + size <= _ADDRESS_END else None
        except MemoryFault:
            data = None
        if data is None:
            monitor.print_line(f"{address:016x}: Cannot access memory")
            return
        monitor.print_line(f"{address:016x}:{''.join(_values(data, fmt))}")
        address = (address + size) % _ADDRESS_END
        remaining -= size
        printed += 1
        if printed % _LINES_PER_STEP == 0:
            yield total - remaining, total


def _values(data: bytes, fmt: Format) -> Iterator[str]:
    """The values in ``data``, each with the blank before it and filled up to equal width."""
    size = 1 if fmt.letter == "c" else fmt.size
    bits = size * 8
    for offset in range(0, len(data), size):
        value = int.from_bytes(data[offset : offset + size], "little")
        if fmt.letter == "c":
            yield f" {_character(value)}"
        elif fmt.letter == "o":
            text = f"0{value:o}" if value else "0"
            yield f" {text:>{-(-bits // 3)}}"
        elif fmt.letter in "ud":
            # QEMU widens without sign, so that only 8 bytes can be negative.
            value = signed64(value) if fmt.letter == "d" else value
            yield f" {value:{-(-bits * 10 // 33)}}"
        else:
            yield f" 0x{value:0{bits // 4}x}"


def sum_(monitor: Monitor, *, start: int, size: int) -> Iterator[Progress]:
    """The checksum that BSD's `sum` prints, over physical memory; unmapped bytes are zero."""
    checksum = 0
    address = start & 0xFFFFFFFF
    # In 32 bits: a range that ends at 4 GiB, or goes beyond, is empty.
    end = (address + size) & 0xFFFFFFFF
    while address < end:
        count = min(end - address, _STRIDE)
        checksum = _bsd_checksum(checksum, read_or_zero(monitor.machine.memory, address, count))
        address += count
        yield address - end + size, size
    monitor.print_line(f"{checksum:05}")


def _bsd_checksum(checksum: int, data: bytes) -> int:
    if data.count(0) == len(data):  # zeros only turn it, and memory is full of them
        turn = len(data) % 16
        return (checksum >> turn | checksum << (16 - turn)) & 0xFFFF
    for byte in data:
        checksum = ((checksum >> 1 | checksum << 15) + byte) & 0xFFFF
    return checksum


def memsave(monitor: Monitor, *, val: int, size: int, filename: str) -> Iterator[Progress] | None:
    cpu = monitor.current_cpu
    if cpu is None:
        monitor.print_line("No CPU available")
        return None
    return save_virtual(cpu, val, size, filename)


def pmemsave(monitor: Monitor, *, val: int, size: int, filename: str) -> Iterator[Progress]:
    return save_physical(monitor.machine.memory, val, size, filename)


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (value >> 31 << 32)


COMMANDS = (
    Command(
        name="x",
        args_type="fmt:/,addr:l",
        params="/fmt addr",
        help="virtual memory dump starting at 'addr'",
        run=x,
    ),
    Command(
        name="xp",
        args_type="fmt:/,addr:l",
        params="/fmt addr",
        help="physical memory dump starting at 'addr'",
        run=xp,
    ),
    Command(
        name="print|p",
        args_type="fmt:/,val:l",
        params="/fmt expr",
        help="print expression value (use $reg for CPU register access)",
        run=print_,
    ),
    Command(
        name="sum",
        args_type="start:i,size:i",
        params="addr size",
        help="compute the checksum of a memory region",
        run=sum_,
    ),
    Command(
        name="memsave",
        args_type="val:l,size:i,filename:s",
        params="addr size file",
        help="save to disk virtual memory dump starting at 'addr' of size 'size'",
        run=memsave,
    ),
    Command(
        name="pmemsave",
        args_type="val:l,size:i,filename:s",
        params="addr size file",
        help="save to disk physical memory dump starting at 'addr' of size 'size'",
        run=pmemsave,
    ),
)
