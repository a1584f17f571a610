"""`hmp-img resize`: another size for an image."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.status import length_of
from hmp.tools.getopt import UsageError
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import LARGEST, ImgWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.tools.program import Program

_PREALLOCATIONS = ("off", "metadata", "falloc", "full")


def run(program: Program, words: Sequence[str]) -> int:
    if len(words) < 3:
        raise UsageError("Not enough arguments")
    # The size comes last, so that a negative one isn't taken for an option.
    *words, text = words
    long = {"preallocation": "preallocation:", "shrink": "shrink"}
    arguments = ImgWords(program, words, "f:hq", long)
    preallocation, may_shrink = "off", False
    for option, value in arguments:
        if option == "shrink":
            may_shrink = True
        elif value in _PREALLOCATIONS:
            preallocation = value
        else:
            raise QemuError(f"Invalid preallocation mode '{value}'")
    if len(arguments.operands) != 1:
        raise UsageError("Expecting image file name and size")
    change = _read_size(text)
    source = ImageSource(program)
    node = arguments.open(source, arguments.operands[0], read_only=False)
    old_size = length_of(node)
    size = old_size + change if text[:1] in ("+", "-") else change
    if not 0 < size <= LARGEST:
        raise QemuError("New image size must be positive")
    if size <= old_size and preallocation != "off":
        raise QemuError("Preallocation can only be used for growing images")
    if size < old_size and not may_shrink:
        program.say("Use the --shrink option to perform a shrink operation.")
        raise QemuError(
            "warning: Shrinking an image will delete all data beyond the shrunken image's end. "
            "Before performing such an operation, make sure there is no important data there."
        )
    node.truncate(size)
    if size < old_size:
        node.give_back_end()
    if preallocation != "off":
        try:
            node.preallocate(old_size, size - old_size, preallocation)
        except QemuError:
            node.truncate(old_size)
            raise
    source.close()
    arguments.tell("Image resized.\n")
    return 0


def _read_size(text: str) -> int:
    """A size with or without a sign."""
    from blockdev.qcow2.create_words import read_value

    size = int(read_value("size", "size", text[1:] if text[:1] in ("+", "-") else text))
    return -size if text.startswith("-") else size
