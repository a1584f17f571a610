"""Every type of objects that QEMU has, whether it is simulated here or not, and its properties."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_PATH = os.path.join(os.path.dirname(__file__), "known_types.txt")
# What objects and devices have beside what their makers choose.
_OF_EVERY_DEVICE = frozenset(("type", "realized", "hotpluggable", "hotplugged", "parent_bus"))
_LEGACY = "legacy-"  # another form of a property of that name


class KnownProperty:
    """What QEMU tells of a property.

    Attributes:
        name: of it.
        kind: QOM's name of its type.
        about: a few words; may be empty.
    """

    __slots__ = ("_default", "about", "kind", "name")

    def __init__(self, name: str, kind: str, default: str, about: str) -> None:
        self.name = name
        self.kind = kind
        self._default = default
        self.about = about

    @property
    def has_default(self) -> bool:
        return bool(self._default)

    @property
    def default(self) -> Any:
        """Its value when nobody sets it; None for none."""
        return json.loads(self._default) if self._default else None


class KnownType:
    """A type's place in the tree of types.

    Attributes:
        name: of it.
        parent: the name of what it is one of; "" for none.
        is_abstract: there are no objects of it, only of its children.
        interfaces: the names of those that it has beside its parent's.
    """

    __slots__ = ("interfaces", "is_abstract", "name", "parent", "words")

    def __init__(self, name: str, parent: str, *more: str) -> None:
        self.name = name
        self.parent = "" if parent == "-" else parent
        self.is_abstract = "abstract" in more
        self.interfaces = [word[1:] for word in more if word[0] == "+"]
        self.words: list[str] = []  # of its properties, as the table has them


class KnownTypes:
    """The table.

    Source: what the three QMP commands of Debian's build answer.
    """

    def __init__(self, text: str) -> None:
        self._properties: dict[str, KnownProperty] = {}
        self._types: dict[str, KnownType] = {}
        properties, _, types = text.partition("\n\n")[2].partition("\n\n")
        for line in properties.splitlines():
            word, kind, about = (*line.split("\t"), "")[:3]
            kind, _, default = kind.partition("=")
            name = word.partition("#")[0].replace("~", " ")
            self._properties[word] = KnownProperty(name, kind, default, about)
        known = KnownType("", "")
        for line in types.splitlines():
            if line.startswith(" "):
                known.words += line.split()
            else:
                known = KnownType(*line.split(" "))
                self._types[known.name] = known

    def __iter__(self) -> Iterator[KnownType]:
        """In the order in which QEMU lists them."""
        return iter(self._types.values())

    def find(self, name: str) -> KnownType | None:
        return self._types.get(name)

    def lineage(self, known: KnownType) -> Iterator[KnownType]:
        """A type, its parent, and so on."""
        found: KnownType | None = known
        while found is not None:
            yield found
            found = self._types.get(found.parent)

    def is_a(self, known: KnownType, wanted: str) -> bool:
        """Whether a type is one of another, or has it as an interface."""
        return any(each.name == wanted or wanted in each.interfaces for each in self.lineage(known))

    def properties(self, known: KnownType) -> list[KnownProperty]:
        """All of a type's properties, in the order in which QEMU lists them."""
        words: Sequence[str] = known.words
        if words and words[0].startswith("<"):
            name, _, count = words[0][1:].partition(":")
            found = self.properties(self._types[name])
            if count:
                del found[int(count) :]
            words = words[1:]
        elif known.parent:
            found = self.properties(self._types[known.parent])
        else:
            found = []
        return found + [self._properties[word] for word in words]

    def device_properties(self, known: KnownType) -> list[KnownProperty]:
        """Those that are a device's own matter."""
        return [
            each
            for each in self.properties(known)
            if each.name not in _OF_EVERY_DEVICE and not each.name.startswith(_LEGACY)
        ]


_known: list[KnownTypes] = []


def known_types() -> KnownTypes:
    """The table, read when it is first asked for."""
    if not _known:
        with open(_PATH, encoding="utf-8") as file:
            _known.append(KnownTypes(file.read()))
    return _known[0]
