"""What a value of a command's arguments may be, and what QEMU says of one that may not."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.qmp.json_writer import in_order
from machine.child_order import children_in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_ORDERED_LIMIT = 10000  # members of which it is worth while to find QEMU's order
_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (dict, "object"),
    (list, "array"),
    (type(None), "null"),
)


def json_type(value: Any) -> str:
    """The word that JSON has for what a value is."""
    return next(word for kind, word in _WORDS if isinstance(value, kind))


class Type:
    """What a value may be.

    Attributes:
        json_name: what JSON calls such a value, for a type that is one of several.
    """

    json_name = ""

    def read(self, value: Any, path: str, name: str | None) -> Any:
        """The value.

        Args:
            value: as it came.
            path: where it stands, for messages: ``a.b[0]``.
            name: the last part of that; None for an element of a list.

        Raises:
            QemuError: it is none of this type.
        """
        raise NotImplementedError


def misfit(path: str, expected: str) -> QemuError:
    return QemuError(f"Invalid parameter type for '{path}', expected: {expected}")


class Builtin(Type):
    """A text, a boolean, a number, null, or anything."""

    def __init__(self, json_name: str, *python_types: type) -> None:
        self.json_name = json_name
        self._types = python_types

    def read(self, value: Any, path: str, name: str | None) -> Any:
        is_fitting = isinstance(value, self._types) and (
            not isinstance(value, bool) or bool in self._types or object in self._types
        )
        if not is_fitting:
            raise misfit(path, self.json_name)
        return value


class Integer(Type):
    """A number of so many bits."""

    json_name = "number"

    def __init__(self, bits: int, *, is_signed: bool) -> None:
        self._c_type = f"{'' if is_signed else 'u'}int{bits}_t"
        self._is_signed = is_signed
        self._low = -(1 << (bits - 1)) if is_signed or bits == 64 else 0
        self._high = 1 << (bits - 1 if is_signed else bits)

    def read(self, value: Any, path: str, name: str | None) -> int:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or (self._is_signed and value >= 1 << 63):
            if self._is_signed:
                raise misfit(path, "integer")
            raise QemuError(f"Parameter '{path}' expects uint64")
        if not self._low <= value < self._high:
            raise QemuError(f"Parameter '{name or 'null'}' expects {self._c_type}")
        # Of 64 bits, a negative number is taken for the one with the same bits.
        return value if self._is_signed else int(value) % (1 << 64)


class Enum(Type):
    """One of some words.

    Attributes:
        values: the words.
        features: of each that has any.
    """

    json_name = "string"

    def __init__(self, values: Sequence[str], features: Mapping[str, Sequence[str]]) -> None:
        self.values = values
        self.features = features

    def read(self, value: Any, path: str, name: str | None) -> str:
        if not isinstance(value, str):
            raise misfit(path, "string")
        if value not in self.values:
            raise QemuError(f"Parameter '{name or 'null'}' does not accept value '{value}'")
        return value


class Array(Type):
    """Values of one type."""

    json_name = "array"

    def __init__(self, element: Type) -> None:
        self.element = element

    def read(self, value: Any, path: str, name: str | None) -> list[Any]:
        if not isinstance(value, list):
            raise misfit(path, "array")
        return [
            self.element.read(item, f"{path}[{index}]", None) for index, item in enumerate(value)
        ]


class Alternate(Type):
    """One of several types, which JSON can tell apart."""

    def __init__(self, name: str, types: Sequence[Type]) -> None:
        self._name = name
        self.types = types

    def read(self, value: Any, path: str, name: str | None) -> Any:
        wanted = json_type(value)
        for each in self.types:
            if each.json_name == wanted:
                return each.read(value, path, name)
        raise misfit(name or "null", self._name)


class Member:
    """A named value of a structure."""

    __slots__ = ("features", "is_optional", "name", "type")

    def __init__(
        self, name: str, type: Type, *, is_optional: bool, features: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.type = type
        self.is_optional = is_optional
        self.features = features


class Struct(Type):
    """Named values; which more there are can depend on one of them.

    Attributes:
        members: in the order in which they are looked at.
        tag: the member that decides; "" for none.
        variants: what its values bring along.
        is_open: any others may be there, which somebody else looks at.
    """

    json_name = "object"

    def __init__(
        self,
        members: Sequence[Member],
        tag: str = "",
        variants: Mapping[str, Struct] | None = None,
        features: Sequence[str] = (),
    ) -> None:
        self.is_open = False
        self.members = members
        self.tag = tag
        self.variants = variants or {}
        self.features = features

    def read(self, value: Any, path: str, name: str | None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise misfit(path, "object")
        return self.read_members(value, f"{path}." if path else "")

    def read_members(self, values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        """The members that are there, by name.

        Args:
            prefix: what stands before a name in messages.

        Raises:
            QemuError: one is missing, can't be, or isn't known.
        """
        found: dict[str, Any] = {}
        self._fill(found, values, prefix)
        # QEMU keeps what nobody looked at in a hash table, and names the first of that.
        unknown = [key for key in values if key not in found]
        if len(unknown) > 1 and len(values) < _ORDERED_LIMIT:
            unknown = [key for key in children_in_order(in_order(values)) if key not in found]
        if unknown:
            raise QemuError(f"Parameter '{prefix}{unknown[-1]}' is unexpected")
        return found

    def _fill(self, found: dict[str, Any], values: Mapping[str, Any], prefix: str) -> None:
        for member in self.members:
            if member.name in values:
                path = prefix + member.name
                found[member.name] = member.type.read(values[member.name], path, member.name)
            elif not member.is_optional:
                raise QemuError(f"Parameter '{prefix}{member.name}' is missing")
        variant = self.variants.get(found.get(self.tag, ""))
        if variant is not None:
            variant._fill(found, values, prefix)
