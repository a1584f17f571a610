"""The answer to `query-qmp-schema`: the table once more, with numbers instead of types' names."""

from __future__ import annotations

from hmp.qmp.schema import BUILTINS, Entry
from hmp.qmp.types import Alternate, Array, Builtin, Enum, Integer, Member, Struct, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_OF_JSON = {"str": "string", "bool": "boolean", "any": "value"}
_INT = BUILTINS["int"]
_NAMES = {id(type): name for name, type in BUILTINS.items() if isinstance(type, Builtin)}


def introspect(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """All that can be said of commands, events and the types they need."""
    return _Introspection().describe(entries)


class _Introspection:
    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._used: dict[str, Type] = {}  # by what they are called
        self._order: list[str] = []  # of their first use
        self._kept: list[Type] = []  # so that no other object gets the same id
        self._count = 0

    def describe(self, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for entry in entries:
            row = {"name": entry.name, "meta-type": "event" if entry.is_event else "command"}
            found.append(row)
            row["arg-type"] = self._use(entry.arguments)
            if not entry.is_event:
                row["ret-type"] = self._use(entry.returns)
            if entry.allows_oob:
                found[-1]["allow-oob"] = True
            _add_features(found[-1], entry.features)
        for name in self._order:  # a type may use types that nobody did before it
            found.append(self._describe_type(name, self._used[name]))
        return found

    def _use(self, type: Type) -> str:
        """What a type is called."""
        if isinstance(type, Array):
            # A list is called after its elements, but comes before them.
            name = self._peek(type)
            if self._note(name, type):
                self._use(type.element)
            return name
        name = self._peek(type)
        self._note(name, type)
        return name

    def _note(self, name: str, type: Type) -> bool:
        """Whether this is the first use of a type, which is to be described then."""
        if name in self._used:
            return False
        self._used[name] = type
        self._order.append(name)
        return True

    def _peek(self, type: Type) -> str:
        if isinstance(type, Array):
            return f"[{self._peek(type.element)}]"
        if isinstance(type, Integer):
            return "int"
        if id(type) in _NAMES:
            return _NAMES[id(type)]
        if id(type) not in self._names:
            self._names[id(type)] = str(self._count)
            self._kept.append(type)
            self._count += 1
        return self._names[id(type)]

    def _describe_type(self, name: str, type: Type) -> dict[str, Any]:
        row: dict[str, Any] = {"name": name}
        if isinstance(type, Array):
            row.update({"meta-type": "array", "element-type": self._use(type.element)})
        elif isinstance(type, Enum):
            members = [_with_features({"name": v}, type.features.get(v, ())) for v in type.values]
            row.update({"meta-type": "enum", "members": members, "values": list(type.values)})
        elif isinstance(type, Alternate):
            members = [{"type": self._use(each)} for each in type.types]
            row.update({"meta-type": "alternate", "members": members})
        elif isinstance(type, Struct):
            members = [self._describe_member(member) for member in type.members]
            row.update({"meta-type": "object", "members": members})
            if type.tag:
                row["tag"] = type.tag
                row["variants"] = [
                    {"case": value, "type": self._use(variant)}
                    for value, variant in type.variants.items()
                ]
            _add_features(row, type.features)
        else:
            word = "int" if isinstance(type, Integer) else _OF_JSON.get(name, name)
            row.update({"meta-type": "builtin", "json-type": word})
        return row

    def _describe_member(self, member: Member) -> dict[str, Any]:
        row: dict[str, Any] = {"name": member.name, "type": self._use(member.type)}
        if member.is_optional:
            row["default"] = None
        return _with_features(row, member.features)


def _add_features(row: dict[str, Any], features: Sequence[str]) -> None:
    if features:
        row["features"] = list(features)


def _with_features(row: dict[str, Any], features: Sequence[str]) -> dict[str, Any]:
    _add_features(row, features)
    return row
