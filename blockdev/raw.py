"""The two drivers without a format: the ``file`` protocol and ``raw`` over any node."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, RESIZE, WRITE, ByteFile
from blockdev.node import BlockNode, CacheMode
from blockdev.vmstate_area import VMStateReader, VMStateWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer
    from blockdev.snapshot import Snapshot
    from blockdev.status import BlockStatus


class FileNode(BlockNode):
    """Driver ``file``: the bytes of a disk file.

    Attributes:
        bytes_written, barriers: since it was opened; a barrier with nothing to wait for is none.
        has_unflushed: something was written since the last barrier.
    """

    driver = "file"

    def __init__(self, node_name: str, file: ByteFile, *, cache: CacheMode) -> None:
        super().__init__(node_name, file.name, read_only=file.read_only, cache=cache)
        self.bytes = file
        self.bytes_written = self.barriers = 0
        self.has_unflushed = False

    @property
    def size(self) -> int:
        return self.bytes.size

    @property
    def allocated_bytes(self) -> int:
        return self.bytes.allocated_bytes

    def read(self, offset: int, size: int) -> bytes:
        return self.bytes.read(offset, size)

    def read_into(self, offset: int, view: memoryview) -> None:
        self.bytes.read_into(offset, view)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        if self.dirty_bitmaps:
            self.mark_dirty(offset, sum(map(len, buffers)))
        self.bytes.write(offset, buffers)
        self.bytes_written += sum(map(len, buffers))
        self.has_unflushed = True

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return True, size

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import DATA, OFFSET_VALID, ZERO, BlockStatus

        is_data = True
        if wants_zeros:
            is_data, size = self.bytes.extent(offset, size)
        return BlockStatus((DATA if is_data else ZERO) | OFFSET_VALID, size, offset, self)

    def truncate(self, size: int) -> None:
        try:
            self.bytes.truncate(size)
        except QemuError as error:
            raise QemuError(f"Could not resize file: {error}", error.errno_value) from error
        self.fit_bitmaps()

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.mark_dirty(offset, size)
        if not (may_unmap and self.bytes.punch(offset, size)):
            super().write_zeroes(offset, size)

    def preallocate(self, offset: int, size: int, mode: str) -> None:
        if mode == "metadata":
            super().preallocate(offset, size, mode)
        self.bytes.preallocate(offset, size, with_zeros=mode == "full")

    def reopen(self, *, read_only: bool) -> None:
        self.bytes.reopen(read_only=read_only)
        self.read_only = read_only

    def flush(self) -> None:
        if not self.cache.no_flush:
            self.bytes.flush()
            self.barriers += self.has_unflushed
            self.has_unflushed = False

    def close(self) -> None:
        self.bytes.close()


class RawNode(BlockNode):
    """Driver ``raw``: a node's bytes as they are."""

    driver = "raw"

    def __init__(
        self,
        node_name: str,
        file: BlockNode,
        *,
        read_only: bool,
        cache: CacheMode,
        is_inactive: bool = False,
    ) -> None:
        super().__init__(node_name, file.filename, read_only=read_only, cache=cache)
        self.file: BlockNode = file
        self.is_inactive = is_inactive
        self._size = file.size
        self._is_attached = False

    def claim(self, *, attached: bool) -> None:
        self._is_attached = attached
        self._set_permissions()

    def _set_permissions(self) -> None:
        # Without a guest device a raw image is only looked at; with one, nobody else may write.
        if isinstance(self.file, FileNode):
            is_used = self._is_attached and not self.is_inactive
            if self.is_exclusive:
                everything = {CONSISTENT_READ, WRITE, RESIZE}
                self.file.bytes.set_permissions({WRITE}, everything)
                return
            uses = {CONSISTENT_READ, WRITE} if is_used and not self.read_only else {CONSISTENT_READ}
            self.file.bytes.set_permissions(uses, {WRITE} if is_used else ())

    def inactivate(self) -> None:
        super().inactivate()
        self._set_permissions()

    def activate(self) -> None:
        if self.is_inactive:
            super().activate()
            try:
                self._set_permissions()
            except QemuError:
                self.is_inactive = True
                raise
            self._size = self.file.size

    def reload(self) -> None:
        self._size = self.file.size

    @property
    def size(self) -> int:
        return self._size

    def preallocate(self, offset: int, size: int, mode: str) -> None:
        self.check_active()
        self.file.preallocate(offset, size, mode)

    def check_room(self, end: int) -> None:
        self.file.check_room(end)

    def truncate(self, size: int) -> None:
        self.check_active()
        self.file.truncate(size)
        self._size = self.file.size
        self.fit_bitmaps()

    def read(self, offset: int, size: int) -> bytes:
        return self.file.read(offset, size)

    def read_into(self, offset: int, view: memoryview) -> None:
        self.file.read_into(offset, view)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.check_active()
        self.mark_dirty(offset, sum(map(len, buffers)))
        self.file.write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.check_active()
        self.mark_dirty(offset, size)
        self.file.write_zeroes(offset, size, may_unmap=may_unmap)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return self.file.allocation(offset, size)

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import OFFSET_VALID, RAW, BlockStatus

        return BlockStatus(RAW | OFFSET_VALID, size, offset, self.file)

    # A raw node over one that keeps snapshots hands them on, as in QEMU.

    @property
    def cluster_size(self) -> int:
        return self.file.cluster_size

    @property
    def has_snapshots(self) -> bool:
        return not self.read_only and self.file.has_snapshots

    @property
    def holds_vmstate(self) -> bool:
        return not self.read_only and self.file.holds_vmstate

    def snapshots(self) -> Sequence[Snapshot]:
        return self.file.snapshots()

    def open_vmstate(self) -> VMStateWriter:
        return self.file.open_vmstate()

    def snapshot_create(self, snapshot: Snapshot, vmstate: VMStateWriter | None) -> None:
        self.file.snapshot_create(snapshot, vmstate)

    def snapshot_goto(self, id_or_name: str) -> Snapshot:
        snapshot = self.file.snapshot_goto(id_or_name)
        self._size = self.file.size
        return snapshot

    def snapshot_delete(self, id: str, name: str) -> None:
        self.file.snapshot_delete(id, name)

    def vmstate_reader(self, snapshot: Snapshot) -> VMStateReader:
        return self.file.vmstate_reader(snapshot)
