"""`hmp-img bitmap`: an image's persistent bitmaps."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.node_bitmap import add_bitmap, check_bitmap, find_named, merge, remove_bitmap
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import ImgWords, SilentFailure, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program

_ACTIONS = ("add", "remove", "clear", "enable", "disable")
_LONG = {**{name: name for name in _ACTIONS}, "merge": "merge:", "granularity": "g:"}


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(
        program, words, "hb:f:F:g:", {**_LONG, "source-file": "b:", "source-format": "F:"}
    )
    actions: list[tuple[str, str]] = []
    source_name = source_format = None
    granularity = 0
    for option, value in arguments:
        if option == "b":
            source_name = value
        elif option == "F":
            source_format = value
        elif option == "g":
            granularity = read_size(program, "granularity", value)
        else:
            actions.append((option, value))
    if not actions:
        raise QemuError(
            "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge"
        )
    names = [name for name, _ in actions]
    if granularity and "add" not in names:
        raise QemuError("granularity only supported with --add")
    if source_format is not None and source_name is None:
        raise QemuError("-F only supported with -b")
    if source_name is not None and "merge" not in names:
        raise QemuError("Merge bitmap source file only supported with --merge")
    if len(arguments.operands) != 2:
        raise QemuError("Expecting filename and bitmap name")
    filename, bitmap = arguments.operands
    source = ImageSource(program)
    # The backing file has no part in it.
    node = arguments.open(source, filename, read_only=False, with_backing=False)
    other = node
    if source_name is not None:
        other = source.open(source_name, format=source_format, with_backing=False)
        other.keep_bitmaps()
    shown = bitmap
    try:
        for action, value in actions:
            shown = action
            _act(node, other, action, value, bitmap, granularity)
    except QemuError as error:
        program.say(f"Operation {shown} on bitmap {bitmap} failed: {error}")
        _close(program, source)
        raise SilentFailure from error
    source.close()
    return 0


def _act(
    node: BlockNode,
    other: BlockNode,
    action: str,
    value: str,
    name: str,
    granularity: int,
) -> None:
    if action == "add":
        add_bitmap(node, name, granularity=granularity or None, is_persistent=True)
        return
    bitmap = find_named(node, name)
    if action == "remove":
        remove_bitmap(node, bitmap)
    elif action == "clear":
        check_bitmap(bitmap).marks.clear()
    elif action == "merge":
        check_bitmap(bitmap)
        merge(bitmap, find_named(other, value))
    else:
        check_bitmap(bitmap, is_changed=False).is_recording = action == "enable"


def _close(program: Program, source: ImageSource) -> None:
    try:
        source.close()
    except QemuError as error:
        program.say(f"{os.strerror(error.errno_value) if error.errno_value else error}")
