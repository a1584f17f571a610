"""A saved state in words: its sections, and each field with what it holds."""

from __future__ import annotations

from machine.migration.decode_disk import DiskBody
from machine.migration.decode_ram import BlockCounts, RamBody
from machine.migration.decode_state import STOPPED, DecodedState
from machine.migration.decode_stream import shown
from machine.migration.stream import COMMAND, SECTION_END, SECTION_FULL, SECTION_PART, SECTION_START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from machine.migration.decode_state import DecodedField
    from machine.migration.decode_stream import DecodedStream, Section

SECTION_TYPES = {
    SECTION_START: "start",
    SECTION_PART: "part",
    SECTION_END: "end",
    SECTION_FULL: "full",
    COMMAND: "command",
}
_BYTES_SHOWN = 16
_ELEMENTS_SHOWN = 16
_SHORTEST_WORD = 4  # what has fewer letters may be anything
_HEX_FROM = 256  # unsigned numbers from here on are shown as hexadecimal ones


def stream_lines(stream: DecodedStream, filename: str, tag: str | None) -> Iterator[str]:
    """All of a stream, section by section."""
    yield f"{'file' if tag is None else 'image'}: {filename}"
    if tag is not None:
        yield f"snapshot: {tag}"
    if stream.configuration is not None:
        yield f"machine: {shown(stream.machine_name or '')}"
    parts = {
        "configuration": stream.configuration is not None,
        "footers": stream.has_footers,
        "description": stream.description is not None,
    }
    present = ", ".join([name for name, is_there in parts.items() if is_there])
    yield f"stream: {stream.size} bytes with {present or 'nothing but sections'}"
    if stream.trailing:
        yield f"trailing: {stream.trailing} bytes"
    if stream.configuration is not None:
        for part in stream.configuration.subsections:
            yield from _state_lines(part, f"subsection {part.layout.name}", "")
    sections = stream.sections
    index = 0
    while index < len(sections):
        section = sections[index]
        index += 1
        alike = [section]
        if isinstance(section.body, RamBody):
            # A running machine is sent in many parts; together they say more.
            while index < len(sections) and _goes_on(section, sections[index]):
                alike.append(sections[index])
                index += 1
        yield ""
        yield from _section_lines(alike)


def _goes_on(section: Section, following: Section) -> bool:
    return following.type == section.type and following.section_id == section.section_id


def _section_lines(sections: Sequence[Section]) -> Iterator[str]:
    section = sections[0]
    size = sum([each.size for each in sections])
    kind = SECTION_TYPES[section.type]
    if section.type == COMMAND:
        yield f"command {section.section_id}: {size} bytes"
    else:
        times = f" x {len(sections)}" if len(sections) > 1 else ""
        yield (
            f"{shown(section.name)}: {kind}{times}, id {section.section_id}, "
            f"instance {section.instance_id}, version {section.version_id}, {size} bytes"
        )
    body = section.body
    if isinstance(body, RamBody):
        yield from _ram_lines([each.body for each in sections if isinstance(each.body, RamBody)])
    elif isinstance(body, DiskBody):
        for name, (data, zero) in body.counts.items():
            yield f"    pieces of {name_text(name)}: {zero} zero, {data} data"
    elif isinstance(body, bytes):
        if body:
            yield f"    {_bytes_text(body)}"
    else:
        yield from _inner_lines(body, "    ")


def _ram_lines(bodies: Sequence[RamBody]) -> Iterator[str]:
    total: dict[bytes, BlockCounts] = {}
    for body in bodies:
        for entry in body.entries or ():
            address = "" if entry.address is None else f" at {entry.address:#x}"
            yield f"    block {name_text(entry.name)}: {entry.size} bytes{address}"
        for name, counts in body.counts.items():
            total.setdefault(name, BlockCounts()).merge(counts)
    for name, counts in total.items():
        numbers = [f"{getattr(counts, kind)} {kind}" for kind in ("zero", "data")]
        numbers += [
            f"{getattr(counts, kind)} {kind}"
            for kind in BlockCounts.KINDS
            if kind not in ("zero", "data") and getattr(counts, kind)
        ]
        yield f"    pages of {name_text(name)}: {', '.join(numbers)}"


def _state_lines(state: DecodedState, title: str, indent: str) -> Iterator[str]:
    version = "" if state.version is None else f", version {state.version}"
    yield f"{indent}{title}{version}"
    yield from _inner_lines(state, indent + "    ")


def _inner_lines(state: DecodedState, indent: str) -> Iterator[str]:
    for field in state.fields:
        yield from _field_lines(field, indent)
    for part in state.subsections:
        yield from _state_lines(part, f"subsection {part.layout.name}", indent)


def _field_lines(field: DecodedField, indent: str) -> Iterator[str]:
    layout, value = field.layout, field.value
    name = layout.name if layout.index is None else f"{layout.name}[{layout.index}]"
    if isinstance(value, DecodedState):
        yield from _state_lines(value, f"{name} ({layout.type} {value.layout.name})", indent)
    elif isinstance(value, list) and value and not isinstance(value[0], int):
        for index, element in enumerate(value):
            inner = f"{name}[{index}]"
            if isinstance(element, DecodedState):
                title = f"{inner} ({layout.type} {element.layout.name})"
                yield from _state_lines(element, title, indent)
            elif isinstance(element, bytes):
                yield f"{indent}{inner} ({layout.type}): {_bytes_text(element)}"
            else:
                yield f"{indent}{inner} ({layout.type}): {len(element)} elements"
                for part in element:
                    yield from _inner_lines(part, indent + "    ")
    elif isinstance(value, list):
        yield f"{indent}{name} ({layout.type}[{len(value)}]): {value_text(value, layout.type)}"
    else:
        yield f"{indent}{name} ({layout.type}): {value_text(value, layout.type)}"


def value_text(value: Any, type: str) -> str:
    """A number, bytes, or a list of numbers."""
    if isinstance(value, list):
        return _numbers_text(value, type)
    return _bytes_text(value) if isinstance(value, bytes) else _number_text(value, type)


def _numbers_text(values: Sequence[int], type: str) -> str:
    if len(values) > 1 and values.count(values[0]) == len(values):
        return f"all {_number_text(values[0], type)}"
    text = ", ".join([_number_text(value, type) for value in values[:_ELEMENTS_SHOWN]])
    return text if len(values) <= _ELEMENTS_SHOWN else f"{text}, ... {len(values)} elements"


def _number_text(value: int, type: str) -> str:
    if type == "bool" and value in (0, 1):
        return "true" if value else "false"
    if type == "timer" and value == STOPPED:
        return "not running"
    return f"{value:#x}" if type.startswith("u") and value >= _HEX_FROM else str(value)


def _bytes_text(data: bytes) -> str:
    if len(data) > 1 and not any(data):
        return f"{len(data)} bytes, all zero"
    word = data.rstrip(b"\0")
    if len(word) >= _SHORTEST_WORD and word.isascii() and word.decode().isprintable():
        return f'"{word.decode()}" in {len(data)} bytes'
    text = data[:_BYTES_SHOWN].hex(" ")
    return text if len(data) <= _BYTES_SHOWN else f"{text} ... {len(data)} bytes"


def name_text(name: bytes) -> str:
    """A name of a stream, which may be any bytes."""
    return shown(name.decode("utf-8", "surrogateescape"))
