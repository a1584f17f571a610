"""The letters of the text screen: a font of our own, 8 pixels by 16, for printable ASCII.

A letter is drawn on a grid of five columns and seven rows, two more below the base line.  A
row is a digit to the base of 32, its highest bit the leftmost column; strokes are made two pixels
wide, rows between those with horizontal strokes two pixels high.  Letters in which that would
close the gaps begin with a dot and have rows of eight pixels, in hexadecimal.
"""

from __future__ import annotations

GLYPH_COUNT = 256
GLYPH_HEIGHT = 16  # rows of a byte each
_FIRST = 0x20
_TOP = 2  # the row of the cell where the grid begins
_TIMES = (1, 2, 2, 1, 2, 2, 1, 1, 1)  # how high each of its rows becomes
_GLYPHS = """
    0 4444404 .6c6c6c .6c6cfe6cfe6c6c 4fkefu4 .c2c60c183066c6 .386c3876dccc76 448 2488842 8422248
    .006c38fe386c00 044v44 00000cc48 000v 00000cc 0112448 .7ccedef6e6c67c 4c4444e eh1248v
    v2421he 26aiv22 vgu11he 68guhhe v124888 ehhehhe ehhf12c 0cc0cc 0cc00cc48 248g842 00v0v
    8421248 eh12404 .7cc6dededcc07c 4ahhvhh uhhuhhu ehggghe sihhhis vgguggv vgguggg ehgnhhf
    hhhvhhh e44444e 72222ic .c6ccd8f0d8ccc6 ggggggv .c6eefed6c6c6c6 .c6e6f6decec6c6 ehhhhhe
    uhhuggg .7cc6c6c6d6cc76 .fcc6c6fcd8ccc6 fgge11u v444444 hhhhhhe hhhhha4 .c6c6c6d6feeec6
    hha4ahh hha4444 v1248gv e88888e 0gg8442 e22222e 4ah 0000000v 842 00e1fhf ggmphhu 00egghe
    11djhhf 00ehvge 698s888 00fhhhf1e ggmphhh 40c444e 2062222ic .c0c0ccd8f0d8cc c44444e
    .0000ecfed6d6d6 00mphhh 00ehhhe 00uhhhugg 00fhhhf11 00mpggg 00fge1u 88s8896 00hhhjd
    00hhha4 .0000c6c6d6fe6c 00ha4ah 00hhhhf1e 00v248v 2448442 4444444 8442448 .000076dc000000
"""


def _rows(drawing: str) -> bytes:
    """The rows of a letter's grid, as they are seen."""
    if drawing.startswith("."):
        return bytes.fromhex(drawing[1:])
    strokes = [int(digit, 32) << 2 for digit in drawing]
    return bytes(row | row >> 1 for row in strokes)


def _draw(drawing: str) -> bytes:
    """The sixteen rows of a letter's cell."""
    glyph = bytearray(_TOP)
    for row, times in zip(_rows(drawing), _TIMES, strict=False):
        glyph += bytes([row]) * times
    return bytes(glyph.ljust(GLYPH_HEIGHT, b"\0"))


def glyphs() -> bytes:
    """All letters, `GLYPH_HEIGHT` bytes for each of `GLYPH_COUNT` codes; empty where none is."""
    before = bytes(_FIRST * GLYPH_HEIGHT)
    drawn = b"".join(_draw(drawing) for drawing in _GLYPHS.split())
    return (before + drawn).ljust(GLYPH_COUNT * GLYPH_HEIGHT, b"\0")
