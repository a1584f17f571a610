"""The configuration section: the machine's name, and what both sides must have alike."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.migration.decode_layout import FieldLayout, StateLayout
from machine.vmstate.description import SUBSECTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.decode_source import Cursor

LONGEST_MACHINE_NAME = 1 << 16  # bytes
MOST_CAPABILITIES = 1024


def configuration_layout(cursor: Cursor) -> StateLayout:
    """How the configuration section looks; it isn't described, but 7.2 knows only these parts."""
    what = "the configuration"
    size = cursor.number(4, what)
    if size > LONGEST_MACHINE_NAME:
        raise QemuError(f"A machine name of {size} bytes is too long")
    cursor.skip(size, what)
    subsections = []
    while cursor.peek(1) == bytes([SUBSECTION]):
        cursor.skip(1, what)
        name = cursor.counted(what).decode("utf-8", "backslashreplace")
        version = cursor.number(4, what)
        start = cursor.position
        if name == "configuration/target-page-bits":
            fields = [FieldLayout("page_bits", "uint32", 4)]
        elif name == "configuration/uuid":
            fields = [FieldLayout("uuid", "buffer", 16)]
        elif name == "configuration/capabilities":
            fields = _capability_layouts(cursor)
        else:
            raise QemuError(f"Subsection '{name}' isn't described")
        part = StateLayout(name, version, fields)
        cursor.position = start
        cursor.skip(part.size, what)
        subsections.append(part)
    return StateLayout(
        "configuration",
        None,
        [FieldLayout("len", "uint32", 4), FieldLayout("name", "buffer", size)],
        subsections,
    )


def _capability_layouts(cursor: Cursor) -> list[FieldLayout]:
    """The number of capabilities and their names, each with its length before it."""
    what = "the capabilities"
    count = cursor.number(4, what)
    if count > MOST_CAPABILITIES:
        raise QemuError(f"{count} capabilities are too many")
    fields = [FieldLayout("caps_count", "uint32", 4)]
    for index in range(count):
        size = 1 + len(cursor.counted(what))
        fields.append(FieldLayout("capabilities", "capability", size, index=index))
    return fields
