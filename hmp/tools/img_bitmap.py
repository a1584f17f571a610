"""`hmp-img bitmap`: an image's persistent bitmaps."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.qcow2.image import Image
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import ImgWords, SilentFailure, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.dirty_bitmap import DirtyBitmap
    from blockdev.node import BlockNode
    from blockdev.qcow2.bitmap_store import BitmapStore
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
    bitmap: str,
    granularity: int,
) -> None:
    store = _store(node, bitmap, action)
    if action == "add":
        store.add(bitmap, granularity)
    elif action == "remove":
        store.remove(bitmap)
    elif action == "clear":
        store.clear(bitmap)
    elif action == "merge":
        store.usable(bitmap)
        if other is node:
            _, marks = store.usable(value)
        else:
            marks = _marks_of(other, value)
        store.merge(bitmap, marks)
    else:
        store.enable(bitmap, enabled=action == "enable")


def _store(node: BlockNode, bitmap: str, action: str) -> BitmapStore:
    if isinstance(node, Image):
        return node.bitmap_store
    if action == "add":
        name = node.node_name
        text = f"Can't store persistent bitmaps to {name}: Operation not supported"
        raise QemuError(text)
    raise QemuError(f"Dirty bitmap '{bitmap}' not found")


def _marks_of(node: BlockNode, name: str) -> DirtyBitmap:
    """What a bitmap of another image says."""
    from blockdev.qcow2.bitmap_store import load

    if isinstance(node, Image):
        for stored in node.bitmaps.listed():
            if stored.name == name:
                return load(node, stored)
    raise QemuError(f"Dirty bitmap '{name}' not found")


def _close(program: Program, source: ImageSource) -> None:
    try:
        source.close()
    except QemuError as error:
        program.say(f"{os.strerror(error.errno_value) if error.errno_value else error}")
