"""`hmp-img snapshot`: an image's internal snapshots."""

from __future__ import annotations

import errno
import os
import time

from blockdev.errors import QemuError
from blockdev.qcow2.image import Image
from blockdev.snapshot import Snapshot, find_by_name
from hmp.block_info import snapshot_list
from hmp.tools.getopt import UsageError
from hmp.tools.image_source import ImageSource
from hmp.tools.img_words import ImgWords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from hmp.tools.program import Program


def run(program: Program, words: Sequence[str]) -> int:
    arguments = ImgWords(program, words, "la:c:d:hqU")
    action = name = ""
    for option, value in arguments:
        if action:
            raise UsageError("Cannot mix '-l', '-a', '-c', '-d'")
        action, name = option, value
    filename = arguments.one_operand()
    source = ImageSource(program)
    node = arguments.open(source, filename, read_only=action == "l")
    if action == "l":
        _list(program, node)
    elif action == "c":
        _create(node, name)
    elif action == "a":
        _apply(source, node, name)
    elif action == "d":
        _delete(node, name)
    source.close()
    return 0


def _list(program: Program, node: BlockNode) -> None:
    if node.snapshots():
        program.write(snapshot_list(node.snapshots()))


def _create(node: BlockNode, name: str) -> None:
    now_ns = time.time_ns()
    # QEMU's tool leaves the count of instructions at 0, where a machine writes "not counted".
    snapshot = Snapshot(
        name=name,
        date_sec=now_ns // 1_000_000_000,
        date_nsec=now_ns % 1_000_000_000 // 1000 * 1000,
        icount=0,
    )
    try:
        node.snapshot_create(snapshot, None)
    except QemuError as error:
        value = error.errno_value or errno.EIO
        text = f"Could not create snapshot '{name}': -{value} ({os.strerror(value)})"
        raise QemuError(text) from error


def _apply(source: ImageSource, node: BlockNode, name: str) -> None:
    try:
        if not node.has_snapshots:
            if node.file is not None:
                # As with QEMU, which opens such an image again, and warns again.
                source.graph.probe(node.file, read_only=False)
            raise QemuError("Block driver does not support snapshots", errno.ENOTSUP)
        if isinstance(node, Image) and node.bitmaps.listed():
            raise QemuError("Device has active dirty bitmaps", errno.EINVAL)
        node.snapshot_goto(name)
    except QemuError as error:
        raise QemuError(f"Could not apply snapshot '{name}': {error}") from error


def _delete(node: BlockNode, name: str) -> None:
    found = find_by_name(node.snapshots(), name)
    if found is None:
        raise QemuError(f"Could not delete snapshot '{name}': snapshot not found")
    try:
        node.snapshot_delete(found.id, found.name)
    except QemuError as error:
        raise QemuError(f"Could not delete snapshot '{name}': {error}") from error
