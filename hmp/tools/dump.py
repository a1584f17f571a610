"""How qemu-io shows bytes, amounts, times and rates."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTES_A_LINE = 16
_SHOWN = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_AS_LETTERS = bytes(byte if byte in _SHOWN else ord(".") for byte in range(256))
_UNITS = ((60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"))
_SECOND_NS = 1_000_000_000


def dump_lines(data: bytes, offset: int) -> Iterator[str]:
    """Lines with the bytes in hexadecimal and as letters.

    Args:
        offset: where the first byte is on the disk.
    """
    for start in range(0, len(data), _BYTES_A_LINE):
        part = data[start : start + _BYTES_A_LINE]
        letters = part.translate(_AS_LETTERS).decode("ascii")
        yield f"{offset + start:08x}:  {part.hex(' ')}  {letters}\n"


def amount_text(amount: float) -> str:
    """Bytes with a unit: `64 KiB`, `1.500 KiB`, `414.720004 bytes`."""
    digits, unit = f"{amount:.6f}", "bytes"
    for exponent, larger in _UNITS:
        if amount >= 1 << exponent:
            digits, unit = f"{amount / (1 << exponent):.3f}", larger
            break
    # Three zeros behind the point end the number, whatever follows them: QEMU shows 0.000142 as 0.
    return f"{digits.partition('.000')[0]} {unit}"


def time_text(elapsed_ns: int, *, with_hours: bool = False) -> str:
    """A time: `00.01 sec`, and from a second on or `with_hours` `0:00:01.23`."""
    seconds, nanoseconds = divmod(elapsed_ns, _SECOND_NS)
    fraction = nanoseconds / _SECOND_NS
    if seconds or with_hours:
        minutes, seconds = divmod(seconds, 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds + fraction:05.2f}"
    return f"{fraction:05.2f} sec"


def transfer_text(verb: str, offset: int, size: int, elapsed_ns: int, *, terse: bool) -> str:
    """What is said after a read or write.

    Args:
        verb: `read`, `wrote`, `discard`.
        terse: one line for programs.
    """
    byte_rate, operation_rate = _rate(size, elapsed_ns), _rate(1, elapsed_ns)
    if terse:
        time = time_text(elapsed_ns, with_hours=True)
        return f"{size},1,{time},{byte_rate:.3f},{operation_rate:.3f}\n"
    return (
        f"{verb} {size}/{size} bytes at offset {offset}\n"
        f"{amount_text(size)}, 1 ops; {time_text(elapsed_ns)} "
        f"({amount_text(byte_rate)}/sec and {operation_rate:.4f} ops/sec)\n"
    )


def _rate(count: int, elapsed_ns: int) -> float:
    """How much a second."""
    if not elapsed_ns:
        return math.inf if count else 0.0
    return count / (elapsed_ns / _SECOND_NS)
