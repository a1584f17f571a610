"""Instructions as text, for ``x /i``: decoded by the package `capstone`, where it is installed."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE, MemoryFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Readable(Protocol):
        """Physical memory, or memory as a CPU sees it."""

        def read(self, address: int, size: int) -> bytes: ...


_READ_AHEAD = 32  # bytes; QEMU fails where it can't read these, even if it needn't
_SHOWN_IN_A_LINE = 8  # bytes of an instruction


def disassemble(source: Readable, address: int, count: int) -> Iterator[str]:
    """The lines that show `count` instructions of 16 bits; it ends where memory does.

    Raises:
        QemuError: the package isn't installed.
    """
    try:
        import importlib

        capstone = importlib.import_module("capstone")
    except ImportError:
        raise QemuError("disassembly needs the Python package 'capstone'") from None
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_16)
    decoder.syntax = capstone.CS_OPT_SYNTAX_ATT
    code = b""
    for _ in range(count):
        end = address + len(code)
        size = min(_READ_AHEAD - len(code), PAGE_SIZE - end % PAGE_SIZE)
        try:
            code += source.read(end, size)
        except MemoryFault:
            yield f"0x{address:08x}: unable to read memory"
            return
        decoded = next(decoder.disasm_lite(code, address, 1), None)
        size, text = 1, f".byte    0x{code[0]:02x}"
        if decoded is not None:
            _, size, mnemonic, operands = decoded
            text = f"{mnemonic:<8} {operands}"
        yield from _lines(address, code[:size], text)
        code = code[size:]
        address += size


def _lines(address: int, code: bytes, text: str) -> Iterator[str]:
    """An instruction, with its bytes in as many lines as they need."""
    for start in range(0, len(code), _SHOWN_IN_A_LINE):
        part = "".join(f" {byte:02x}" for byte in code[start : start + _SHOWN_IN_A_LINE])
        if start == 0:
            part = f"{part:{3 * _SHOWN_IN_A_LINE}}  {text}"
        yield f"0x{address + start:08x}: {part}"
