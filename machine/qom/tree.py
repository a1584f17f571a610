"""The tree of objects, looked at and changed by the paths and properties of its objects."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, QemuError
from machine.child_order import children_in_order
from machine.qom.composition import compose
from machine.qom.known_types import known_types
from machine.qom.part import GONE, DevicePart
from machine.schema import JSON, Bool, Enum, Integer, Size, Text, read_integer, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.machine import Machine
    from machine.qom.object_type import QomObject
    from machine.qom.part import Part
    from machine.qom.property import Property

_TYPE = ("type", "string")


def properties(machine: Machine, path: str) -> list[tuple[str, str]]:
    """The properties at a path: names and types; those of the class first, then its own.

    Raises:
        QemuError: nothing is there.
    """
    part = _find(machine, path)
    types = known_types()
    known = types.find(part.type)
    of_class = types.properties(known) if known is not None else []
    rows = [(each.name, each.kind) for each in of_class if each.name not in part.own]
    own = [(name, part.own[name]) for name in children_in_order(part.own)]
    return [*(rows or [_TYPE]), *(row for row in own if row[1] != GONE)]


def get_property(machine: Machine, path: str, name: str) -> Any:
    """A property's value.

    Raises:
        QemuError: there is no such object or property.
    """
    part = _find(machine, path)
    if all(name != each for each, _ in properties(machine, part.path)):
        raise QemuError(f"Property '{part.type}.{name}' not found")
    if name == "type":
        return part.type
    if name in part.parts:
        return part.parts[name].path
    made = _made(machine, part)
    if made is not None and name in made.values:
        value = made.values[name]
        return "" if value is None else value
    from machine.qom.values import value_of

    return value_of(machine, part, name)


def _find(machine: Machine, path: str) -> Part:
    """The object at a path; a part of a path will do where only one fits."""
    if not path:
        raise QemuError("Path '' is ambiguous")
    found = compose(machine).root.find_all(path)
    if not found:
        raise DeviceNotFound(path)
    if len(found) > 1:
        raise QemuError(f"Path '{path}' is ambiguous")
    return found[0]


def _made(machine: Machine, part: Part) -> QomObject | None:
    """What somebody made beside the machine, where a part is that."""
    is_of_objects = part.parent is not None and part.parent.path == "/objects"
    return machine.objects.find(part.name) if is_of_objects and machine.has_objects else None


def set_property(machine: Machine, path: str, name: str, text: str) -> None:
    """Give a property another value, of plain text.

    Raises:
        QemuError: there is no such object or property, or it can't have that value.
    """
    found, member = _property(machine, path, name)
    found.set(name, _from_text(member.type, name, text))


def set_value(machine: Machine, path: str, name: str, value: Any) -> None:
    """Give a property another value, of JSON's types; see `set_property`."""
    found, member = _property(machine, path, name)
    found.set(name, member.type.read(value, name, JSON))


def _property(machine: Machine, path: str, name: str) -> tuple[QomObject, Property]:
    """What can be set, and by what rule.

    Raises:
        QemuError: there is nothing of the kind, or it can't be set.
    """
    part = _find(machine, path)
    found = _made(machine, part)
    if found is None:
        if all(name != each for each, _ in properties(machine, part.path)):
            raise QemuError(f"Property '{part.type}.{name}' not found")
        if isinstance(part, DevicePart) and name in part.properties:
            which = f"device '{part.id}'" if part.id else "anonymous device"
            what = f"Attempt to set property '{name}' on {which} (type '{part.type}')"
            raise QemuError(f"{what} after it was realized")
        raise QemuError(f"Property '{part.type}.{name}' is not writable")
    member = found.type.find(name)
    if member is None:
        raise QemuError(f"Property '{found.type.name}.{name}' not found")
    return found, member


def _from_text(type: Any, name: str, text: str) -> Any:
    """A value of plain text, which QEMU words in its own way once more."""
    if isinstance(type, Size):
        size = read_size(text)
        if size is None:
            raise QemuError(f"Parameter '{name}' expects a size value")
        return size
    if isinstance(type, Integer):
        number = read_integer(text)
        if number is None:
            raise QemuError(f"Parameter '{name}' expects int64")
        return number
    if isinstance(type, Bool | Enum | Text):
        from machine.schema import KEYVAL

        return type.read(text, name, KEYVAL)
    raise QemuError(f"Invalid parameter type for '{name}', expected: object")
