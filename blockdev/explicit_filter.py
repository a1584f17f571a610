"""Filters that the user asks for: ``throttle``, ``copy-on-read``, ``blkdebug``."""

from __future__ import annotations

from blockdev.filter import FilterNode
from blockdev.naming import tree_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdev.graph import Graph
    from blockdev.node import BlockNode
    from blockdev.throttle import Throttle


class ThrottleNode(FilterNode):
    """Lets no more through than its group allows; see `BlockNode.wait_ns`."""

    driver = "throttle"

    def __init__(self, node_name: str, file: BlockNode, group: Throttle) -> None:
        super().__init__(node_name, file)
        self.group = group

    @property
    def shown_options(self) -> dict[str, object]:
        return {"throttle-group": self.group.group}

    def wait_ns(self, *, is_write: bool) -> int:
        own = self.group.wait_ns(is_write=is_write)
        return max(own, self.file.wait_ns(is_write=is_write))

    def account(self, size: int, *, is_write: bool) -> None:
        self.group.account(size, is_write=is_write)
        self.file.account(size, is_write=is_write)


class CopyOnReadNode(FilterNode):
    """What is read from a backing file is kept in the image."""

    driver = "copy-on-read"

    def read_into(self, offset: int, view: memoryview) -> None:
        fetch(self.file, offset, len(view))
        self.file.read_into(offset, view)

    def read(self, offset: int, size: int) -> bytes:
        fetch(self.file, offset, size)
        return self.file.read(offset, size)


def fetch(node: BlockNode, offset: int, size: int) -> None:
    """Copy whole clusters that bytes lie in from what stands under an image into it."""
    from blockdev.chain import allocation_above, backing_of
    from blockdev.filter import skip_filters

    image = skip_filters(node)
    below = backing_of(image)
    if below is None or image.read_only:
        return
    cluster = image.cluster_size or 1
    end = min(-(-(offset + size) // cluster) * cluster, image.size)
    offset = offset // cluster * cluster
    while offset < end:
        is_own, length = image.allocation(offset, end - offset)
        if not is_own:
            is_below, length = allocation_above(below, None, offset, length)
            if is_below:
                image.keep(offset, image.read(offset, length))
        offset += length


def open_filter(
    graph: Graph,
    driver: str,
    child: BlockNode,
    node_name: str | None,
    options: Mapping[str, str],
    *,
    group: Throttle | None,
) -> BlockNode:
    """Put a filter over a node that is open."""
    name = node_name or graph.new_name()
    node: FilterNode
    if driver == "throttle":
        assert group is not None, "looked for before"
        node = ThrottleNode(name, child, group)
    elif driver == "copy-on-read":
        node = CopyOnReadNode(name, child)
    else:
        from blockdev.blkdebug import BlkDebugNode, read_rules

        node = BlkDebugNode(name, child, *read_rules(options), options=options)
    graph.add(node)
    if driver == "blkdebug":
        graph.make_newest(child)
    node.filename = tree_name(node)
    return node
