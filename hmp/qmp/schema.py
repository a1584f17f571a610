"""Every command and event of QMP with its types, read from the table beside this module."""

from __future__ import annotations

import os
import re

from hmp.qmp.types import Alternate, Array, Builtin, Enum, Integer, Member, Struct, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

_PATH = os.path.join(os.path.dirname(__file__), "schema.txt")
_TOKEN = re.compile(r"->|[^\s(){}\[\]|,:=?]+|\S")

NOTHING = Struct(())
BUILTINS: dict[str, Type] = {
    "any": Builtin("value", object),
    "bool": Builtin("boolean", bool),
    "int": Integer(64, is_signed=True),
    "int32": Integer(32, is_signed=True),
    "null": Builtin("null", type(None)),
    "number": Builtin("number", int, float),
    "str": Builtin("string", str),
    "uint8": Integer(8, is_signed=False),
    "uint16": Integer(16, is_signed=False),
    "uint32": Integer(32, is_signed=False),
    "uint64": Integer(64, is_signed=False),
}


class Entry:
    """A command, or an event.

    Attributes:
        name: of it.
        arguments: what a command takes, or an event tells.
        returns: what a command gives back.
        is_event: which of the two it is.
        allows_oob: it may be run out of band.
        features: words that a client can look for.
    """

    __slots__ = ("allows_oob", "arguments", "features", "is_event", "name", "returns")

    def __init__(
        self,
        name: str,
        arguments: Struct,
        returns: Type,
        *,
        is_event: bool,
        allows_oob: bool,
        features: Sequence[str],
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.returns = returns
        self.is_event = is_event
        self.allows_oob = allows_oob
        self.features = features

    def spelled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments that came as keywords, by the names that they have in QMP."""
        names = {each.name.replace("-", "_"): each.name for each in self.arguments.members}
        variant = self.arguments.variants.get(values.get(self.arguments.tag.replace("-", "_"), ""))
        for each in variant.members if variant is not None else ():
            names[each.name.replace("-", "_")] = each.name
        return {names[key]: value for key, value in values.items()}


class Schema:
    """The table; a row is only taken apart when somebody asks for it.

    Attributes:
        names: of commands and events, in QEMU's order.
    """

    def __init__(self, text: str) -> None:
        self._rows: dict[str, tuple[str, str]] = {}
        self._types: dict[str, Type] = dict(BUILTINS)
        self.names: list[str] = []
        for row in _rows(text):
            kind, name, *rest = row.replace("(", " (", 1).split(" ", 2)
            self._rows[name] = (kind, rest[0] if rest else "")
            if kind in ("command", "event"):
                self.names.append(name)

    def has_command(self, name: str) -> bool:
        return self._rows.get(name, ("",))[0] == "command"

    def entry(self, name: str) -> Entry:
        """The command or event of a name that is one of `names`."""
        kind, text = self._rows[name]
        reader = _Reader(text, self.type)
        arguments = NOTHING
        if reader.next == "(":
            arguments = Struct(reader.members())
            arguments.is_open = reader.has_more
        elif reader.next not in ("", "->", "[", "oob"):
            found = self.type(reader.take())
            assert isinstance(found, Struct)
            arguments = found
        returns: Type = NOTHING
        if reader.skip("->"):
            returns = reader.type()
        return Entry(
            name,
            arguments,
            returns,
            is_event=kind == "event",
            allows_oob=reader.skip("oob"),
            features=reader.features(),
        )

    def type(self, name: str) -> Type:
        """The type of a name."""
        if name in self._types:
            return self._types[name]
        kind, text = self._rows[name]
        reader = _Reader(text, self.type)
        if kind == "enum":
            made = self._types[name] = reader.enum()
            return made
        if kind == "alternate":
            types: list[Type] = []
            # Known before its parts are: one of them may refer to it.
            alternate = self._types[name] = Alternate(name, types)
            while reader.next:
                reader.take()
                types.append(reader.type())
            return alternate
        struct = Struct(())
        self._types[name] = struct
        struct.members = reader.members()
        if reader.skip("by"):
            struct.tag = reader.take()
            struct.variants = variants = {}
            while reader.next not in ("", "["):
                value = reader.take()
                reader.take()
                variant = NOTHING if reader.next == "-" else self.type(reader.next)
                reader.take()
                assert isinstance(variant, Struct)
                variants[value] = variant
        struct.features = reader.features()
        return struct


class _Reader:
    """Takes one row apart."""

    def __init__(self, text: str, find: Callable[[str], Type]) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._at = 0
        self._find = find
        self.has_more = False  # whether the members that were read let in others

    @property
    def next(self) -> str:
        """The token to come; empty at the end."""
        return self._tokens[self._at]

    def take(self) -> str:
        token = self.next
        self._at += 1
        return token

    def skip(self, token: str) -> bool:
        """Take this one, if it is the next."""
        if self.next != token:
            return False
        self._at += 1
        return True

    def type(self) -> Type:
        if self.skip("["):
            element = self.type()
            assert self.skip("]")
            return Array(element)
        if self.skip("("):
            values = [self.take()]
            while self.skip("|"):
                values.append(self.take())
            assert self.skip(")")
            return Enum(values, {})
        return self._find(self.take())

    def enum(self) -> Enum:
        values: list[str] = []
        features: dict[str, Sequence[str]] = {}
        while self.next:
            values.append(self.take())
            if self.next == "[":
                features[values[-1]] = self.features()
        return Enum(values, features)

    def members(self) -> list[Member]:
        found: list[Member] = []
        assert self.skip("(")
        while not self.skip(")"):
            name = self.take()
            if name == "...":
                self.has_more = True
                continue
            is_optional = self.skip("?")
            assert self.skip(":"), (name, self.next)
            type = self.type()
            found.append(Member(name, type, is_optional=is_optional, features=self.features()))
            self.skip(",")
        return found

    def features(self) -> Sequence[str]:
        if not self.skip("["):
            return ()
        words = []
        while not self.skip("]"):
            words.append(self.take())
        return words


def _rows(text: str) -> Iterator[str]:
    """The rows of a table, each on one line."""
    row = ""
    for line in text.splitlines():
        if line.startswith(" "):
            row = f"{row} {line.strip()}"
        else:
            if row:
                yield row
            row = line if not line.startswith("#") else ""
    if row:
        yield row


_schema: list[Schema] = []


def schema() -> Schema:
    """The table, read when it is first asked for."""
    if not _schema:
        with open(_PATH, encoding="ascii") as file:
            _schema.append(Schema(file.read()))
    return _schema[0]
