"""The fields of saved devices by name, so that two states can be put beside each other."""

from __future__ import annotations

from machine.migration.decode_state import DecodedState
from machine.migration.decode_stream import shown
from machine.migration.stream import SECTION_FULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from machine.migration.decode_stream import DecodedStream


class NamedValue:
    """What a field holds: a number, bytes, or a list of numbers or bytes."""

    __slots__ = ("type", "value")

    def __init__(self, type: str, value: Any) -> None:
        self.type = type
        self.value = value


def named_values(stream: DecodedStream) -> dict[str, NamedValue]:
    """Every field of every device, under a name such as ``serial/divider`` or ``serial 1/lcr``."""
    values: dict[str, NamedValue] = {}
    for section in stream.sections:
        if section.type == SECTION_FULL:
            name = shown(section.name)
            if section.instance_id:
                name += f" {section.instance_id}"
            if isinstance(section.body, DecodedState):
                values.update(_values_of(section.body, name))
            elif isinstance(section.body, bytes):
                values[name] = NamedValue("bytes", section.body)
    return values


def differing_values(
    a: Mapping[str, NamedValue], b: Mapping[str, NamedValue]
) -> Iterator[tuple[str, NamedValue | None, NamedValue | None]]:
    """The fields that differ, each with what it holds on either side; None where there is none."""
    for name in dict.fromkeys([*a, *b]):
        in_a, in_b = a.get(name), b.get(name)
        if in_a is None or in_b is None or in_a.value != in_b.value:
            yield name, in_a, in_b


def _values_of(state: DecodedState, before: str) -> Iterator[tuple[str, NamedValue]]:
    for field in state.fields:
        index = "" if field.layout.index is None else f"[{field.layout.index}]"
        name = f"{before}/{field.layout.name}{index}"
        yield from _values_in(field.value, field.layout.type, name)
    for part in state.subsections:
        yield from _values_of(part, f"{before}/{part.layout.name}")


def _values_in(value: Any, type: str, name: str) -> Iterator[tuple[str, NamedValue]]:
    if isinstance(value, DecodedState):
        yield from _values_of(value, name)
    elif isinstance(value, list) and value and isinstance(value[0], (DecodedState, list)):
        for index, element in enumerate(value):
            yield from _values_in(element, type, f"{name}[{index}]")
    else:
        yield name, NamedValue(type, value)
