"""JSON as QEMU's programs print it: four blanks a level, keys in the order of their hashes."""

from __future__ import annotations

from blockdev.naming import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BUCKETS = 512  # of the dictionaries that QEMU builds its answers from


def json_text(value: Any, depth: int = 0) -> str:
    """A value in lines, without a line break behind the last.

    Args:
        value: dictionaries, lists, strings, integers, truths and None; a dictionary's entries
            come in QEMU's order, whatever theirs is.
        depth: how many levels stand around it.
    """
    if isinstance(value, dict):
        items = [f"{quoted(key)}: {json_text(value[key], depth + 1)}" for key in _ordered(value)]
        return _block("{", items, "}", depth)
    if isinstance(value, list):
        return _block("[", [json_text(item, depth + 1) for item in value], "]", depth)
    if isinstance(value, str):
        return quoted(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _block(begin: str, items: list[str], end: str, depth: int) -> str:
    inner, outer = "    " * (depth + 1), "    " * depth
    body = ",\n".join(inner + item for item in items)
    return f"{begin}\n{body}\n{outer}{end}" if items else f"{begin}\n{outer}{end}"


def _ordered(value: dict[str, Any]) -> Iterator[str]:
    """Keys by bucket; in one bucket the youngest first."""
    numbered = list(enumerate(value))
    numbered.sort(key=lambda item: (_bucket(item[1]), -item[0]))
    return (key for _, key in numbered)


def _bucket(key: str) -> int:
    """The hash of the trivial database, which QEMU's dictionaries use, by its lowest bits."""
    data = key.encode("utf-8", "surrogateescape")
    number = 0x238F13AF * len(data)
    for index, byte in enumerate(data):
        number += byte << index * 5 % 24
    return (1103515243 * number + 12345) % _BUCKETS
