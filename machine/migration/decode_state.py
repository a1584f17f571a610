"""The values of a device section, taken out by its layout and put back."""

from __future__ import annotations

import struct

from machine.vmstate.description import SUBSECTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from machine.migration.decode_layout import FieldLayout, StateLayout

STOPPED = -1  # what a timer has that isn't running


class DecodedField:
    """A field and what it holds.

    Attributes:
        layout: its name, type and size.
        value: a number, bytes, a `DecodedState`, for a queue the list of them; for an array a
            list of any of these.
    """

    __slots__ = ("layout", "value")

    def __init__(self, layout: FieldLayout, value: Any) -> None:
        self.layout = layout
        self.value = value


class DecodedState:
    """The values of a device, struct or subsection.

    Attributes:
        version: the stream's, where it says one, else the description's.
    """

    __slots__ = ("fields", "layout", "subsections", "version")

    def __init__(self, layout: StateLayout) -> None:
        self.layout = layout
        self.version = layout.version
        self.fields: list[DecodedField] = []
        self.subsections: Sequence[DecodedState] = ()

    def count_values(self) -> int:
        """How many single values there are."""
        return sum([_count(field.value) for field in self.fields]) + sum(
            [part.count_values() for part in self.subsections]
        )


def _count(value: Any) -> int:
    if isinstance(value, DecodedState):
        return value.count_values()
    if isinstance(value, list):
        if value and isinstance(value[0], (DecodedState, list)):
            return sum(map(_count, value))
        return len(value)
    return 1


class Misfit(Exception):
    """The bytes aren't as the layout says."""


def decode_state(layout: StateLayout, data: bytes) -> DecodedState:
    """The values in a section's body.

    Raises:
        Misfit: the layout isn't of these bytes.
    """
    state, end = _decode_state(layout, data, 0, len(data))
    if end != len(data):
        raise Misfit
    return state


def _decode_state(
    layout: StateLayout, data: bytes, position: int, end: int
) -> tuple[DecodedState, int]:
    state = DecodedState(layout)
    for field in layout.fields:
        total = field.total
        if position + total > end:
            raise Misfit
        state.fields.append(DecodedField(field, _decode_field(field, data, position)))
        position += total
    if layout.subsections:
        state.subsections = subsections = []
        for part in layout.subsections:
            name = part.name.encode()
            head = bytes([SUBSECTION, len(name)]) + name
            if data[position : position + len(head)] != head:
                raise Misfit
            position += len(head) + 4
            decoded, after = _decode_state(part, data, position, end)
            decoded.version = int.from_bytes(data[position - 4 : position], "big")
            subsections.append(decoded)
            position = after
    return state, position


def _decode_field(field: FieldLayout, data: bytes, position: int) -> Any:
    if field.code:
        values = struct.unpack_from(f">{field.count or 1}{field.code}", data, position)
        return values[0] if field.count is None else list(values[: field.count])
    if field.count is None:
        return _decode_element(field, data, position)
    ends = range(position, position + field.total, field.size) if field.size else ()
    return [_decode_element(field, data, start) for start in ends]


def _decode_element(field: FieldLayout, data: bytes, position: int) -> Any:
    end = position + field.size
    try:
        if field.is_queue and field.state is not None:
            return _decode_queue(field.state, data, position, end)
        if field.state is not None:
            state, after = _decode_state(field.state, data, position, end)
            if after != end:
                raise Misfit
            return state
    except Misfit:
        # Elements of an array are described by the first one only, and may differ all the same.
        pass
    return data[position:end]


def _decode_queue(layout: StateLayout, data: bytes, position: int, end: int) -> list[DecodedState]:
    parts = []
    while position < end and data[position] == 1 and layout.size:
        part, position = _decode_state(layout, data, position + 1, end)
        parts.append(part)
    if data[position:end] != b"\0":
        raise Misfit
    return parts


# --- back to bytes


def encode_state(state: DecodedState, pieces: list[bytes]) -> None:
    """Append the bytes that the values were taken from."""
    for field in state.fields:
        _encode_value(field.layout, field.value, pieces)
    for part in state.subsections:
        name = part.layout.name.encode()
        pieces.append(bytes([SUBSECTION, len(name)]) + name)
        pieces.append((part.version or 0).to_bytes(4, "big"))
        encode_state(part, pieces)


def _encode_value(layout: FieldLayout, value: Any, pieces: list[bytes]) -> None:
    if isinstance(value, bytes):
        pieces.append(value)
    elif layout.code:
        values = value if isinstance(value, list) else [value]
        pieces.append(struct.pack(f">{len(values)}{layout.code}", *values))
    elif isinstance(value, DecodedState):
        encode_state(value, pieces)
    elif layout.is_queue and layout.count is None:
        for part in value:
            pieces.append(b"\1")
            encode_state(part, pieces)
        pieces.append(b"\0")
    else:
        for element in value:
            _encode_element(layout, element, pieces)


def _encode_element(layout: FieldLayout, value: Any, pieces: list[bytes]) -> None:
    if isinstance(value, list):
        for part in value:
            pieces.append(b"\1")
            encode_state(part, pieces)
        pieces.append(b"\0")
    else:
        _encode_value(layout, value, pieces)
