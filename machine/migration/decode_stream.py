"""A saved state taken apart: its sections, and how they give the same bytes again."""

from __future__ import annotations

from machine.migration.decode_disk import DiskBody
from machine.migration.decode_ram import RamBody, encode_runs, read_runs
from machine.migration.decode_source import WINDOW, Cursor
from machine.migration.decode_state import DecodedState, encode_state
from machine.migration.stream import (
    COMMAND,
    CONFIGURATION,
    EOF,
    MAGIC,
    SECTION_FOOTER,
    SECTION_FULL,
    SECTION_START,
    VERSION,
    VMDESCRIPTION,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.migration.decode_source import Source


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


def shown(name: str) -> str:
    """A name as it can be printed, whatever is in it."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else f"\\x{ord(c):02x}" for c in text])
