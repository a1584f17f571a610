"""Sizes as people type them: `64k`, `1.5G`, `0x100000`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.scanner import Scanner

# What is said of a size that can't be, after its name.
SIZE_HINT = (
    "expects a non-negative number below 2^64\n"
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)

_UNITS = {
    "b": 1,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "p": 1 << 50,
    "e": 1 << 60,
}
_DECIMAL = "0123456789"
_HEXADECIMAL = "0123456789abcdefABCDEF"
_MOST_DIGITS = 20  # of a decimal number of 64 bits
_FRACTION_ONE = 1 << 64  # fractions are kept in 64 bits behind the point
_LIMIT = 1 << 64


class Size:
    """A size that was read.

    Attributes:
        value: bytes; below 2^64.
        is_scaled_hexadecimal: a hexadecimal number with a suffix, which QEMU advises against.
    """

    __slots__ = ("is_scaled_hexadecimal", "value")

    def __init__(self, value: int, *, is_scaled_hexadecimal: bool) -> None:
        self.value = value
        self.is_scaled_hexadecimal = is_scaled_hexadecimal


def read_size(scanner: Scanner, default_suffix: str) -> Size | None:
    """Read a size; None when there is none, or one that does not fit.

    Decimal with an optional fraction, or `0x` and hexadecimal digits without one; then
    b, k, M, G, T, P or E in either case. What follows is left in the scanner.

    Args:
        scanner: stands at the size.
        default_suffix: the unit of a size that names none.
    """
    scanner.skip_blanks()
    if scanner.peek() == "+":
        scanner.position += 1
    digits = scanner.take_while(_DECIMAL)
    if not digits:
        return None
    fraction = 0
    is_hexadecimal = False
    if not digits.strip("0") and scanner.peek() in ("x", "X"):
        # `0x` without digits, and `00x1`, are a zero with something stuck to it.
        if digits == "0" and scanner.text[scanner.position + 1 :][:1] in tuple(_HEXADECIMAL):
            scanner.position += 1
            digits = scanner.take_while(_HEXADECIMAL)
            is_hexadecimal = True
            if scanner.peek() == ".":
                return None
    elif scanner.peek() == ".":
        scanner.position += 1
        decimals = scanner.take_while(_DECIMAL)
        if decimals and _has_exponent(scanner):
            return None
        # Through a binary fraction, as QEMU does: one that rounds to a whole counts as none.
        fraction = int(float(f"0.{decimals or 0}") * _FRACTION_ONE) % _FRACTION_ONE

    significant = digits.lstrip("0")
    if len(significant) > _MOST_DIGITS:
        return None
    whole = int(significant or "0", 16 if is_hexadecimal else 10)

    suffix = scanner.peek().lower()
    has_suffix = suffix in _UNITS
    if has_suffix:
        scanner.position += 1
    unit = _UNITS[suffix if has_suffix else default_suffix.lower()]
    if unit == 1 and fraction:
        return None
    value = whole * unit + (fraction * unit + _FRACTION_ONE // 2) // _FRACTION_ONE
    if whole >= _LIMIT or value >= _LIMIT:
        return None
    return Size(value, is_scaled_hexadecimal=is_hexadecimal and has_suffix)


def _has_exponent(scanner: Scanner) -> bool:
    """Whether `e10` or the like follows; a lone `e` is the suffix for 2^60."""
    rest = scanner.text[scanner.position :]
    if rest[:1] not in ("e", "E"):
        return False
    digit = rest[2:3] if rest[1:2] in ("+", "-") else rest[1:2]
    return digit in tuple(_DECIMAL)
