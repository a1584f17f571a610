"""Backing chains: what stands under what, and how that is changed."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.filter import skip_filters
from blockdev.naming import has_other_backing, protocol_of, tree_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.graph import Graph
    from blockdev.node import BlockNode


def backing_of(node: BlockNode) -> BlockNode | None:
    """The image under another, without what only shows it."""
    backing = skip_filters(node).backing
    return skip_filters(backing) if backing is not None else None


def chain(node: BlockNode) -> Iterator[BlockNode]:
    """The images from one down to the last."""
    current: BlockNode | None = skip_filters(node)
    while current is not None:
        yield current
        current = backing_of(current)


def find_in_chain(node: BlockNode, name: str) -> BlockNode | None:
    """The image under a node that a file name means, seen from each overlay's folder."""
    for current in chain(node):
        below = backing_of(current)
        if below is None:
            return None
        if has_other_backing(current):
            if name == below.filename:
                return below
            continue
        wanted, actual = (full_backing_name(current, text) for text in (name, current.backing_name))
        if os.path.exists(wanted) and os.path.realpath(wanted) == os.path.realpath(actual):
            return below
    return None


def backing_path(name: str, backing: str) -> str:
    """Where a backing file is that an image of some name names: beside it if that is relative."""
    if os.path.isabs(backing) or protocol_of(backing) is not None or protocol_of(name) is not None:
        return backing
    return os.path.join(os.path.dirname(name), backing)


def full_backing_name(overlay: BlockNode, name: str) -> str:
    """What an image's word for its backing file means, from the folder that the image is in."""
    return backing_path(overlay.filename, name)


def give_back(image: BlockNode) -> None:
    """Let an image that was written for a while be read-only again, if it can be."""
    if not image.read_only:
        try:
            image.reopen(read_only=True)
        except QemuError:
            return  # it can't be written back, which whoever wrote it has been told


def overlay_of(active: BlockNode, base: BlockNode) -> BlockNode | None:
    """The image of a chain that stands right over another; None where none does."""
    return next((node for node in chain(active) if backing_of(node) is base), None)


def allocation_above(
    node: BlockNode, base: BlockNode | None, offset: int, size: int
) -> tuple[bool, int]:
    """Whether one of the images from a node down to a base, but for that, has the byte.

    Returns:
        The answer, and for how many bytes it holds at least.
    """
    for image in chain(node):
        if image is base:
            break
        if offset >= image.size:
            continue  # what it lacks reads as zeros, but only to those above it
        is_own, length = image.allocation(offset, min(size, image.size - offset))
        if is_own:
            return True, length
        if offset + length < image.size or length < size:
            size = min(size, length)
    return False, size


def set_backing(graph: Graph, overlay: BlockNode, backing: BlockNode | None) -> None:
    """Put another node under an image; the one before is closed if nobody else has it."""
    old, overlay.backing = overlay.backing, backing
    overlay.has_own_backing = False
    if backing is not None:
        backing.parents += 1
    if old is not None:
        old.parents -= 1
        graph.remove_unused(old)
    refresh_names(graph)


def replace(
    graph: Graph, old: BlockNode, new: BlockNode, *, spared: BlockNode | None = None
) -> None:
    """Let all that use a node use another.

    Args:
        spared: goes on using the old one, and so does the new one.
    """
    for parent in list(graph.nodes.values()):
        if parent is not new and parent is not spared:
            moved = parent.replace_child(old, new)
            old.parents -= moved
            new.parents += moved
    for backend in (*graph.backends, *graph.export_roots):
        if backend.node is old:
            if backend.device is not None and skip_filters(new) is not skip_filters(old):
                old.claim(attached=False)
                new.claim(attached=True)
            backend.remove()
            backend.insert(new)
    refresh_names(graph)


def insert_filter(graph: Graph, node: BlockNode, above: BlockNode) -> None:
    """Put a filter between a node and all that use it."""
    graph.add(above)
    replace(graph, node, above)


def remove_filter(graph: Graph, above: BlockNode) -> None:
    """Take a filter away again."""
    below = above.file
    assert below is not None, "a filter has a child"
    replace(graph, above, below)
    graph.let_go(above)


def refresh_names(graph: Graph) -> None:
    """See what the nodes are called now: their names tell what stands under them."""
    done: set[str] = set()

    def refresh(node: BlockNode) -> None:
        if node.node_name in done:
            return
        done.add(node.node_name)
        for child in node.children:
            refresh(child)
        node.filename = tree_name(node)

    for node in graph.nodes.values():
        refresh(node)
