"""The texts that say what boards and devices are made of.

A board's text has a line for each part in the order in which QEMU makes them; ``devices.txt`` has a
block for each type of device, below a line ``[TYPE]``, and ``table.txt`` for those of
`machine.devices.model_table`. In all of them ``#`` begins a remark, and a line is
one of these, its words between blanks (``~`` in a name stands for a blank):

- ``in NAME COUNT``, ``out NAME COUNT``: interrupt lines; ``-`` is the list without a name.
- ``NAME = VALUE``: a property, in the order in which `info qtree` shows them; a number with a B
  is a size. One that is there already keeps its place.
- ``own NAME,... TYPE [of BUS]``: properties that an object makes for itself, not its class.
- ``gone NAME``: one that a board makes and takes away again, which leaves its mark in the order.
- ``container NAME``: when the board's container of that name is made.
- ``use TYPE``: the lines of another block.
- ``bus NAME KIND``: a bus; ``*`` is named after the device and numbered, ``*2`` with this number,
  ``@`` just after it.
- ``child NAME TYPE [on BUS] [at SLOT.FUNCTION]``: a device that is a part of this one; lines
  that are indented below it are its own besides those of its type.
- ``inner NAME TYPE``: a disk on the bus that this device brings, which takes what is said of it.
- ``device TYPE [NAME] [on BUS] [at SLOT.FUNCTION] [PROPERTY=VALUE ...]``: a device of its own;
  without a name it is one of the machine's unattached; with ``once`` before it there is one.
- ``region NAME [SIZE] [FLAG ...]``: a memory region, see `machine.qom.composition`; numbers are
  hexadecimal there.
- ``with PART ...``: a line for boards with that part, see `machine.boards.Board`.
- ``tables``: the firmware's, as memory.
- ``late region ...``: one that is made when all of the board is there.
- ``sysbus``: where the bus of the system is made.
- ``space NAME ROOT``: an address space that begins with a region.
- ``cpus TYPE``, ``transports TYPE``, ``plugged KIND [BUS]``, ``gpio NAME COUNT``: on boards,
  where the processors are made, a device for each bus of virtio, where what options ask for, and
  how many lines belong to no device.

Source: what QEMU 7.2 shows of them on `info qtree`, `info qom-tree` and `info mtree`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = os.path.join(os.path.dirname(__file__), "blueprints")
_blocks: dict[str, list[Row]] = {}


class Row:
    """A line's words, and the lines that are indented below it."""

    __slots__ = ("rows", "words")

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.rows: list[Row] = []


def _lines(name: str) -> Iterator[str]:
    with open(os.path.join(_FOLDER, f"{name}.txt"), encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line and not line.startswith("#"):
                yield line


def board_rows(name: str) -> list[Row] | None:
    """The lines of a board; None for one that has no text."""
    rows: list[Row] = []
    try:
        lines = list(_lines(name))
    except FileNotFoundError:
        return None
    for line in lines:
        (rows[-1].rows if line.startswith(" ") else rows).append(_row(line))
    return rows


def device_rows(type: str) -> list[Row]:
    """The lines of a type's block, of those that it uses too; none for a type without one."""
    if not _blocks:
        for text in ("devices", "table"):
            for line in _lines(text):
                if line.startswith("["):
                    block = _blocks[line.strip("[]")] = []
                else:
                    (block[-1].rows if line.startswith(" ") else block).append(_row(line))
    found: list[Row] = []
    for row in _blocks.get(type, ()):
        found += device_rows(row.words[1]) if row.words[0] == "use" else [row]
    return found


def _row(line: str) -> Row:
    name, is_property, value = line.partition(" = ")
    if is_property:
        return Row([name, "=", value])
    return Row([word.replace("~", " ") for word in line.split()])
