"""`hmp-img commit`: what an image has goes into one under it."""

from __future__ import annotations

import os

from blockdev.chain import backing_of, find_in_chain
from blockdev.errors import QemuError
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.img_words import ImgWords, SilentFailure, read_size
from hmp.tools.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "f:ht:b:dpqr:")
    base_name, cache = None, "writeback"
    keeps = shows_progress = False
    for option, value in arguments:
        if option == "t":
            cache = value
        elif option == "b":
            # What lies between would no longer fit, so the image stays as it is.
            base_name, keeps = value, True
        elif option == "d":
            keeps = True
        elif option == "p":
            shows_progress = True
        else:
            read_size(program, "rate limit", value)
    name = arguments.one_operand()
    mode = cache_mode(cache)
    if mode is None:
        raise QemuError(f"Invalid cache option: {cache}")
    source = ImageSource(program)
    node = arguments.open(source, name, read_only=False, cache=mode[0])
    is_shown = shows_progress and not arguments.is_quiet
    progress = Progress(program, is_shown=is_shown, least=1)
    progress.add(0)
    try:
        base = _base(node, base_name, name)
        _commit(node, base, name, keeps=keeps, progress=progress)
        source.close()
    except QemuError as error:
        progress.end()
        program.say(str(error))
        raise SilentFailure from error
    progress.end()
    arguments.tell("Image committed.\n")
    return 0


def _base(node: BlockNode, base_name: str | None, name: str) -> BlockNode:
    if base_name is None:
        base = backing_of(node)
        if base is None:
            raise QemuError("Image does not have a backing file")
        return base
    base = find_in_chain(node, base_name)
    if base is None:
        raise QemuError(f"Did not find '{base_name}' in the backing chain of '{name}'")
    return base


def _commit(
    node: BlockNode, base: BlockNode, name: str, *, keeps: bool, progress: Progress
) -> None:
    """Copy, and then empty the image unless it is to be kept."""
    from blockdev.commit import copy_down

    base.reopen(read_only=False)
    if base.size < node.size and base.driver == "qcow2":
        # Only zeros that are written hide what a longer image under the base may have there.
        end = base.size
        base.truncate(node.size)
        base.write_zeroes(end, node.size - end)
    for done, total in copy_down(node, base):
        progress.add(done / total * 100, 0)
    base.flush()
    progress.add(100, 0)
    if keeps:
        return
    try:
        node.make_empty()
        node.give_back_end()
    except QemuError as error:
        reason = os.strerror(error.errno_value) if error.errno_value else str(error)
        raise QemuError(f"Could not empty {name}: {reason}", error.errno_value) from error
