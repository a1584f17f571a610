"""The values of migration parameters as people type them."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.scanner import Scanner
from hmp.size import SIZE_HINT, Size, read_size
from machine.migration.parameters import COMPRESSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_SIGNED = (1 << 63) - 1
_LARGEST = {"uint8": (1 << 8, "uint8_t"), "uint32": (1 << 32, "uint32_t")}
_ON, _OFF = ("on", "yes", "true", "y"), ("off", "no", "false", "n")


def read_value(name: str, kind: str, text: str, warn: Callable[[str], object]) -> int | bool | str:
    """A value of the kind that a parameter has; see `machine.migration.parameters`.

    Args:
        name: the parameter, for messages.
        kind: of its value.
        text: what was typed.
        warn: takes a warning.

    Raises:
        QemuError: the text is no such value.
    """
    if kind == "text":
        return text
    if kind == "bool":
        return read_switch(name, text)
    if kind == "compression":
        if text not in COMPRESSIONS:
            raise QemuError(f"Parameter '{name}' does not accept value '{text}'")
        return text
    if kind in _LARGEST:
        return _read_number(name, kind, text)
    if kind == "bandwidth":
        size = _read_size(text, "M", warn)
        if size is None or size.value > _LARGEST_SIGNED:
            raise QemuError(f"Invalid size {text}")
        return size.value
    assert kind in ("size", "signed-size"), kind
    size = _read_size(text, "B", warn)
    if size is not None:
        if kind == "signed-size" and size.value > _LARGEST_SIGNED:
            raise QemuError(f"Invalid size {text}")
        return size.value
    digits = text.lstrip("+ ")
    rest = digits.lstrip("0123456789")
    if rest != digits and _read_size("1" + rest, "B", warn):
        raise QemuError(f"Value '{text}' is out of range for parameter '{name}'")
    raise QemuError(f"Parameter '{name}' {SIZE_HINT}")


def read_switch(name: str, text: str) -> bool:
    """``on`` or ``off`` in any of its forms."""
    if text not in _ON + _OFF:
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    return text in _ON


def _read_size(text: str, default_suffix: str, warn: Callable[[str], object]) -> Size | None:
    scanner = Scanner(text)
    size = read_size(scanner, default_suffix)
    if size is None or not scanner.at_end:
        return None
    if size.is_scaled_hexadecimal:
        warn(f"warning: Using a multiplier suffix on hex numbers is deprecated: {text}")
    return size


def _read_number(name: str, kind: str, text: str) -> int:
    """C's notation; a negative number counts down from 2^64."""
    limit, type_name = _LARGEST[kind]
    digits = text.lstrip().lstrip("+-") if text.lstrip()[:2] not in ("+-", "-+") else ""
    try:
        if digits[:1] == "0" and digits[1:2] not in ("x", "X"):
            value = int(digits, 8)
        else:
            value = int(digits, 0)
    except ValueError:
        value = 1 << 64
    if value >> 64 or not (digits.isascii() and digits.isalnum()):
        raise QemuError(f"Parameter '{name}' expects uint64")
    if text.lstrip().startswith("-"):
        value = -value % (1 << 64)
    if value >= limit:
        raise QemuError(f"Parameter '{name}' expects {type_name}")
    return value
