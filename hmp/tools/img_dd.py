"""`hmp-img dd`: a part of an image in a new one."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.status import length_of
from hmp.tools.image_options import ImageOptions, can_create
from hmp.tools.image_source import ImageSource
from hmp.tools.img_create import make_image
from hmp.tools.img_words import ImgWords, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program

_MOST_BLOCK = (1 << 31) - 1
_AT_ONCE = 1 << 20  # bytes, whole blocks where those are smaller


class _Request:
    """The operands: files, and what to copy."""

    def __init__(self, program: Program, operands: Sequence[str]) -> None:
        self.block = 512
        self.count: int | None = None
        self.skip = 0
        self.input: str | None = None
        self.output: str | None = None
        for operand in operands:
            name, equals, value = operand.partition("=")
            if name == "bs" and equals:
                self.block = read_size(program, "bs", value, least=1, most=_MOST_BLOCK)
            elif name == "count" and equals:
                self.count = read_size(program, "count", value)
            elif name == "skip" and equals:
                self.skip = read_size(program, "skip", value)
            elif name == "if" and equals:
                self.input = value
            elif name == "of" and equals:
                self.output = value
            else:
                raise QemuError(f"unrecognized operand {name}")


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "hf:O:U")
    format = "raw"
    for _, value in arguments:
        format = value
    request = _Request(program, arguments.operands)
    if request.input is None or request.output is None:
        raise QemuError("Must specify both input and output files")
    source = ImageSource(program)
    node = arguments.open(source, request.input)
    if not can_create(format):
        raise QemuError("Unknown file format")
    size = length_of(node)
    if request.count is not None:
        size = min(size, request.count * request.block)
    start = request.skip * request.block
    options = ImageOptions(format)
    options.set("size", str(max(0, size - start)))
    try:
        make_image(request.output, options)
    except QemuError as error:
        text = f"{request.output}: error while creating output image: {error}"
        raise QemuError(text, error.errno_value) from error
    target = source.open(request.output, format=format, read_only=False)
    if start > size:
        program.say(f"{request.input}: cannot skip to specified offset")
    else:
        _copy(node, target, start, size)
    source.close()
    return 0


def _copy(node: BlockNode, target: BlockNode, start: int, end: int) -> None:
    offset = start
    while offset < end:
        length = min(_AT_ONCE, end - offset)
        try:
            data = node.read(offset, length)
        except QemuError as error:
            raise QemuError(
                f"error while reading from input image file: {_reason(error)}"
            ) from error
        try:
            target.write(offset - start, [data])
        except QemuError as error:
            raise QemuError(
                f"error while writing to output image file: {_reason(error)}"
            ) from error
        offset += length


def _reason(error: QemuError) -> str:
    return os.strerror(error.errno_value) if error.errno_value else str(error)
