"""A terminal's screen as an SVG picture: its letters on a grid, in the sixteen colours."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

CELL_WIDTH = 8.43  # pixels
LINE_HEIGHT = 18
FONT_SIZE = 14
MARGIN = 12
_FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"

# What pyte calls the colours -> on a dark ground, on a light one.
_NAMES = "black red green brown blue magenta cyan white".split()
_DARK = "#1c1f26 #e06c75 #98c379 #d7a65f #61afef #c678dd #56b6c2 #c8ccd4".split()
_DARK_BRIGHT = "#6b7280 #ff7b86 #b5e890 #f2cc7c #86c5ff #dd9cf0 #78dce8 #ffffff".split()
_LIGHT = "#24292f #c0262d #1a7f37 #9a6700 #0550ae #8250df #1b7c83 #d0d7de".split()
_LIGHT_BRIGHT = "#6e7781 #a40e26 #2da44e #bf8700 #218bff #a475f9 #3192aa #ffffff".split()


def _palette(plain: list[str], bright: list[str]) -> dict[str, str]:
    named = dict(zip(_NAMES, plain, strict=True))
    named |= {f"bright{name}": colour for name, colour in zip(_NAMES, bright, strict=True)}
    return named | {"brightyellow": named["brightbrown"], "yellow": named["brown"]}


PALETTES = {
    # name: ground, letters, the sixteen
    "dark": ("#14161b", "#dfe3ea", _palette(_DARK, _DARK_BRIGHT)),
    "light": ("#ffffff", "#24292f", _palette(_LIGHT, _LIGHT_BRIGHT)),
}


def render(screen: Any, *, theme: str = "dark", title: str = "") -> str:
    """The picture of a `pyte.Screen`.

    Args:
        screen: what it shows, cursor included.
        theme: a key of `PALETTES`.
        title: for those who can't see the picture.
    """
    ground, letters, colours = PALETTES[theme]
    width = round(screen.columns * CELL_WIDTH + 2 * MARGIN)
    height = screen.lines * LINE_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{ground}"/>',
        f'<g font-family="{_FONTS}" font-size="{FONT_SIZE}" xml:space="preserve">',
    ]
    for y in range(screen.lines):
        row = [screen.buffer[y][x] for x in range(screen.columns)]
        for look, cells in groupby(enumerate(row), key=lambda pair: _look(pair[1])):
            run = list(cells)
            parts += _run(
                run[0][0], y, [cell.data for _, cell in run], look, ground, letters, colours
            )
    cursor = screen.cursor
    if not cursor.hidden:
        x, top = _place(cursor.x, cursor.y)
        parts.append(
            f'<rect x="{x:.1f}" y="{top}" width="{CELL_WIDTH}" height="{LINE_HEIGHT}" '
            f'fill="{letters}" fill-opacity="0.5"/>'
        )
    return "\n".join([*parts, "</g>", "</svg>", ""])


Look = tuple[str, str, bool, bool, bool, bool]


def _look(cell: Any) -> Look:
    return (cell.fg, cell.bg, cell.bold, cell.reverse, cell.underscore, cell.italics)


def _place(x: int, y: int) -> tuple[float, int]:
    return MARGIN + x * CELL_WIDTH, MARGIN + y * LINE_HEIGHT


def _run(
    x: int, y: int, cells: list[str], look: Look, ground: str, letters: str, colours: dict[str, str]
) -> list[str]:
    """Cells of one look: their ground, and their letters."""
    fg, bg, bold, reverse, underscore, italics = look
    front, back = colours.get(fg, letters), colours.get(bg, ground)
    if reverse:
        front, back = back, front
    text = "".join(cells)
    left, top = _place(x, y)
    parts = []
    width = len(cells) * CELL_WIDTH
    if back != ground:
        parts.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{LINE_HEIGHT}" '
            f'fill="{back}"/>'
        )
    if text.strip():
        style = ' font-weight="bold"' if bold else ""
        style += ' font-style="italic"' if italics else ""
        style += ' text-decoration="underline"' if underscore else ""
        parts.append(
            f'<text x="{left:.1f}" y="{top + LINE_HEIGHT - 5}" textLength="{width:.1f}" '
            f'fill="{front}"{style}>{escape(text)}</text>'
        )
    return parts
