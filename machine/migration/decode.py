"""Any saved state, taken apart down to the last field, and put together again byte for byte.

Unlike loading, this goes by the stream alone: it finds out which dialect it has before it, and
what the devices look like from the description at the end.  Without one it knows only the
sections that `KNOWN` describes; the others stay as bytes, up to what looks like the next one.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.globalstate import GLOBALSTATE
from machine.devices.timer import TIMER
from machine.migration.decode_configuration import configuration_layout
from machine.migration.decode_disk import BlockDecoder, DirtyBitmapDecoder
from machine.migration.decode_layout import known_layout, read_description
from machine.migration.decode_ram import RamDecoder
from machine.migration.decode_search import find_description, find_footer, find_header
from machine.migration.decode_source import LARGEST_PIECE, Cursor
from machine.migration.decode_state import Misfit, decode_state
from machine.migration.decode_stream import DecodedStream, Section, shown
from machine.migration.stream import (
    COMMAND,
    CONFIGURATION,
    EOF,
    MAGIC,
    OBSOLETE_VERSION,
    SECTION_END,
    SECTION_FOOTER,
    SECTION_FULL,
    SECTION_PART,
    SECTION_START,
    VERSION,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.migration.decode_layout import DeviceLayout, StateLayout
    from machine.migration.decode_source import Source
    from machine.migration.decode_state import DecodedState
    from machine.migration.pages import SavedPages

KNOWN = {description.name: description for description in (TIMER, GLOBALSTATE)}

MOST_SECTIONS = 500_000
FIRST_LOOK = 64 << 10  # bytes in which the end of a section is looked for at first


def decode(source: Source, pages: SavedPages | None = None) -> DecodedStream:
    """Take a stream apart.

    Args:
        pages: is told where each page of memory is.

    Raises:
        QemuError: it is no stream, or damaged; in QEMU's words where it has some.
    """
    return _Decoder(source, pages).decode()


class _Decoder:
    """One decoding."""

    def __init__(self, source: Source, pages: SavedPages | None) -> None:
        self._source = source
        self._pages = pages
        self._cursor = Cursor(source)
        self._stream = DecodedStream(source)
        self._live: dict[str, RamDecoder | BlockDecoder | DirtyBitmapDecoder] = {
            "ram": RamDecoder(pages=pages),
            "block": BlockDecoder(),
            "dirty-bitmap": DirtyBitmapDecoder(),
        }
        self._open: dict[int, Section] = {}  # by section id: where a PART or END belongs
        self._footers_are_known = False
        self._layouts: list[DeviceLayout] | None = None
        self._description_offset: int | None = None
        self._devices = 0
        self._has_searched = False

    def decode(self) -> DecodedStream:
        self._read_header()
        stream, cursor = self._stream, self._cursor
        while True:
            section_type = cursor.number(1, "the type of a section")
            if section_type == EOF:
                break
            if len(stream.sections) == MOST_SECTIONS:
                raise QemuError("The stream has too many sections")
            if section_type == COMMAND:
                self._read_command()
            elif section_type in (SECTION_START, SECTION_FULL):
                self._read_section(self._read_full_header(section_type))
            elif section_type in (SECTION_PART, SECTION_END):
                self._read_section(self._read_part_header(section_type))
            else:
                raise QemuError(f"Unknown savevm section type {section_type}")
        self._read_end()
        return stream

    def _read_header(self) -> None:
        cursor = self._cursor
        if cursor.peek(4) != MAGIC.to_bytes(4, "big"):
            raise QemuError("Not a migration stream")
        cursor.skip(4, "the header")
        version = cursor.number(4, "the header")
        if version == OBSOLETE_VERSION:
            raise QemuError("SaveVM v2 format is obsolete and don't work anymore")
        if version != VERSION:
            raise QemuError("Unsupported migration stream version")
        if cursor.peek(1) == bytes([CONFIGURATION]):
            cursor.skip(1, "the configuration")
            start = cursor.position
            layout = configuration_layout(cursor)
            cursor.position = start
            state = decode_state(layout, cursor.take(layout.size, "the configuration"))
            self._stream.configuration = state
            capabilities = [
                field.value[1:]
                for part in state.subsections
                for field in part.fields
                if field.layout.type == "capability"
            ]
            self._stream.has_addresses = b"x-ignore-shared" in capabilities
            has_addresses = self._stream.has_addresses
            self._live["ram"] = RamDecoder(has_addresses=has_addresses, pages=self._pages)

    # --- sections

    def _read_full_header(self, section_type: int) -> Section:
        cursor = self._cursor
        what = "the header of a section"
        section_id = cursor.number(4, what)
        name = cursor.counted(what)
        if not name:
            raise QemuError(f"Unable to read ID string for section {section_id}")
        section = Section(
            section_type,
            section_id,
            name.decode("utf-8", "surrogateescape"),
            cursor.number(4, what),
            cursor.number(4, what),
        )
        if section_type == SECTION_START:
            self._open[section_id] = section
        return section

    def _read_part_header(self, section_type: int) -> Section:
        section_id = self._cursor.number(4, "the header of a section")
        start = self._open.get(section_id)
        if start is None:
            raise QemuError(f"Unknown savevm section {section_id}")
        return Section(section_type, section_id, start.name, start.instance_id, start.version_id)

    def _read_command(self) -> None:
        cursor = self._cursor
        command = cursor.number(2, "a command")
        size = cursor.number(2, "a command")
        section = Section(COMMAND, command, "", 0, 0)
        section.offset, section.size = cursor.position, size
        section.body = cursor.take(size, "a command")
        self._stream.sections.append(section)

    def _read_section(self, section: Section) -> None:
        cursor = self._cursor
        section.offset = cursor.position
        if section.type == SECTION_FULL:
            section.body = self._read_device(section)
        elif section.name in self._live:
            section.body = self._live[section.name].decode(cursor)
        else:
            raise QemuError(f"Section '{shown(section.name)}' is of a kind that isn't known")
        section.size = cursor.position - section.offset
        self._stream.sections.append(section)
        self._read_footer(section)

    def _read_footer(self, section: Section) -> None:
        cursor = self._cursor
        has_footer = cursor.peek(1) == bytes([SECTION_FOOTER])
        if not self._footers_are_known:
            self._footers_are_known = True
            self._stream.has_footers = has_footer
        if not self._stream.has_footers:
            return
        if not has_footer:
            raise QemuError(f"Missing section footer for {shown(section.name)}")
        cursor.skip(1, "a footer")
        section_id = cursor.number(4, "a footer")
        if section_id != section.section_id:
            raise QemuError(
                f"Mismatched section id in footer for {shown(section.name)} - "
                f"read {section_id:#x} expected {section.section_id:#x}"
            )

    # --- devices

    def _read_device(self, section: Section) -> DecodedState | bytes:
        name = shown(section.name)
        if not self._has_searched:
            self._search_description(self._cursor.position)
        if self._layouts is not None:
            layout = self._described_layout(section)
        elif section.name in KNOWN:
            layout = known_layout(KNOWN[section.name], section.version_id, self._cursor)
        else:
            return self._read_undescribed(section)
        body = self._cursor.take(layout.size, f"section '{name}'")
        try:
            return decode_state(layout, body)
        except Misfit:
            raise QemuError(f"The description of section '{name}' doesn't fit it") from None

    def _described_layout(self, section: Section) -> StateLayout:
        """The k-th FULL section is the k-th device of the description; names may come twice."""
        assert self._layouts is not None
        name = shown(section.name)
        if self._devices == len(self._layouts):
            raise QemuError(f"Section '{name}' isn't described")
        device = self._layouts[self._devices]
        self._devices += 1
        if (device.name, device.instance_id) != (section.name, section.instance_id):
            raise QemuError(
                f"Section '{name}' {section.instance_id} is described as "
                f"'{device.name}' {device.instance_id}"
            )
        return device.state

    def _read_undescribed(self, section: Section) -> bytes:
        """The body of a section that nothing describes, up to what looks like its end."""
        cursor = self._cursor
        name = f"section '{shown(section.name)}'"
        left = min(self._source.size - cursor.position, LARGEST_PIECE)
        may_have_footer = not self._footers_are_known or self._stream.has_footers
        window = FIRST_LOOK
        while True:
            data = self._source.read(cursor.position, min(window, left))
            end = find_footer(data, section.section_id) if may_have_footer else -1
            if end < 0 and not self._stream.has_footers:
                end = find_header(data)
            if end >= 0:
                return cursor.take(end, name)
            if window >= left:
                break
            window *= 4
        if not self._stream.has_footers and data.endswith(bytes([EOF])):
            return cursor.take(len(data) - 1, name)  # the last one
        raise QemuError(f"Nothing describes {name} or tells where it ends")

    # --- the description

    def _search_description(self, start: int) -> None:
        self._has_searched = True
        found = find_description(self._source, start)
        if found is not None:
            self._description_offset, text = found
            self._stream.description = text
            self._layouts = read_description(text)

    def _read_end(self) -> None:
        """What follows the last section."""
        stream, cursor = self._stream, self._cursor
        if not self._has_searched:
            self._search_description(cursor.position - 1)
        if stream.description is not None:
            if self._description_offset != cursor.position + 5:
                raise QemuError(
                    f"The sections end at byte {cursor.position}, but the description begins at "
                    f"byte {self._description_offset}"
                )
            cursor.position += 5 + len(stream.description)
        stream.size = cursor.position
