"""Values as QEMU writes them: ASCII, blanks after commas and colons, keys in its own order.

QEMU keeps the members of an object in a hash table and walks that, so a reply's keys come in an
order that has nothing to do with how it was made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_BUCKETS = 512
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip
_known: dict[str, int] = {}  # buckets of keys; a reply has many that are alike


def _bucket(key: str) -> int:
    """Where QEMU's table has a key."""
    bucket = _known.get(key)
    if bucket is None:
        data = key.encode("utf-8", "surrogateescape")
        value = 0x238F13AF * len(data)
        for index, byte in enumerate(data):
            value += byte << (index * 5 % 24)
        bucket = (1103515243 * value + 12345) % (1 << 32) % _BUCKETS
        if len(_known) < 4096:  # a client may make up keys without end
            _known[key] = bucket
    return bucket


def in_order(value: Mapping[str, Any]) -> list[str]:
    """An object's keys in QEMU's order; of those in one bucket the last put in comes first."""
    keys = list(value)
    keys.reverse()
    keys.sort(key=_bucket)
    return keys


def to_json(value: Any, *, is_pretty: bool = False) -> str:
    """A value as text on one line, or on many with four blanks a level.

    Args:
        value: of dictionaries, lists, texts, numbers, booleans and None.
        is_pretty: on many lines.
    """
    return "".join(_pieces(value, is_pretty))


def _pieces(value: Any, is_pretty: bool) -> Iterator[str]:
    # A client's own value comes back with a reply, so the depth is the client's: no recursion.
    stack: list[tuple[Iterator[tuple[str, Any]], str]] = []
    prefix = ""
    while True:
        yield prefix
        if isinstance(value, dict | list) and (value or is_pretty):
            if isinstance(value, dict):
                members = iter([(f"{_quoted(key)}: ", value[key]) for key in in_order(value)])
                yield "{"
                end = "}"
            else:
                members = iter([("", item) for item in value])
                yield "["
                end = "]"
            stack.append((members, end))
            is_first = True
        else:
            yield _scalar(value)
            is_first = False
        while stack:
            members, end = stack[-1]
            member = next(members, None)
            if member is None:
                stack.pop()
                yield ("\n" + "    " * len(stack) if is_pretty else "") + end
                is_first = False
                continue
            if not is_first:
                yield "," if is_pretty else ", "
            name, value = member
            prefix = ("\n" + "    " * len(stack) if is_pretty else "") + name
            break
        else:
            return


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.17g}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    return str(value)


def _quoted(text: str) -> str:
    """A string in ASCII; a byte that isn't UTF-8 becomes the replacement character."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return '"' + "".join(map(_escaped, readable)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES or " " <= letter <= "~":
        return _ESCAPES.get(letter, letter)
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02X}{units[i + 1]:02X}" for i in range(0, len(units), 2))
