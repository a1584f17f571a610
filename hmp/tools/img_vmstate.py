"""`hmp-img vmstate`: what a saved machine holds, for people or as JSON."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.state_text import SECTION_TYPES, name_text, stream_lines
from hmp.tools.getopt import UsageError
from hmp.tools.img_words import HelpAsked, ImgWords
from machine.migration.decode import decode
from machine.migration.decode_disk import DiskBody
from machine.migration.decode_ram import BlockCounts, RamBody
from machine.migration.decode_source import FileSource, snapshot_source
from machine.migration.decode_state import STOPPED, DecodedField, DecodedState
from machine.migration.decode_stream import DecodedStream, Section, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from blockdev.graph import Graph
    from hmp.tools.program import Program
    from machine.migration.decode_source import Source

    Write = Callable[[str], object]

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


def run(program: Program, words: Sequence[str]) -> int:
    """The command."""
    arguments = ImgWords(program, words, "hU", {"json": "json"}, shared=[])
    as_json = False
    try:
        for option, _ in arguments:
            as_json = option == "json"
    except HelpAsked:
        program.write(HELP)
        return 0
    operands = arguments.operands
    if len(operands) not in (1, 2):
        raise UsageError("Expecting one image file name")
    show(
        operands[0],
        operands[1] if len(operands) == 2 else None,
        as_json=as_json,
        force_share=arguments.force_share,
        write=program.write,
        report=program.say,
    )
    return 0


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
            for line in stream_lines(stream, filename, name):
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
                name_text(name): {"data": data, "zero": zero}
                for name, (data, zero) in body.counts.items()
            }
        }
    elif isinstance(body, bytes):
        content = {"data": body.hex()}
    else:
        content = {"state": _state_json(body)}
    return {
        "type": SECTION_TYPES[section.type],
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
            {"name": name_text(entry.name), "size": entry.size}
            | ({} if entry.address is None else {"address": entry.address})
            for entry in body.entries
        ]
    content["pages"] = {
        name_text(name): {kind: getattr(counts, kind) for kind in BlockCounts.KINDS}
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
