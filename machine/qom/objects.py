"""The objects that stand beside the machine: what ``-object`` and `object_add` make."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.child_order import children_in_order
from machine.qom.object_type import ObjectType, QomObject
from machine.schema import JSON, KEYVAL, Source, read_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from machine.machine import Machine


# Types that QEMU's schema has and Debian's build hasn't.
_NOT_COMPILED = frozenset(
    "authz-listfile authz-pam memory-backend-epc pef-guest s390-pv-guest x-vfio-user-server".split()
)


class BadObjectId(QemuError):
    """An id of characters that an id may not have."""

    def __init__(self) -> None:
        super().__init__(
            "Parameter 'id' expects an identifier\n"
            "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
        )


class Objects:
    """QEMU's ``/objects``.

    Attributes:
        were_used: somebody made, deleted or counted some, which makes the container too.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._objects: dict[str, QomObject] = {}
        self.were_used = False

    def __iter__(self) -> Iterator[QomObject]:
        """In the order in which they were made."""
        return iter(tuple(self._objects.values()))

    def find(self, id: str) -> QomObject | None:
        return self._objects.get(id)

    def of_type(self, *types: str) -> list[QomObject]:
        """Those of some types, as QOM lists them."""
        return [
            self._objects[id]
            for id in children_in_order(self._objects)
            if self._objects[id].type.name in types
        ]

    def add(self, options: Mapping[str, Any], source: Source) -> QomObject:
        """Make an object.

        Args:
            options: with ``qom-type`` and ``id``.

        Raises:
            QemuError: in QEMU's words, in the order in which it looks at the options.
        """
        return self.create(*self.read(options, source))

    @staticmethod
    def read(options: Mapping[str, Any], source: Source) -> tuple[ObjectType, str, dict[str, Any]]:
        """What options ask for: type, id and values; nothing is made.

        Raises:
            QemuError: a value is missing or can't be.
        """
        if "qom-type" not in options:
            raise QemuError("Parameter 'qom-type' is missing")
        name = options["qom-type"]
        if not isinstance(name, str):
            raise QemuError("Invalid parameter type for 'qom-type', expected: string")
        from machine.qom.types import TYPES

        type = TYPES.get(name)
        if name in _NOT_COMPILED:
            raise QemuError(f"invalid object type: {name}")
        if type is None or not type.is_creatable:
            raise QemuError(f"Parameter 'qom-type' does not accept value '{name}'")
        if "id" not in options:
            raise QemuError("Parameter 'id' is missing")
        id = options["id"]
        if not isinstance(id, str):
            raise QemuError("Invalid parameter type for 'id', expected: string")
        values = read_members(type.members, options, source, taken=("qom-type", "id"))
        return type, id, values

    def create(self, type: ObjectType, id: str, values: Mapping[str, Any]) -> QomObject:
        """Make an object of values that were read.

        Raises:
            QemuError: it can't have them, its id is taken, or it can't do its work.
        """
        if not is_identifier(id):
            raise BadObjectId
        made = QomObject(type, id)
        for name, value in values.items():
            made.set(name, value)
        if id in self._objects:
            raise QemuError(
                f"attempt to add duplicate property '{id}' to object (type 'container')"
            )
        self._objects[id] = made
        self.were_used = True
        if type.complete is not None:
            try:
                made.inside = type.complete(self._machine, made)
            except QemuError:
                del self._objects[id]
                raise
        return made

    def delete(self, id: str) -> None:
        """Raises: QemuError: there is no such object, or somebody needs it."""
        self.were_used = True
        found = self._objects.get(id)
        if found is None:
            raise QemuError(f"object '{id}' not found")
        if found.users:
            raise QemuError(f"object '{id}' is in use, can not be deleted")
        del self._objects[id]
        if found.inside is not None:
            found.inside.close()

    def forget(self, id: str) -> None:
        """An object ended by itself."""
        self._objects.pop(id, None)

    def close(self) -> None:
        for found in self:
            if found.inside is not None:
                found.inside.close()

    # -- help

    @staticmethod
    def describe_types() -> list[str]:
        """The names of all types."""
        from machine.qom.types import TYPES

        return [f"  {name}" for name in sorted(TYPES)]

    @staticmethod
    def describe_type(name: str) -> list[str]:
        """What a type's properties are called, a line each."""
        from machine.qom.types import TYPES

        lines = []
        for each in TYPES[name].shown:
            text = f"{each.name}=<{each.kind}>"
            lines.append(f"  {text:<22} - {each.about}" if each.about else f"  {text}")
        return sorted(lines)


def source_of(text: str) -> Source:
    """How a text after ``-object`` or `object_add` is written."""
    return JSON if text.startswith("{") else KEYVAL


def is_identifier(text: str) -> bool:
    """Whether a text may be an id: letters, digits and ``-._``, starting with a letter."""
    rest = text.replace("-", "").replace(".", "").replace("_", "")
    return text.isascii() and text[:1].isalpha() and (rest.isalnum() or not rest)
