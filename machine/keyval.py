"""QEMU's keyval syntax: ``iothread,id=io0,limits.bps-total=100`` as nested values."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_KEY = 127  # bytes of one part of a key
MAX_INDEX = 1 << 20  # where somebody counts the elements of a list by hand


def parse_keyval(text: str, implied_key: str) -> dict[str, Any]:
    """The values of a text, all of them strings, in dictionaries and lists by their dotted keys.

    Args:
        text: ``key=value`` parted by commas; two commas in a value stand for one.
        implied_key: the key of a first value that has none.

    Raises:
        QemuError: a key can't be, or two can't be together.
    """
    found: dict[str, Any] = {}
    position = 0
    while position < len(text):
        key, start = _key(text, position, "" if position else implied_key)
        if start == position:  # a value without a key ends at the first comma
            value, _, rest = text[start:].partition(",")
            position = len(text) - len(rest)
        else:
            value, end = read_value(text, start)
            position = end + 1
        _put(found, key.split("."), value)
    return {key: _with_lists(value, key) for key, value in found.items()}


def _key(text: str, start: int, implied_key: str) -> tuple[str, int]:
    """A key that begins at `start`, checked; and where its value begins."""
    end = start
    while end < len(text) and text[end] not in "=,":
        end += 1
    key = text[start:end]
    has_value = text[end : end + 1] == "="
    if implied_key and not has_value and key:
        return implied_key, start
    if not all(map(_is_part, key.split("."))) or key[0].isdigit():
        raise QemuError(f"Invalid parameter '{key}'")
    if not has_value:
        raise QemuError(f"Expected '=' after parameter '{key}'")
    return key, end + 1


def _is_part(part: str) -> bool:
    """Whether a part of a key is a name or the index of a list."""
    if part.isascii() and part.isdigit():
        return True
    known = part.isascii() and part.replace("-", "a").replace("_", "a").isalnum()
    return known and part[0].isalpha() and len(part) <= MAX_KEY


def read_value(text: str, start: int) -> tuple[str, int]:
    """A value that begins at `start`, doubled commas made one; and where its end is.

    That is the comma behind it, or the end of the text.
    """
    parts = []
    while True:
        comma = text.find(",", start)
        if comma < 0:
            parts.append(text[start:])
            return "".join(parts), len(text)
        parts.append(text[start:comma])
        if text[comma + 1 : comma + 2] != ",":
            return "".join(parts), comma
        parts.append(",")
        start = comma + 2


def _put(found: dict[str, Any], path: list[str], value: str) -> None:
    at = found
    for depth, part in enumerate(path[:-1], 1):
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise QemuError(f"Parameters '{'.'.join(path[:depth])}.*' used inconsistently")
    if isinstance(at.get(path[-1]), dict):
        raise QemuError(f"Parameters '{'.'.join(path)}.*' used inconsistently")
    at[path[-1]] = value


def _with_lists(value: Any, path: str) -> Any:
    """A dictionary whose keys are numbers is a list."""
    if not isinstance(value, dict):
        return value
    numbers = [key for key in value if key.isdigit()]
    if not numbers:
        return {key: _with_lists(item, f"{path}.{key}") for key, item in value.items()}
    if len(numbers) < len(value):
        raise QemuError(f"Parameters '{path}.*' used inconsistently")
    by_index = {int(key[: len(str(MAX_INDEX))]): item for key, item in value.items()}
    for index in range(len(value)):
        if index not in by_index:
            raise QemuError(f"Parameter '{path}.{index}' missing")
    return [_with_lists(by_index[index], f"{path}.{index}") for index in range(len(value))]
