"""What is done to the dirty bitmaps of disks, each so that it can be undone: QMP's words for it."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.node_bitmap import (
    add_bitmap,
    check_bitmap,
    find,
    find_named,
    merge_marks,
    remove_bitmap,
)
from blockdev.node_bitmap import merge as merge_into
from machine.block_lookup import device_name, find_node
from machine.transaction import Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from blockdev.node_bitmap import NodeBitmap
    from machine.machine import Machine

    # A bitmap's name on the same node, or another's: node and name.
    Source = str | tuple[str, str]


def sources_of(bitmaps: Sequence[str | dict[str, str]]) -> list[Source]:
    """Bitmaps as QMP names them."""
    return [each if isinstance(each, str) else (each["node"], each["name"]) for each in bitmaps]


def find_bitmap(machine: Machine, node: str, name: str) -> tuple[BlockNode, NodeBitmap]:
    """A bitmap of a disk, and the node that it is on.

    Raises:
        QemuError: there is none.
    """
    try:
        found = find_node(machine, node, node)
    except QemuError as error:
        raise QemuError(f"Node '{node}' not found") from error
    return found, find_named(found, name)


def add(
    machine: Machine,
    node: str,
    name: str,
    *,
    granularity: int | None = None,
    is_persistent: bool = False,
    is_recording: bool = True,
) -> Action:
    """Begin to note what is written to a disk."""
    found = find_node(machine, node, node)
    made = add_bitmap(
        found,
        name,
        granularity=granularity,
        is_persistent=is_persistent,
        is_recording=is_recording,
        shown_node=device_name(machine, found),
    )
    return Action(undo=lambda: found.dirty_bitmaps.remove(made))


def remove(machine: Machine, node: str, name: str) -> Action:
    """Take a bitmap away."""
    found, bitmap = find_bitmap(machine, node, name)
    check_bitmap(bitmap, is_removed=True)
    was_persistent = bitmap.is_persistent
    if was_persistent and found.bitmap_keeper is not None:
        found.bitmap_keeper.remove(name)
    # It is still there while other actions are prepared, but for none of them.
    bitmap.is_busy = True
    bitmap.is_persistent = False

    def undo() -> None:
        bitmap.is_busy = False
        bitmap.is_persistent = was_persistent

    def commit() -> None:
        bitmap.is_busy = False
        remove_bitmap(found, bitmap)

    return Action(undo=undo, commit=commit)


def clear(machine: Machine, node: str, name: str) -> Action:
    """Let a bitmap say nothing any more."""
    _, bitmap = find_bitmap(machine, node, name)
    check_bitmap(bitmap)
    before = bitmap.marks
    bitmap.marks = before.emptied()

    def undo() -> None:
        bitmap.marks = before

    return Action(undo=undo)


def enable(machine: Machine, node: str, name: str, *, is_recording: bool) -> Action:
    """Let writes come into a bitmap from now on, or no more."""
    _, bitmap = find_bitmap(machine, node, name)
    check_bitmap(bitmap, is_changed=False)
    before, bitmap.is_recording = bitmap.is_recording, is_recording

    def undo() -> None:
        bitmap.is_recording = before

    return Action(undo=undo)


def merge(machine: Machine, node: str, target: str, sources: Sequence[Source]) -> Action:
    """Let a bitmap say too what others say."""
    found, bitmap = find_bitmap(machine, node, target)
    before = bitmap.marks
    # All of them or none: they are put together aside.
    bitmap.marks = before.emptied()
    merge_marks(bitmap.marks, before, bitmap.size)
    try:
        for source in sources:
            if isinstance(source, str):
                other = find(found, source)
                if other is None:
                    raise QemuError(f"Dirty bitmap '{source}' not found")
            else:
                _, other = find_bitmap(machine, *source)
            merge_into(bitmap, other)
    except QemuError:
        bitmap.marks = before
        raise

    def undo() -> None:
        bitmap.marks = before

    return Action(undo=undo)
