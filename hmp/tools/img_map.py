"""`hmp-img map`: where the pieces of a disk lie, in which file of a chain."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.status import ALLOCATED, DATA, OFFSET_VALID, ZERO, length_of, status
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import ImgWords, SilentFailure, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(
        program,
        words,
        "f:s:l:hU",
        {"start-offset": "s:", "max-length": "l:"},
        shared=["object", "image-opts", "output"],
    )
    start, most = 0, -1
    for option, value in arguments:
        if option == "s":
            start = read_size(program, "start offset", value)
        else:
            most = read_size(program, "max length", value)
    filename = arguments.one_operand()
    as_json = arguments.check_output()
    source = ImageSource(program)
    node = arguments.open(source, filename)
    if not as_json:
        program.write(f"{'Offset':<16}{'Length':<16}{'Mapped to':<16}File\n")
    end = length_of(node) if most < 0 else min(start + most, length_of(node))
    _show(program, node, start, end, as_json=as_json)
    source.close()
    return 0


class _Piece:
    """A run of bytes that are all alike."""

    __slots__ = ("depth", "file", "flags", "length", "offset", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.length = self.depth = self.flags = self.offset = 0
        self.file: BlockNode | None = None

    def goes_on_with(self, other: _Piece) -> bool:
        """Whether another piece right behind is more of the same."""
        shown = ZERO | DATA | ALLOCATED | OFFSET_VALID
        return (
            self.length > 0
            and not (self.flags ^ other.flags) & shown
            and self.depth == other.depth
            and self.file is other.file
            and (not self.flags & OFFSET_VALID or self.offset + self.length == other.offset)
        )


def _show(program: Program, node: BlockNode, start: int, end: int, *, as_json: bool) -> None:
    write = program.write
    show = _json if as_json else _line
    piece = _Piece(start)
    write("[" if as_json else "")
    while piece.start + piece.length < end:
        try:
            following = _piece_at(node, piece.start + piece.length, end)
        except QemuError as error:
            reason = os.strerror(error.errno_value) if error.errno_value else str(error)
            raise QemuError(f"Could not read file metadata: {reason}") from error
        if piece.goes_on_with(following):
            piece.length += following.length
            continue
        if piece.length:
            write(show(program, piece) + (",\n" if as_json else ""))
        piece = following
    write(show(program, piece) + ("]\n" if as_json else ""))


def _piece_at(node: BlockNode, offset: int, end: int) -> _Piece:
    piece = _Piece(offset)
    layer: BlockNode | None = node
    length = end - offset
    while layer is not None:
        found = status(layer, offset, length, in_slices=False)
        length = found.length
        if found.flags & (ZERO | DATA):
            piece.flags, piece.offset = found.flags, found.offset
            if found.flags & OFFSET_VALID:
                piece.file = found.file
            break
        layer = layer.backing
        piece.depth += layer is not None
    piece.length = length
    return piece


def _json(program: Program, piece: _Piece) -> str:
    flags = piece.flags
    text = f'{{ "start": {piece.start}, "length": {piece.length}, "depth": {piece.depth}'
    for name, bit in (("present", ALLOCATED), ("zero", ZERO), ("data", DATA)):
        text += f', "{name}": {"true" if flags & bit else "false"}'
    return text + (f', "offset": {piece.offset}}}' if flags & OFFSET_VALID else "}")


def _line(program: Program, piece: _Piece) -> str:
    flags = piece.flags
    if flags & DATA and not flags & OFFSET_VALID:
        program.say("File contains external, encrypted or compressed clusters.")
        raise SilentFailure
    if not flags & DATA or flags & ZERO:
        return ""
    file = piece.file.filename if piece.file is not None else ""
    numbers = (piece.start, piece.length, piece.offset)
    return "".join([f"{f'{n:#x}' if n else '0':<16}" for n in numbers]) + f"{file}\n"
