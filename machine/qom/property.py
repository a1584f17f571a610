"""Properties of objects: a name, a type, and what is said of a value that can't be."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.schema import Bool, Integer, Member, Size, Text, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.machine import Machine
    from machine.qom.object_type import QomObject

TEXT, BOOL, SIZE, INT = Text(), Bool(), Size(), Integer()
UINT32 = Integer(32, is_signed=False)


class Property(Member):
    """A property of a type of objects.

    Attributes:
        kind: what QOM calls its type.
        default: its value when nobody sets it; None for none.
        check: refuses values; given the object and the value.
        about: what the help says of it.
    """

    __slots__ = ("about", "check", "default", "kind")

    def __init__(
        self,
        name: str,
        type: Type,
        kind: str,
        *,
        default: Any = None,
        check: Callable[[QomObject, Any], None] | None = None,
        about: str = "",
        is_optional: bool = True,
    ) -> None:
        super().__init__(name, type, is_optional=is_optional)
        self.kind = kind
        self.default = default
        self.check = check
        self.about = about


def string(name: str, default: str | None = None, *, needed: bool = False) -> Property:
    return Property(name, TEXT, "string", default=default, is_optional=not needed)


def flag(name: str, default: bool, about: str = "") -> Property:
    return Property(name, BOOL, "bool", default=default, about=about)


def refuse_zero(type: str, name: str, what: str = "property") -> Callable[..., None]:
    def check(_: QomObject, value: int) -> None:
        if not value and what == "property":
            raise QemuError(f"property '{name}' of {type} doesn't take value '0'")
        if not value:
            raise QemuError(f"Property '{type}.{name}' doesn't take value '0'")

    return check


def unsimulated(_: Machine, made: QomObject) -> None:
    raise QemuError(f"{made.type.name}: not simulated yet")
