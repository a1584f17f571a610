"""Requests that are almost right: arguments that are missing, too many, or of another type."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

from hmp.qmp.schema import schema
from hmp.qmp.types import Alternate, Array, Builtin, Enum, Integer, Member, Struct, Type, json_type

# These read their arguments elsewhere, or end the program.
NOT_DRAWN = frozenset(("device_add", "quit", "qmp_capabilities"))
_WRONG: list[Any] = ["x", 1, -1, 1 << 40, 1 << 63, 1 << 64, 1.5, True, None, [], {}, [1], {"a": 1}]


def requests(commands: list[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Requests that no command ever runs for; numbered."""
    draw = random.Random(seed)
    made = []
    while len(made) < count:
        name = draw.choice(commands)
        if name in NOT_DRAWN:
            continue
        arguments = _spoilt(schema().entry(name).arguments, draw)
        made.append({"execute": name, "arguments": arguments, "id": len(made)})
    return made


def mistakes(commands: list[str]) -> list[dict[str, Any]]:
    """Each command without each argument it needs, with each of a wrong kind, and with one more.

    An argument that no command knows is always there: it is told of where nothing else is wrong,
    so that none of these requests ever runs.
    """
    made: list[dict[str, Any]] = []
    for name in commands:
        if name in NOT_DRAWN:
            continue
        for arguments in _mistakes(schema().entry(name).arguments, depth=0):
            made.append({"execute": name, "arguments": {**arguments, "zzz": 1}, "id": len(made)})
    return made


def _mistakes(struct: Struct, depth: int) -> Iterator[dict[str, Any]]:
    yield from _mistakes_in(struct, struct.members, _least(struct), depth)
    for case, variant in struct.variants.items():
        right = {**_least(struct), struct.tag: case}
        yield from _mistakes_in(struct, variant.members, {**right, **_least(variant)}, depth)


def _mistakes_in(
    struct: Struct, members: Sequence[Member], right: dict[str, Any], depth: int
) -> Iterator[dict[str, Any]]:
    """What can be wrong with some members of values that are right so far."""
    yield right
    for member in members:
        if not member.is_optional:
            yield {key: value for key, value in right.items() if key != member.name}
        for value in _wrong_kinds(member.type):
            yield {**right, member.name: value}
        if isinstance(member.type, Struct) and depth == 0:
            for inner in _mistakes(member.type, depth + 1):
                yield {**right, member.name: inner}


def _wrong_kinds(type: Type) -> Iterator[Any]:
    """A value of each of JSON's types that isn't this one; a word that isn't one of some."""
    if isinstance(type, Enum):
        yield "nonsense"
    if isinstance(type, Array):
        yield [None]
        yield [{}, 1]
    for value in ("x", 1.5, True, None, {}):
        if json_type(value) != type.json_name or isinstance(value, float):
            yield value


def _least(struct: Struct) -> dict[str, Any]:
    """What a structure can't do without."""
    found = {each.name: _plain(each.type) for each in struct.members if not each.is_optional}
    variant = struct.variants.get(found.get(struct.tag, ""))
    return {**found, **(_least(variant) if variant is not None else {})}


def _plain(type: Type) -> Any:
    if isinstance(type, Struct):
        return _least(type)
    if isinstance(type, Enum):
        return type.values[0]
    if isinstance(type, Array):
        return [_plain(type.element)]
    if isinstance(type, Alternate):
        return _plain(type.types[-1])
    return {"string": "x", "boolean": True, "number": 1, "null": None, "value": 1}[type.json_name]


def _spoilt(struct: Struct, draw: random.Random) -> dict[str, Any]:
    value = _struct(struct, draw, depth=0)
    # The last to be looked at: whatever else is wrong is told first.
    value[f"zzz-{draw.randrange(10)}"] = 1
    for _ in range(draw.randrange(3)):
        _spoil(value, draw)
    return value


def _spoil(value: dict[str, Any], draw: random.Random) -> None:
    """Make something wrong, here or further inside."""
    names = [name for name in value if not name.startswith("zzz-")]
    if not names:
        value[f"zzz-{draw.choice('abcdefgh')}"] = None
        return
    name = draw.choice(names)
    inner = value[name]
    if isinstance(inner, list) and inner and isinstance(inner[0], dict):
        inner = inner[0]
    if isinstance(inner, dict) and inner and draw.random() < 0.6:
        _spoil(inner, draw)
    elif draw.random() < 0.3:
        del value[name]
    else:
        value[name] = copy.deepcopy(draw.choice(_WRONG))


def _value(type: Type, draw: random.Random, depth: int) -> Any:
    if isinstance(type, Struct):
        return _struct(type, draw, depth)
    if isinstance(type, Enum):
        return draw.choice([*type.values, "nonsense"] if draw.random() < 0.2 else type.values)
    if isinstance(type, Array):
        return [_value(type.element, draw, depth + 1) for _ in range(draw.randrange(1, 3))]
    if isinstance(type, Alternate):
        return _value(draw.choice(type.types), draw, depth + 1)
    if isinstance(type, Integer):
        return draw.choice([0, 1, -1, 127, 255, 256, 65536, 1 << 31, 1 << 32, 1 << 63])
    assert isinstance(type, Builtin)
    return {"string": "x", "boolean": True, "number": 1.5, "null": None, "value": 1}[type.json_name]


def _struct(struct: Struct, draw: random.Random, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for member in struct.members:
        if not member.is_optional or draw.random() < (0.3 if depth < 3 else 0):
            value[member.name] = _value(member.type, draw, depth + 1)
    variant = struct.variants.get(value.get(struct.tag, "")) if struct.tag else None
    if variant is not None:
        value.update(_struct(variant, draw, depth + 1))
    return value
