"""Nodes that show what the node under them has, and do something besides."""

from __future__ import annotations

from blockdev.node import BlockNode
from blockdev.vmstate_area import VMStateReader, VMStateWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer
    from blockdev.snapshot import Snapshot
    from blockdev.status import BlockStatus


class FilterNode(BlockNode):
    """Hands everything on to its child.

    Args:
        file: the child.
    """

    is_filter = True

    def __init__(self, node_name: str, file: BlockNode) -> None:
        super().__init__(node_name, file.filename, read_only=file.read_only, cache=file.cache)
        self.file: BlockNode = file

    @property
    def is_inserted(self) -> bool:
        return self.file.is_inserted

    @property
    def size(self) -> int:
        return self.file.size

    @property
    def cluster_size(self) -> int:
        return self.file.cluster_size

    def claim(self, *, attached: bool) -> None:
        self.file.claim(attached=attached)

    def reopen(self, *, read_only: bool) -> None:
        self.file.reopen(read_only=read_only)
        self.read_only = read_only

    def read(self, offset: int, size: int) -> bytes:
        return self.file.read(offset, size)

    def read_into(self, offset: int, view: memoryview) -> None:
        self.file.read_into(offset, view)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.mark_dirty(offset, sum(map(len, buffers)))
        self.file.write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.mark_dirty(offset, size)
        self.file.write_zeroes(offset, size, may_unmap=may_unmap)

    def discard(self, offset: int, size: int) -> None:
        self.mark_dirty(offset, size)
        self.file.discard(offset, size)

    def truncate(self, size: int) -> None:
        self.file.truncate(size)
        self.fit_bitmaps()

    def check_room(self, end: int) -> None:
        self.file.check_room(end)

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import OFFSET_VALID, RAW, BlockStatus

        return BlockStatus(RAW | OFFSET_VALID, size, offset, self.file)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return self.file.allocation(offset, size)

    @property
    def has_snapshots(self) -> bool:
        return self.file.has_snapshots

    @property
    def holds_vmstate(self) -> bool:
        return self.file.holds_vmstate

    def snapshots(self) -> Sequence[Snapshot]:
        return self.file.snapshots()

    def open_vmstate(self) -> VMStateWriter:
        return self.file.open_vmstate()

    def snapshot_create(self, snapshot: Snapshot, vmstate: VMStateWriter | None) -> None:
        self.file.snapshot_create(snapshot, vmstate)

    def snapshot_goto(self, id_or_name: str) -> Snapshot:
        return self.file.snapshot_goto(id_or_name)

    def snapshot_delete(self, id: str, name: str) -> None:
        self.file.snapshot_delete(id, name)

    def vmstate_reader(self, snapshot: Snapshot) -> VMStateReader:
        return self.file.vmstate_reader(snapshot)


class JobFilter(FilterNode):
    """What a job puts over a node while it works on it."""

    is_implicit = True
    is_named_as_child = True

    def __init__(self, node_name: str, file: BlockNode, driver: str) -> None:
        super().__init__(node_name, file)
        self.driver = driver


def skip_filters(node: BlockNode) -> BlockNode:
    """The node that has the data, under what only shows it."""
    while node.is_filter:
        assert node.file is not None, "a filter has a child"
        node = node.file
    return node


def skip_implicit(node: BlockNode) -> BlockNode:
    """The node that the user knows of."""
    while node.is_implicit:
        assert node.file is not None, "a filter has a child"
        node = node.file
    return node
