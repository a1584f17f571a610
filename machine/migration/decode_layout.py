"""What a device section looks like inside, by the description in the stream or by our own.

Nothing is believed: whatever the description says is checked once, here, so that reading by it
can't go wrong in other ways than not fitting the bytes.
"""

from __future__ import annotations

import json

from blockdev.errors import QemuError
from machine.vmstate.description import SUBSECTION
from machine.vmstate.fields import Bool, Buffer, Timer, UnusedBuffer
from machine.vmstate.integers import Integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from machine.migration.decode_source import Cursor
    from machine.vmstate.description import VMStateDescription

DEEPEST = 32  # structs inside each other
MOST_VALUES = 4_000_000  # in one stream; a large machine has 60 000

# The code letter of `struct` for each type of number, by name and size.
NUMBERS = {
    ("bool", 1): "B",
    ("int8", 1): "b",
    ("int16", 2): "h",
    ("int32", 4): "i",
    ("int64", 8): "q",
    ("uint8", 1): "B",
    ("uint16", 2): "H",
    ("uint32", 4): "I",
    ("uint64", 8): "Q",
    ("int32 equal", 4): "i",
    ("int32 le", 4): "i",
    ("uint8 equal", 1): "B",
    ("uint16 equal", 2): "H",
    ("uint32 equal", 4): "I",
    ("int64 equal", 8): "Q",
    ("timer", 8): "q",
}


class FieldLayout:
    """One field, or one element of an array whose elements differ.

    Attributes:
        size: of each element, bytes.
        count: elements; None: not an array.
        index: which element of its array it is, None if it is no such element.
        code: for numbers, the letter that `struct` has for them; else "".
        state: what is inside.
        is_queue: `state` describes each element of a queue.
    """

    __slots__ = ("code", "count", "index", "is_queue", "name", "size", "state", "type")

    def __init__(
        self,
        name: str,
        type: str,
        size: int,
        *,
        count: int | None = None,
        index: int | None = None,
        state: StateLayout | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.size = size
        self.count = count
        self.index = index
        self.state = state
        self.is_queue = type in ("qtailq", "qlist")
        self.code = NUMBERS.get((type, size), "")

    @property
    def total(self) -> int:
        """Bytes of all elements."""
        return self.size * (1 if self.count is None else self.count)


class StateLayout:
    """The fields of a device, struct or subsection, and its subsections.

    Attributes:
        name: of the description; "" where there is none.
        version: of the description, None where there is none.
        size: bytes.
    """

    __slots__ = ("fields", "name", "size", "subsections", "version")

    def __init__(
        self,
        name: str,
        version: int | None,
        fields: Sequence[FieldLayout],
        subsections: Sequence[StateLayout] = (),
    ) -> None:
        self.name = name
        self.version = version
        self.fields = fields
        self.subsections = subsections
        self.size: int = sum([field.total for field in fields]) + sum(
            [6 + len(part.name.encode()) + part.size for part in subsections]
        )


class DeviceLayout:
    """What the stream's description says about one FULL section."""

    __slots__ = ("instance_id", "name", "state")

    def __init__(self, name: str, instance_id: int, state: StateLayout) -> None:
        self.name = name
        self.instance_id = instance_id
        self.state = state


# --- from the stream


def read_description(text: bytes) -> list[DeviceLayout]:
    """What a stream's JSON says about its FULL sections, in their order.

    Raises:
        QemuError: it isn't such a description.
    """
    try:
        return _Reader().devices(json.loads(text))
    except (ValueError, RecursionError, _Wrong) as error:
        reason = str(error) if isinstance(error, _Wrong) else "it is no JSON"
        raise QemuError(f"The stream's description can't be used: {reason}") from None


class _Wrong(Exception):
    """Something in the description isn't as it must be."""


class _Reader:
    """Makes layouts out of JSON, and counts the values that they stand for."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def devices(self, value: Any) -> list[DeviceLayout]:
        devices = _get(value, "devices", list)
        return [
            DeviceLayout(
                _get(device, "name", str),
                _number(device, "instance_id"),
                self._state(device, 1, 1, is_old="vmsd_name" not in device),
            )
            for device in devices
        ]

    def _state(self, value: Any, depth: int, times: int, *, is_old: bool = False) -> StateLayout:
        """`times`: how often it comes."""
        if depth > DEEPEST:
            raise _Wrong("it is too deep")
        name = "" if is_old else _get(value, "vmsd_name", str)
        if len(name.encode()) > 255:
            raise _Wrong(f"the name '{name[:40]}...' is too long")
        version = None if is_old else _number(value, "version")
        fields = [self._field(each, depth, times) for each in _get(value, "fields", list)]
        subsections = _get(value, "subsections", list) if "subsections" in value else []
        return StateLayout(
            name, version, fields, [self._state(each, depth + 1, times) for each in subsections]
        )

    def _field(self, value: Any, depth: int, times: int) -> FieldLayout:
        name = _get(value, "name", str)
        count = _number(value, "array_len") if "array_len" in value else None
        times *= 1 if count is None else count
        self._left -= times
        if self._left < 0:
            raise _Wrong("it has too many values")
        inside = value.get("struct", value)
        state = None
        if isinstance(inside, dict) and "vmsd_name" in inside:
            state = self._state(inside, depth + 1, times)
        return FieldLayout(
            name,
            _get(value, "type", str),
            _number(value, "size"),
            count=count,
            index=_number(value, "index") if "index" in value else None,
            state=state,
        )


def _get(value: Any, key: str, kind: type) -> Any:
    if not isinstance(value, dict):
        raise _Wrong(f"where '{key}' should be is no object")
    found = value.get(key)
    if not isinstance(found, kind):
        raise _Wrong(f"'{key}' is missing or of the wrong kind")
    if isinstance(found, str) and not found.isprintable():
        raise _Wrong(f"'{key}' has characters that no name has")
    return found


def _number(value: Any, key: str) -> int:
    number = _get(value, key, int)
    if isinstance(number, bool) or not 0 <= number < 1 << 63:
        raise _Wrong(f"'{key}' is no number that can be")
    assert isinstance(number, int)
    return number


# --- from our own descriptions


def known_layout(description: VMStateDescription, version: int, cursor: Cursor) -> StateLayout:
    """How a section looks that the stream doesn't describe, but we do.

    Args:
        cursor: where its body begins; it stays there.

    Raises:
        QemuError: it has a subsection that we don't know.
    """
    start = cursor.position
    try:
        return _known_layout(description, version, cursor)
    finally:
        cursor.position = start


def _known_layout(description: VMStateDescription, version: int, cursor: Cursor) -> StateLayout:
    fields = []
    for field in description.fields:
        if not field.is_present(None, version):
            continue
        if isinstance(field, (Integer, Buffer, UnusedBuffer)):
            size = field.size
        elif isinstance(field, Bool):
            size = 1
        else:
            assert isinstance(field, Timer), f"{description.name}/{field.name}: of what size?"
            size = 8
        assert field.count is None or isinstance(field.count, int)
        fields.append(FieldLayout(field.name, field.type_name, size, count=field.count))
    cursor.skip(sum([field.total for field in fields]), f"'{description.name}'")
    known = {part.name.encode(): part for part in description.subsections}
    subsections = []
    own = description.name.encode()
    while True:
        head = cursor.peek(2 + 255 + 4)
        if head[:1] != bytes([SUBSECTION]) or not head[2 : 2 + head[1]].startswith(own):
            break
        name = head[2 : 2 + head[1]]
        if name not in known:
            shown = name.decode("utf-8", "backslashreplace")
            raise QemuError(f"Subsection '{shown}' isn't described")
        cursor.skip(len(name) + 6, "a subsection")
        inner = int.from_bytes(head[2 + len(name) : 6 + len(name)], "big")
        subsections.append(_known_layout(known[name], inner, cursor))
    return StateLayout(description.name, version, fields, subsections)
