"""`hmp-img rebase`: another backing file for an image."""

from __future__ import annotations

import errno
import os

from blockdev.chain import backing_of, backing_path
from blockdev.chain import chain as images_of
from blockdev.errors import QemuError
from hmp.tools.getopt import UsageError
from hmp.tools.image_source import ImageSource, cache_mode, is_known
from hmp.tools.img_words import ImgWords, SilentFailure
from hmp.tools.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode, CacheMode
    from hmp.tools.program import Program


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "hf:F:b:upt:T:qU")
    backing = backing_format = None
    cache = source_cache = "writeback"
    is_unsafe = shows_progress = False
    for option, value in arguments:
        if option == "F":
            backing_format = value
        elif option == "b":
            backing = value
        elif option == "t":
            cache = value
        elif option == "T":
            source_cache = value
        elif option == "u":
            is_unsafe = True
        else:
            shows_progress = True
    arguments.force_share = False  # taken, and of no use with an image that is written
    name = arguments.one_operand()
    if not is_unsafe and backing is None:
        raise UsageError("Must specify backing file (-b) or use unsafe mode (-u)")
    is_shown = shows_progress and not arguments.is_quiet
    progress = Progress(program, is_shown=is_shown, least=2)
    progress.add(0)
    try:
        mode, source_mode = cache_mode(cache), cache_mode(source_cache)
        if mode is None:
            raise QemuError(f"Invalid cache option: {cache}")
        if source_mode is None:
            raise QemuError(f"Invalid source cache option: {source_cache}")
        source = ImageSource(program)
        node = arguments.open(
            source, name, read_only=False, with_backing=not is_unsafe, cache=mode[0]
        )
        if backing_format is not None and not is_known(backing_format):
            raise QemuError(f"Invalid format name: '{backing_format}'")
        if not is_unsafe:
            assert backing is not None
            _pull_up(source, node, backing, backing_format, source_mode[0], progress)
        try:
            _change(node, backing or "", backing_format)
        finally:
            progress.add(100, 0)
    except QemuError as error:
        program.say(str(error))
        progress.end()
        raise SilentFailure from error
    source.close()
    progress.end()
    return 0


def _pull_up(
    source: ImageSource,
    node: BlockNode,
    backing: str,
    backing_format: str | None,
    cache: CacheMode,
    progress: Progress,
) -> None:
    from blockdev.rebase import pull_up

    new = common = None
    if backing:
        path = backing_path(node.file.filename if node.file else node.filename, backing)
        common = _in_chain(node, path)
        try:
            new = common or source.graph.open_image(
                path, driver=backing_format, read_only=True, cache=cache
            )
        except QemuError as error:
            text = f"Could not open new backing file '{backing}': {error}"
            raise QemuError(text, error.errno_value) from error
    for percent in pull_up(node, backing_of(node), new, common):
        progress.add(percent)
    node.flush()


def _in_chain(node: BlockNode, path: str) -> BlockNode | None:
    """The image under another that is this file."""
    for image in images_of(node):
        if image is not node and image.file is not None and image.file.filename == path:
            return image
    return None


def _change(node: BlockNode, backing: str, backing_format: str | None) -> None:
    """Let the image name its new backing file.

    Raises:
        QemuError: it can't.
    """
    if backing and backing_format is None:
        reason = "backing format must be specified"
        raise QemuError(f"Could not change the backing file to '{backing}': {reason}")
    try:
        node.change_backing(backing, backing_format or "")
    except QemuError as error:
        value = error.errno_value or errno.EIO
        reason = "No space left in the file header"
        if value != errno.ENOSPC:
            reason = os.strerror(value)
        shown = backing or "(null)"
        raise QemuError(f"Could not change the backing file to '{shown}': {reason}") from error
