"""The JSON description that a stream ends with, as text."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    Json: TypeAlias = "dict[str, Json] | list[Json] | Pairs | str | int"
    Entry: TypeAlias = tuple[str, Json]


class Pairs:
    """An object in which keys come several times.

    QEMU describes a queue so: the keys of each element one after the other.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[Entry]) -> None:
        self.pairs = pairs


def to_json(value: Json) -> str:
    """JSON as QEMU spaces it.  Names are ours, so nothing in them wants escaping."""
    if isinstance(value, dict):
        return _object(value.items())
    if isinstance(value, Pairs):
        return _object(value.pairs)
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, str):
        assert value.isascii()
        assert value.isprintable()
        assert not {'"', "\\"} & set(value)
        return f'"{value}"'
    return str(value)


def _object(pairs: Iterable[Entry]) -> str:
    return "{" + ", ".join([f'"{key}": {to_json(item)}' for key, item in pairs]) + "}"
