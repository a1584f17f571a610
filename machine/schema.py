"""What the values of an option are: types, and the structures they form.

The same structure is read from three sources, each of which QEMU words differently: the keyval
syntax (`object_add`), lists of options (``-object``, ``-netdev``, `netdev_add`) and JSON.
"""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_ON = ("on", "yes", "true", "y")
_OFF = ("off", "no", "false", "n")
_UNITS = "bkmgtpe"
_SIZE_LIMIT = 1 << 64


class Source:
    """Where values come from, as far as messages depend on it.

    Attributes:
        unknown: of a name that isn't known.
        integer, unsigned, size: what follows ``expects``.
        is_text: all values are text; else they have JSON's types.
    """

    __slots__ = ("integer", "is_text", "size", "unknown", "unsigned")

    def __init__(
        self, *, unknown: str, integer: str, unsigned: str, size: str, is_text: bool = True
    ) -> None:
        self.unknown = unknown
        self.integer = integer
        self.unsigned = unsigned
        self.size = size
        self.is_text = is_text


KEYVAL = Source(
    unknown="Parameter '{}' is unexpected", integer="integer", unsigned="integer", size="size"
)
OPTIONS = Source(
    unknown="Invalid parameter '{}'",
    integer="an int64 value",
    unsigned="a uint64 value",
    size="a size value",
)
JSON = Source(
    unknown="Parameter '{}' is unexpected",
    integer="integer",
    unsigned="integer",
    size="integer",
    is_text=False,
)


class Type:
    """What a value may be."""

    __slots__ = ()
    json_name = "string"  # what JSON's type is called in messages

    def read(self, value: Any, name: str, source: Source) -> Any:
        """The value.

        Raises:
            QemuError: it is none of this type.
        """
        raise NotImplementedError

    def _misfit(self, name: str) -> QemuError:
        text = f"Invalid parameter type for '{name}', expected: {self.json_name}"
        return QemuError(text)


class Text(Type):
    """Any text."""

    __slots__ = ()

    def read(self, value: Any, name: str, source: Source) -> str:
        if not isinstance(value, str):
            raise self._misfit(name)
        return value


class Bool(Type):
    """On or off."""

    __slots__ = ()
    json_name = "boolean"

    def read(self, value: Any, name: str, source: Source) -> bool:
        if isinstance(value, bool) and not source.is_text:
            return value
        if not isinstance(value, str) or not source.is_text:
            raise self._misfit(name)
        if value not in _ON + _OFF:
            raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
        return value in _ON


class Integer(Type):
    """A number of so many bits.

    Args:
        name: the C type, as messages call it; 64 bits have none.
    """

    __slots__ = ("_bits", "_is_signed")
    json_name = "integer"

    def __init__(self, bits: int = 64, *, is_signed: bool = True) -> None:
        self._bits = bits
        self._is_signed = is_signed

    def read(self, value: Any, name: str, source: Source) -> int:
        expected = source.integer if self._is_signed else source.unsigned
        number = value
        if source.is_text:
            number = read_integer(value) if isinstance(value, str) else None
            if not isinstance(value, str):
                raise self._misfit(name)
        elif not isinstance(value, int) or isinstance(value, bool):
            raise self._misfit(name)
        if number is None or not -(1 << 63) <= number < 1 << 64:
            raise QemuError(f"Parameter '{name}' expects {expected}")
        low = -(1 << (self._bits - 1)) if self._is_signed else 0
        high = 1 << (self._bits - 1 if self._is_signed else self._bits)
        if not low <= number < high:
            if number < 0 and source is OPTIONS:
                raise QemuError(f"Parameter '{name}' expects {expected}")
            kind = f"{'' if self._is_signed else 'u'}int{self._bits}_t"
            wanted = expected if self._bits == 64 else kind
            raise QemuError(f"Parameter '{name}' expects {wanted}")
        return int(number)


class Size(Type):
    """Bytes, with a suffix if one likes."""

    __slots__ = ()
    json_name = "integer"

    def read(self, value: Any, name: str, source: Source) -> int:
        if source.is_text and isinstance(value, str):
            size = read_size(value)
        elif not source.is_text and isinstance(value, int) and not isinstance(value, bool):
            size = value if 0 <= value < _SIZE_LIMIT else None
        else:
            raise self._misfit(name)
        if size is None:
            raise QemuError(f"Parameter '{name}' expects {source.size}")
        return size


class Enum(Type):
    """One of some words."""

    __slots__ = ("values",)

    def __init__(self, values: str) -> None:
        self.values = values.split()

    def read(self, value: Any, name: str, source: Source) -> str:
        if not isinstance(value, str):
            raise self._misfit(name)
        if value not in self.values:
            raise QemuError(f"Parameter '{name}' does not accept value '{value}'")
        return value


class Struct(Type):
    """Members of their own."""

    __slots__ = ("members",)
    json_name = "object"

    def __init__(self, *members: Member) -> None:
        self.members = members

    def read(self, value: Any, name: str, source: Source) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._misfit(name)
        return read_members(self.members, value, source, prefix=f"{name}.")


class List(Type):
    """Values of one type; of options they are those of one name, a text there is the only one."""

    __slots__ = ("_element",)
    json_name = "array"

    def __init__(self, element: Type) -> None:
        self._element = element

    def read(self, value: Any, name: str, source: Source) -> list[Any]:
        if source is OPTIONS:
            value = value if isinstance(value, list) else [value]
        elif not isinstance(value, list):
            raise self._misfit(name)
        return [
            self._element.read(item, f"{name}.{index}" if source is KEYVAL else name, source)
            for index, item in enumerate(value)
        ]


class Member:
    """A named value of a structure."""

    __slots__ = ("is_optional", "name", "type")

    def __init__(self, name: str, type: Type, *, is_optional: bool = True) -> None:
        self.name = name
        self.type = type
        self.is_optional = is_optional


def read_members(
    members: Sequence[Member],
    values: Mapping[str, Any],
    source: Source,
    *,
    prefix: str = "",
    taken: Sequence[str] = (),
) -> dict[str, Any]:
    """The values of a structure, those that are there.

    Args:
        members: in the order in which they are looked at.
        values: by name, as the source has them.
        prefix: what stands before a name in messages.
        taken: names that somebody else has looked at.

    Raises:
        QemuError: one is missing, can't be, or isn't known.
    """
    found: dict[str, Any] = {}
    for member in members:
        if member.name in values:
            value = values[member.name]
            found[member.name] = member.type.read(value, prefix + member.name, source)
        elif not member.is_optional:
            raise QemuError(f"Parameter '{prefix}{member.name}' is missing")
    for name in values:
        if name not in found and name not in taken:
            raise QemuError(source.unknown.format(prefix + name))
    return found


def read_integer(text: str) -> int | None:
    """A number as C writes it: decimal, 0x, or octal after a 0; None for anything else."""
    digits = text.lstrip(" \t").removeprefix("+")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.removeprefix("-")
    base = 10
    if digits[:2] in ("0x", "0X"):
        base, digits = 16, digits[2:]
    elif digits.startswith("0"):
        base = 8
    if not (digits.isascii() and digits.isalnum()) or len(digits) > 64:
        return None
    try:
        return sign * int(digits, base)
    except ValueError:
        return None


def read_size(text: str) -> int | None:
    """``4096``, ``0x1000``, ``1.5M`` in bytes; None for anything else, and from 2^64 on."""
    number = text
    unit = 1
    suffix = text[-1:].lower()
    is_hexadecimal = text[:2] in ("0x", "0X")
    if suffix and suffix in _UNITS and not (is_hexadecimal and suffix in "be"):
        number, unit = text[:-1], 1 << (10 * _UNITS.index(suffix))
    whole, point, decimals = number.partition(".")
    if not whole[:1].isdigit() or (point and is_hexadecimal) or len(number) > 64:
        return None
    value = int(whole, 10) if whole.isascii() and whole.isdigit() else read_integer(whole)
    if value is None or not (decimals == "" or (decimals.isascii() and decimals.isdigit())):
        return None
    size = value * unit
    if decimals:
        if unit == 1 and int(decimals):
            return None
        size += (int(decimals) * unit * 2 + 10 ** len(decimals)) // (2 * 10 ** len(decimals))
    return size if size < _SIZE_LIMIT else None
