"""The tree of objects, as far as it can be looked at: the root, its containers, and objects."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, QemuError
from machine.child_order import children_in_order
from machine.schema import JSON, Bool, Enum, Integer, Size, Text, read_integer, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from machine.machine import Machine
    from machine.qom.object_type import QomObject
    from machine.qom.property import Property

_TYPE = ("type", "string")


def properties(machine: Machine, path: str) -> list[tuple[str, str]]:
    """The properties at a path: names and types.

    Raises:
        QemuError: nothing is there, or nothing that is simulated.
    """
    containers = _containers(machine)
    if not path:
        raise QemuError("Path '' is ambiguous")
    if path == "/":
        shown = {**dict.fromkeys(containers, "container"), "machine": _machine_type(machine)}
        order = [name for name in ("objects", "machine", "chardevs") if name in shown]
        return [_TYPE, *((name, f"child<{shown[name]}>") for name in order)]
    name = path.removeprefix("/")
    if name in containers:
        kinds = containers[name]
        return [_TYPE, *((each, f"child<{kinds[each]}>") for each in children_in_order(kinds))]
    found = _object(machine, path)
    rows = [_TYPE]
    for property in found.type.names_in_order:
        member = found.type.find(property)
        assert member is not None
        rows.append((property, member.kind))
    return rows


def get_property(machine: Machine, path: str, name: str) -> Any:
    """A property's value.

    Raises:
        QemuError: there is no such object or property.
    """
    found = _object(machine, path)
    if name == "type":
        return found.type.name
    if found.type.find(name) is None:
        raise QemuError(f"Property '{found.type.name}.{name}' not found")
    value = found.values[name]
    return "" if value is None else value


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
    found = _object(machine, path)
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


def to_json(value: Any, indent: str = "") -> str:
    """A value as the monitor prints it: JSON over several lines."""
    inner = indent + "    "
    if isinstance(value, dict):
        order = children_in_order(value)
        items = [f'{inner}"{key}": {to_json(value[key], inner)}' for key in order]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}" if items else "{}"
    if isinstance(value, list):
        items = [inner + to_json(item, inner) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]" if items else "[]"
    import json

    return json.dumps(value, ensure_ascii=False)


def _machine_type(machine: Machine) -> str:
    return f"{machine.board.name}-machine"


def _containers(machine: Machine) -> dict[str, Mapping[str, str]]:
    """The containers at the root, and what is in them: types by name."""
    found: dict[str, Mapping[str, str]] = {
        "chardevs": {each.label: f"chardev-{each.backend}" for each in machine.chardevs}
    }
    objects = {each.id: each.type.name for each in machine.objects}
    if machine.ram_size:
        objects = {machine.board.ram_name: "memory-backend-ram", **objects}  # the board's own
    if machine.objects.were_used or machine.ram_size:
        found["objects"] = objects
    return found


def _object(machine: Machine, path: str) -> QomObject:
    """The object at a path; a part of a path will do where only one fits."""
    name = path.removeprefix("/").removeprefix("objects/")
    found = machine.objects.find(name)
    if found is None:
        if path == "/machine" or path.startswith("/machine/"):
            raise QemuError(f"{path}: not simulated yet")
        raise DeviceNotFound(path)
    return found
