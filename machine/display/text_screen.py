"""What a VGA shows in its text modes: as text, and as a picture."""

from __future__ import annotations

from machine.devices.vga import CURSOR_OFF, FONT, GLYPH_ROOM, GLYPHS, TEXT
from machine.display.font import GLYPH_HEIGHT, glyphs
from machine.display.picture import Picture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.devices.vga import Vga

_NINE_WIDE, _LINE_GRAPHICS = 0x01, 0x04  # of sequencer register 1, attribute register 16: off, on
_LINES_DRAWN = range(0xB0, 0xE0)  # characters whose last column is drawn twice
_BYTES_PER_CELL = 4  # of video memory
_LARGEST = (2048, 2048)  # pixels; what else the registers say is shown as nothing
# What a display shows until the guest has told it what to show.
_UNUSED_WIDTH, _UNUSED_HEIGHT = 640, 480
_UNUSED_TEXT = "Guest has not initialized the display (yet)."
_GREY, _BLACK = b"\xaa\xaa\xaa", b"\0\0\0"


class Geometry:
    """How the screen is laid out, from the registers.

    Attributes:
        columns, lines: characters.
        cell_width, cell_height: pixels.
        start: the first cell shown.
        pitch: cells from one line to the next.
    """

    __slots__ = ("cell_height", "cell_width", "columns", "lines", "pitch", "start")

    def __init__(self, vga: Vga) -> None:
        cr = vga.cr
        self.cell_height = (cr[9] & 0x1F) + 1
        self.cell_width = 8 if vga.sr[1] & _NINE_WIDE else 9
        self.columns = cr[1] + 1
        height = (cr[0x12] | (cr[7] & 0x02) << 7 | (cr[7] & 0x40) << 3) + 1
        self.lines = height // self.cell_height
        self.start = cr[0x0C] << 8 | cr[0x0D]
        self.pitch = cr[0x13] << 1

    @property
    def is_sane(self) -> bool:
        return (
            0 < self.columns * self.cell_width <= _LARGEST[0]
            and 0 < self.lines * self.cell_height <= _LARGEST[1]
        )


def lines(vga: Vga) -> list[str]:
    """The text on the screen, a string for each line; none when no text is shown."""
    geometry = Geometry(vga)
    if not vga.is_text or not geometry.is_sane:
        return []
    return [
        "".join(chr(code) if 0x20 <= code < 0x7F else " " for code, _ in cells)
        for cells in _cells(vga, geometry)
    ]


def picture(vga: Vga) -> Picture:
    """The screen as it is seen."""
    geometry = Geometry(vga)
    if not vga.is_text or not geometry.is_sane:
        return _unused()
    painter = _Painter(vga, geometry.cell_width)
    cursor = _cursor(vga)
    rows = []
    for line, cells in enumerate(_cells(vga, geometry)):
        first = geometry.start + line * geometry.pitch
        for y in range(geometry.cell_height):
            row = [painter.paint(code, attribute, y) for code, attribute in cells]
            if cursor is not None and y in cursor[1] and 0 <= cursor[0] - first < len(row):
                attribute = cells[cursor[0] - first][1]
                row[cursor[0] - first] = painter.fill(attribute)
            rows.append(b"".join(row))
    return Picture(geometry.columns * geometry.cell_width, rows)


def _cells(vga: Vga, geometry: Geometry) -> Iterator[list[tuple[int, int]]]:
    """Character and attribute of each cell, line by line."""
    vram = vga.vram.view
    for line in range(geometry.lines):
        start = (geometry.start + line * geometry.pitch) * _BYTES_PER_CELL
        part = vram[start : start + geometry.columns * _BYTES_PER_CELL]
        characters = bytes(part[TEXT::_BYTES_PER_CELL])
        attributes = bytes(part[TEXT + 1 :: _BYTES_PER_CELL])
        yield list(zip(characters, attributes, strict=False))


def _cursor(vga: Vga) -> tuple[int, range] | None:
    """The cell that the cursor is in, and its rows; None when it isn't shown."""
    cr = vga.cr
    if cr[0x0A] & CURSOR_OFF:
        return None
    return cr[0x0E] << 8 | cr[0x0F], range(cr[0x0A] & 0x1F, (cr[0x0B] & 0x1F) + 1)


class _Painter:
    """Rows of pixels of single characters; each is made once."""

    def __init__(self, vga: Vga, width: int) -> None:
        self._vga = vga
        self._width = width
        self._colours = [_colour(vga, number) for number in range(16)]
        select = vga.sr[3]
        # Bit 3 of the attribute chooses between two of eight fonts.
        self._fonts = [
            _font(vga, select >> 4 & 1 | select << 1 & 6),
            _font(vga, select >> 5 & 1 | select >> 1 & 6),
        ]
        self._draws_lines = bool(vga.ar[0x10] & _LINE_GRAPHICS)
        self._made: dict[tuple[int, int, bool], bytes] = {}

    def paint(self, code: int, attribute: int, y: int) -> bytes:
        font = self._fonts[attribute >> 3 & 1]
        bits = font[code * GLYPH_ROOM + y]
        doubles = self._draws_lines and code in _LINES_DRAWN
        key = bits, attribute, doubles
        made = self._made.get(key)
        if made is None:
            on, off = self._colours[attribute & 15], self._colours[attribute >> 4]
            pixels = [on if bits >> 7 - x & 1 else off for x in range(8)]
            if self._width == 9:
                pixels.append(pixels[7] if doubles else off)
            made = self._made[key] = b"".join(pixels)
        return made

    def fill(self, attribute: int) -> bytes:
        """A row of the cursor."""
        return self._colours[attribute & 15] * self._width


def _font(vga: Vga, number: int) -> bytes:
    """One of the eight fonts that plane 2 has room for."""
    start = number * GLYPHS * GLYPH_ROOM * _BYTES_PER_CELL + FONT
    size = GLYPHS * GLYPH_ROOM * _BYTES_PER_CELL
    return bytes(vga.vram.view[start : start + size : _BYTES_PER_CELL])


def _colour(vga: Vga, number: int) -> bytes:
    """Red, green and blue of one of the sixteen, eight bits each."""
    index = vga.ar[number]
    if vga.ar[0x10] & 0x80:
        index = (vga.ar[0x14] & 0x0F) << 4 | index & 0x0F
    else:
        index = (vga.ar[0x14] & 0x0C) << 4 | index & 0x3F
    six_bits = vga.palette[3 * index : 3 * index + 3]
    # The lowest bit is drawn out, as QEMU does it.
    return bytes((value & 0x3F) << 2 | (value & 1) * 3 for value in six_bits)


def _unused() -> Picture:
    """The screen of a guest that doesn't use it, in cells of 8 by 16."""
    font = glyphs()
    line = (_UNUSED_HEIGHT // GLYPH_HEIGHT - 1) // 2
    before = (_UNUSED_WIDTH // 8 - len(_UNUSED_TEXT)) // 2
    blank = _BLACK * _UNUSED_WIDTH
    rows: list[bytes] = [blank] * _UNUSED_HEIGHT
    for y in range(GLYPH_HEIGHT):
        bits = "".join(f"{font[ord(c) * GLYPH_HEIGHT + y]:08b}" for c in _UNUSED_TEXT)
        pixels = b"".join(_GREY if bit == "1" else _BLACK for bit in bits)
        row = _BLACK * (8 * before) + pixels
        rows[line * GLYPH_HEIGHT + y] = row.ljust(3 * _UNUSED_WIDTH, b"\0")
    return Picture(_UNUSED_WIDTH, rows)
