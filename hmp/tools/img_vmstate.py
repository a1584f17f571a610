"""`hmp-img vmstate`: what a saved machine holds, for people or as JSON."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.migration.decode import decode
from machine.migration.decode_disk import DiskBody
from machine.migration.decode_ram import BlockCounts, RamBody
from machine.migration.decode_source import FileSource, snapshot_source
from machine.migration.decode_state import STOPPED, DecodedField, DecodedState
from machine.migration.decode_stream import DecodedStream, Section, shown
from machine.migration.stream import COMMAND, SECTION_END, SECTION_FULL, SECTION_PART, SECTION_START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from blockdev.graph import Graph
    from machine.migration.decode_source import Source

    Write = Callable[[str], object]

OPTIONS = ("help", "json", "force-share")

HELP = """\
usage: hmp-img vmstate [-U] [--json] filename [snapshot]

Shows what a saved machine holds: the sections of a migration stream in a file, or of the VM state
in a snapshot of a qcow2 image, each with all its fields.  Without a snapshot's tag or id the
image must have just one with VM state.

    '-U', '--force-share'  open the image even while somebody else writes to it
    '--json'               everything, as one JSON object:

  {"filename", "snapshot" or null, "machine" or null, "size", "trailing",
   "dialect": {"configuration", "footers", "description": true or false},
   "configuration": STATE or null, "sections": [SECTION...]}

  SECTION  {"type": "start", "part", "end", "full" or "command", "id", "name", "instance",
            "version", "offset", "size"}, and one of
            "state": STATE      the fields of a device
            "ram": {"total", "blocks": [{"name", "size"}...]} (only in "start"),
                   "pages": {BLOCK: {"zero", "filled", "data", "changed", "compressed"}}}
            "disks": {NAME: {"data", "zero"}}  how many pieces of disks or dirty bitmaps
            "data": HEX         what nothing describes
  STATE    {"name" or "", "version" or null, "fields": [FIELD...], "subsections": [STATE...]}
  FIELD    {"name", "type", "size", "value"}, and "index" for one element of an array whose
            elements differ.  The value is a number; true or false; the time of a timer or null
            for one that isn't running; HEX for what is no number; a STATE for a struct; and for
            an array or a queue the list of its elements.  "size" is that of one element.

  Offsets and sizes are in bytes.
"""

_TYPES = {
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
_IMAGE_MAGIC = b"QFI\xfb"


def show(
    filename: str,
    tag: str | None,
    *,
    as_json: bool,
    force_share: bool,
    write: Write,
    report: Callable[[str], object],
) -> None:
    """Print a saved state.

    Args:
        filename: of a stream, or of an image.
        tag: which snapshot of the image.
        report: takes what is to be said without failing.

    Raises:
        QemuError: it can't be opened, or is damaged.
    """
    from blockdev.graph import Graph

    graph = Graph(report)
    try:
        source, name = _open(graph, filename, tag, force_share=force_share)
        stream = decode(source)
        if as_json:
            import json

            write(json.dumps(_stream_json(stream, filename, name), indent=4) + "\n")
        else:
            for line in _stream_lines(stream, filename, name):
                write(f"{line}\n")
    finally:
        graph.close()


def _open(
    graph: Graph, filename: str, tag: str | None, *, force_share: bool
) -> tuple[Source, str | None]:
    """What is to be decoded, and the tag of the snapshot that it is in."""
    from blockdev.naming import local_file
    from blockdev.node import CacheMode

    cache = CacheMode()
    try:
        file = graph.open_file(
            local_file(filename), read_only=True, cache=cache, locking=not force_share
        )
        if file.read(0, len(_IMAGE_MAGIC)) != _IMAGE_MAGIC:
            if tag is not None:
                raise QemuError("It is no image, so it has no snapshots")
            return FileSource(file), None
        # The state is in the image itself, whatever lies under it.
        node = graph.open_format(
            "qcow2", file, read_only=True, cache=cache, open_backing=lambda: None
        )
    except QemuError as error:
        raise QemuError(f"Could not open '{filename}': {error}", error.errno_value) from error
    source, snapshot = snapshot_source(node, tag)
    return source, snapshot.name


# --- as JSON


def _stream_json(stream: DecodedStream, filename: str, tag: str | None) -> dict[str, Any]:
    configuration = stream.configuration
    return {
        "filename": filename,
        "snapshot": tag,
        "machine": stream.machine_name,
        "size": stream.size,
        "trailing": stream.trailing,
        "dialect": {
            "configuration": configuration is not None,
            "footers": stream.has_footers,
            "description": stream.description is not None,
        },
        "configuration": None if configuration is None else _state_json(configuration),
        "sections": [_section_json(section) for section in stream.sections],
    }


def _section_json(section: Section) -> dict[str, Any]:
    body = section.body
    content: dict[str, Any]
    if isinstance(body, RamBody):
        content = {"ram": _ram_json(body)}
    elif isinstance(body, DiskBody):
        content = {
            "disks": {
                _text(name): {"data": data, "zero": zero}
                for name, (data, zero) in body.counts.items()
            }
        }
    elif isinstance(body, bytes):
        content = {"data": body.hex()}
    else:
        content = {"state": _state_json(body)}
    return {
        "type": _TYPES[section.type],
        "id": section.section_id,
        "name": shown(section.name),
        "instance": section.instance_id,
        "version": section.version_id,
        "offset": section.offset,
        "size": section.size,
        **content,
    }


def _ram_json(body: RamBody) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if body.entries is not None:
        content["total"] = body.total
        content["blocks"] = [
            {"name": _text(entry.name), "size": entry.size}
            | ({} if entry.address is None else {"address": entry.address})
            for entry in body.entries
        ]
    content["pages"] = {
        _text(name): {kind: getattr(counts, kind) for kind in BlockCounts.KINDS}
        for name, counts in body.counts.items()
    }
    return content


def _state_json(state: DecodedState) -> dict[str, Any]:
    return {
        "name": state.layout.name,
        "version": state.version,
        "fields": [_field_json(field) for field in state.fields],
        "subsections": [_state_json(part) for part in state.subsections],
    }


def _field_json(field: DecodedField) -> dict[str, Any]:
    layout = field.layout
    entry: dict[str, Any] = {"name": layout.name, "type": layout.type, "size": layout.size}
    if layout.index is not None:
        entry["index"] = layout.index
    entry["value"] = _value_json(field.value, layout.type)
    return entry


def _value_json(value: Any, type: str) -> Any:
    if isinstance(value, list):
        return [_value_json(element, type) for element in value]
    if isinstance(value, DecodedState):
        return _state_json(value)
    if isinstance(value, bytes):
        return value.hex()
    if type == "bool" and value in (0, 1):
        return value == 1
    return None if type == "timer" and value == STOPPED else value


# --- for people


def _stream_lines(stream: DecodedStream, filename: str, tag: str | None) -> Iterator[str]:
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
    kind = _TYPES[section.type]
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
            yield f"    pieces of {_text(name)}: {zero} zero, {data} data"
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
            yield f"    block {_text(entry.name)}: {entry.size} bytes{address}"
        for name, counts in body.counts.items():
            total.setdefault(name, BlockCounts()).merge(counts)
    for name, counts in total.items():
        numbers = [f"{getattr(counts, kind)} {kind}" for kind in ("zero", "data")]
        numbers += [
            f"{getattr(counts, kind)} {kind}"
            for kind in BlockCounts.KINDS
            if kind not in ("zero", "data") and getattr(counts, kind)
        ]
        yield f"    pages of {_text(name)}: {', '.join(numbers)}"


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
        yield f"{indent}{name} ({layout.type}[{len(value)}]): {_numbers_text(value, layout.type)}"
    elif isinstance(value, bytes):
        yield f"{indent}{name} ({layout.type}): {_bytes_text(value)}"
    else:
        yield f"{indent}{name} ({layout.type}): {_number_text(value, layout.type)}"


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


def _text(name: bytes) -> str:
    return shown(name.decode("utf-8", "surrogateescape"))
