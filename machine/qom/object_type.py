"""Types of objects, and one object of a type."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.child_order import children_in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from machine.machine import Machine
    from machine.qom.property import Property


class ObjectType:
    """A type of objects.

    Args:
        name: of the type.
        groups: its properties, those of its ancestors first.
        complete: makes it do its work, when it has its properties and its place in the tree;
            raises QemuError when it can't. May return what the object then has.
        is_creatable: `object_add` knows it; else only the help does.
        hidden: further properties, which the help doesn't know.
    """

    __slots__ = ("complete", "groups", "is_creatable", "name", "shown")

    def __init__(
        self,
        name: str,
        *groups: Sequence[Property],
        complete: Callable[[Machine, QomObject], Any] | None = None,
        is_creatable: bool = True,
        hidden: Sequence[Property] = (),
    ) -> None:
        self.name = name
        self.shown = [each for group in groups for each in group]
        self.groups = (*groups, hidden)
        self.complete = complete
        self.is_creatable = is_creatable

    @property
    def members(self) -> list[Property]:
        return [each for group in self.groups for each in group]

    @property
    def names_in_order(self) -> list[str]:
        """The properties' names as QOM lists them."""
        return [
            name for group in self.groups for name in children_in_order(each.name for each in group)
        ]

    def find(self, name: str) -> Property | None:
        return next((each for each in self.members if each.name == name), None)


class QomObject:
    """One object.

    Attributes:
        type: its type.
        id: its name in the container.
        values: by property.
        inside: what it does its work with; None for nothing.
        users: who needs it; it can't be deleted meanwhile.
        is_first: it was there before the board.
    """

    __slots__ = ("id", "inside", "is_first", "type", "users", "values")

    def __init__(self, type: ObjectType, id: str) -> None:
        self.type = type
        self.id = id
        self.values: dict[str, Any] = {each.name: each.default for each in type.members}
        self.inside: Any = None
        self.users = 0
        self.is_first = False

    def set(self, name: str, value: Any) -> None:
        """Raises: QemuError: there is no such property, or it can't have the value."""
        found = self.type.find(name)
        if found is None:
            raise QemuError(f"Property '{self.type.name}.{name}' not found")
        if found.check is not None:
            found.check(self, value)
        self.values[name] = value
