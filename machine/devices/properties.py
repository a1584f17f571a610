"""The properties that each type of device takes: what ``driver,help`` tells.

Source: QEMU 7.2's own answers to `device-list-properties`, kept in ``properties.txt``: a type and
its parent on a line (``*`` before an abstract type, ``?`` before one that can't be named), and
below it, each after a tab, the properties that it has otherwise than its parent: name, type,
default as JSON, description; ``-NAME`` for one that it hasn't got.
"""

from __future__ import annotations

import os

from blockdev.errors import DeviceNotFound, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLE = "properties.txt"
_INDENT = 24  # where descriptions begin
_ABSTRACT, _NAMELESS = "*", "?"
_types: dict[str, TypeEntry] = {}
# Types that are no devices, of which QEMU says the same as of abstract ones.
_NO_DEVICES = frozenset(("container", "irq", "memory-region", "object"))


class DeviceProperty:
    """One property.

    Attributes:
        name: of the property.
        type: as QEMU calls it.
        default: as JSON; "" for none.
        description: a few words; may be empty.
    """

    __slots__ = ("default", "description", "name", "type")

    def __init__(self, fields: Sequence[str]) -> None:
        self.name, self.type, self.default, self.description = (*fields, "", "")[:4]

    @property
    def line(self) -> str:
        """How help shows it."""
        text = f"  {self.name}=<{self.type}>"
        if self.description or self.default:
            text = f"{text:<{_INDENT}} - {self.description}"
        return text + (f" (default: {self.default})" if self.default else "")


class TypeEntry:
    """A type of devices, with what distinguishes it from its parent."""

    __slots__ = ("mark", "parent", "rows")

    def __init__(self, mark: str, parent: str, rows: list[str]) -> None:
        self.mark = mark
        self.parent = parent
        self.rows = rows


def _table() -> dict[str, TypeEntry]:
    rows: list[str] = []  # those of the type that is read
    if not _types:
        path = os.path.join(os.path.dirname(__file__), _TABLE)
        with open(path, encoding="utf-8") as file:
            for line in file.read().splitlines():
                if line.startswith("\t"):
                    rows.append(line[1:])
                else:
                    name, _, parent = line.partition(" < ")
                    mark = name[0] if name[0] in (_ABSTRACT, _NAMELESS) else ""
                    rows = []
                    _types[name.removeprefix(mark)] = TypeEntry(mark, parent, rows)
    return _types


def properties_of(type: str) -> dict[str, DeviceProperty]:
    """All properties of a type, by name; none for a type that isn't in the table."""
    entry = _table().get(type)
    if entry is None:
        return {}
    found = properties_of(entry.parent)
    for row in entry.rows:
        if row.startswith("-"):
            found.pop(row[1:], None)
        else:
            property = DeviceProperty(row.split("\t"))
            found[property.name] = property
    return found


def describe(name: str) -> list[str]:
    """The lines that help shows of a model, or of what an alias stands for.

    Raises:
        QemuError: there is no such type, or devices can't be of it.
    """
    from machine.devices.models import full_name
    from machine.qom.types import TYPES

    type = full_name(name)
    entry = _table().get(type)
    is_abstract = entry is not None and entry.mark == _ABSTRACT
    if is_abstract or type in TYPES or type in _NO_DEVICES:
        raise QemuError("Parameter 'typename' expects a non-abstract device type")
    if entry is None or entry.mark == _NAMELESS:
        raise DeviceNotFound(type)
    lines = sorted(property.line for property in properties_of(type).values())
    return [f"{type} options:", *lines] if lines else [f"There are no options for {type}."]
