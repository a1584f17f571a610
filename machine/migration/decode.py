"""Any saved state, taken apart down to the last field, and put together again byte for byte.

Unlike loading, this goes by the stream alone: it finds out which dialect it has before it, and
what the devices look like from the description at the end.  Without one it knows only the
sections that `KNOWN` describes; the others stay as bytes, up to what looks like the next one.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.globalstate import GLOBALSTATE
from machine.devices.timer import TIMER
from machine.migration.decode_disk import LIVE_READERS, DiskBody
from machine.migration.decode_layout import (
    FieldLayout,
    StateLayout,
    known_layout,
    read_description,
)
from machine.migration.decode_ram import RamBody, RamDecoder, encode_runs, read_runs
from machine.migration.decode_source import LARGEST_PIECE, WINDOW, Cursor
from machine.migration.decode_state import DecodedState, Misfit, decode_state, encode_state
from machine.migration.stream import (
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
    VMDESCRIPTION,
)
from machine.vmstate.description import SUBSECTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.migration.decode_layout import DeviceLayout
    from machine.migration.decode_source import Source

KNOWN = {description.name: description for description in (TIMER, GLOBALSTATE)}

MOST_SECTIONS = 500_000
LARGEST_DESCRIPTION = 16 << 20  # bytes
LONGEST_SEARCH = 64 << 20  # bytes from the end in which the description is looked for
MOST_CANDIDATES = 64
LONGEST_MACHINE_NAME = 1 << 16  # bytes
MOST_CAPABILITIES = 1024

COMMAND = 0x08  # a word from the source to the destination, with its own length


class Section:
    """One section of a stream.

    Attributes:
        type: as in the stream: `SECTION_START`, ..., or `COMMAND`.
        section_id: the stream's short name of it; for a command its number.
        name, instance_id, version_id: of what is saved; in a PART or END those of its START.
        offset: of the body, bytes from the stream's beginning.
        size: of the body, bytes.
        body: the values, what there is of RAM or disks, or bytes that nothing describes.
    """

    __slots__ = (
        "body",
        "instance_id",
        "name",
        "offset",
        "section_id",
        "size",
        "type",
        "version_id",
    )

    def __init__(
        self, type: int, section_id: int, name: str, instance_id: int, version_id: int
    ) -> None:
        self.type = type
        self.section_id = section_id
        self.name = name
        self.instance_id = instance_id
        self.version_id = version_id
        self.offset = 0
        self.size = 0
        self.body: DecodedState | RamBody | DiskBody | bytes = b""


class DecodedStream:
    """A stream taken apart.

    Attributes:
        configuration: None in a stream without one.
        sections: in the stream's order.
        has_footers: each section ends with one.
        description: the JSON text, None in a stream without one.
        size: bytes up to the end of the description.
        trailing: bytes behind it, which mean nothing.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.configuration: DecodedState | None = None
        self.sections: list[Section] = []
        self.has_footers = False
        self.has_addresses = False
        self.description: bytes | None = None
        self.size = 0

    @property
    def trailing(self) -> int:
        return self.source.size - self.size

    @property
    def machine_name(self) -> str | None:
        """The machine type, None where the stream doesn't tell."""
        if self.configuration is None:
            return None
        name: bytes = self.configuration.fields[1].value
        return name.decode("utf-8", "backslashreplace")

    def encode(self) -> Iterator[bytes]:
        """The stream's bytes again, made from what was taken out of it.

        Only the content of RAM pages and of disks and what trails the stream are copied.
        """
        yield MAGIC.to_bytes(4, "big") + VERSION.to_bytes(4, "big")
        if self.configuration is not None:
            yield bytes([CONFIGURATION]) + _encoded(self.configuration)
        for section in self.sections:
            yield from self._encode_section(section)
        yield bytes([EOF])
        if self.description is not None:
            yield bytes([VMDESCRIPTION]) + len(self.description).to_bytes(4, "big")
            yield self.description
        yield from self._copy(self.size, self.source.size)

    def _copy(self, start: int, end: int) -> Iterator[bytes]:
        for offset in range(start, end, WINDOW):
            yield self.source.read(offset, min(WINDOW, end - offset))

    def _encode_section(self, section: Section) -> Iterator[bytes]:
        body = section.body
        if section.type == COMMAND:
            assert isinstance(body, bytes)
            head = section.section_id.to_bytes(2, "big") + len(body).to_bytes(2, "big")
            yield bytes([COMMAND]) + head + body
            return
        section_id = section.section_id.to_bytes(4, "big")
        yield bytes([section.type]) + section_id
        if section.type in (SECTION_START, SECTION_FULL):
            name = section.name.encode("utf-8", "surrogateescape")
            ids = section.instance_id.to_bytes(4, "big") + section.version_id.to_bytes(4, "big")
            yield bytes([len(name)]) + name + ids
        if isinstance(body, RamBody):
            cursor = Cursor(self.source, section.offset)
            runs = read_runs(cursor, has_addresses=self.has_addresses)
            yield from encode_runs(runs, self.source)
        elif isinstance(body, DiskBody):
            yield from self._copy(section.offset, section.offset + section.size)
        else:
            yield body if isinstance(body, bytes) else _encoded(body)
        if self.has_footers:
            yield bytes([SECTION_FOOTER]) + section_id


def _encoded(state: DecodedState) -> bytes:
    pieces: list[bytes] = []
    encode_state(state, pieces)
    return b"".join(pieces)


def decode(source: Source) -> DecodedStream:
    """Take a stream apart.

    Raises:
        QemuError: it is no stream, or damaged; in QEMU's words where it has some.
    """
    return _Decoder(source).decode()


class _Decoder:
    """One decoding."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cursor = Cursor(source)
        self._stream = DecodedStream(source)
        self._ram = RamDecoder()
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
            layout = _configuration_layout(cursor)
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
            self._ram = RamDecoder(has_addresses=self._stream.has_addresses)

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
        elif section.name == "ram":
            section.body = self._ram.decode(cursor)
        elif section.name in LIVE_READERS:
            section.body = LIVE_READERS[section.name](cursor)
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
            self._search_description()
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
        data = self._source.read(cursor.position, left)
        end = -1
        if not self._footers_are_known or self._stream.has_footers:
            end = _footer_in(data, section.section_id)
        if end < 0 and not self._stream.has_footers:
            end = _header_in(data)
            if end < 0 and left == self._source.size - cursor.position and data.endswith(b"\0"):
                end = left - 1  # the last one
        if end < 0:
            raise QemuError(f"Nothing describes {name} or tells where it ends")
        return cursor.take(end, name)

    # --- the description

    def _search_description(self) -> None:
        self._has_searched = True
        found = find_description(self._source, self._cursor.position)
        if found is not None:
            self._description_offset, text = found
            self._stream.description = text
            self._layouts = read_description(text)

    def _read_end(self) -> None:
        """What follows the last section."""
        stream, cursor = self._stream, self._cursor
        if not self._has_searched:
            self._search_description()
        if stream.description is not None:
            if self._description_offset != cursor.position + 5:
                raise QemuError(
                    f"The sections end at byte {cursor.position}, but the description begins at "
                    f"byte {self._description_offset}"
                )
            cursor.position += 5 + len(stream.description)
        stream.size = cursor.position


def _footer_in(data: bytes, section_id: int) -> int:
    """Where a section's footer is, with what can follow it; -1 if nowhere."""
    footer = bytes([SECTION_FOOTER]) + section_id.to_bytes(4, "big")
    place = data.find(footer)
    while place >= 0 and data[place + 5 : place + 6] not in _AFTER_FOOTER:
        place = data.find(footer, place + 1)
    return place


_AFTER_FOOTER = {
    bytes([each]) for each in (EOF, SECTION_START, SECTION_PART, SECTION_END, SECTION_FULL, COMMAND)
}


def _header_in(data: bytes) -> int:
    """Where the header of another FULL section is, with a name that can be one; -1 if nowhere."""
    mark = bytes([SECTION_FULL, 0, 0])  # nobody has more than 65536 sections
    place = data.find(mark)
    while place >= 0:
        size = data[place + 5] if place + 5 < len(data) else 0
        end = place + 6 + size
        name = data[place + 6 : end]
        ids = data[end : end + 8]
        if (
            size
            and len(ids) == 8
            and name.isascii()
            and name.decode().isprintable()
            and ids[:2] == ids[4:6] == b"\0\0"  # instances and versions are small numbers
        ):
            return place
        place = data.find(mark, place + 1)
    return -1


def find_description(source: Source, start: int) -> tuple[int, bytes] | None:
    """The description at the end of a stream.

    It can't be reached from the front, since it is what tells the lengths of devices.

    Args:
        start: it isn't before this.

    Returns:
        Where its text begins, and the text; None if there is none.
    """
    mark = b'{"page_size"'
    candidates = 0
    end = source.size
    lowest = max(start, end - LONGEST_SEARCH)
    while end > lowest:
        begin = max(lowest, end - WINDOW)
        data = source.read(begin, min(end + len(mark) - 1, source.size) - begin)
        place = data.rfind(mark)
        while place >= 0:
            text = _description_at(source, begin + place, start)
            candidates += 1
            if text is not None:
                return begin + place, text
            if candidates == MOST_CANDIDATES:
                return None
            place = data.rfind(mark, 0, place + len(mark) - 1)
        end = begin
    return None


def _description_at(source: Source, offset: int, start: int) -> bytes | None:
    """The text from `offset` on, if that is one with what comes before it."""
    if offset - 6 < start:
        return None
    head = source.read(offset - 6, 6)
    size = int.from_bytes(head[2:], "big")
    if head[:2] != bytes([EOF, VMDESCRIPTION]) or size > LARGEST_DESCRIPTION:
        return None
    if offset + size > source.size or source.read(offset + size - 1, 1) != b"}":
        return None
    return source.read(offset, size)


# --- the configuration


def _configuration_layout(cursor: Cursor) -> StateLayout:
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


def shown(name: str) -> str:
    """A name as it can be printed, whatever is in it."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else f"\\x{ord(c):02x}" for c in text])
