"""A qcow2 image as a node of the block graph; what it has in memory is `Metadata`."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, RESIZE, WRITE
from blockdev.node import BlockNode, CacheMode
from blockdev.node_bitmap import shown_bitmaps
from blockdev.qcow2.bitmaps import Bitmaps
from blockdev.qcow2.extensions import (
    EXTENSION_BACKING_FORMAT,
    read_backing_name,
    read_extensions,
)
from blockdev.qcow2.header import (
    BITMAPS,
    DIRTY,
    Header,
    l1_entries_for,
    read_header,
)
from blockdev.qcow2.metadata import Metadata, UncertainSwitchError
from blockdev.raw import FileNode
from blockdev.vmstate_area import VMStateReader, VMStateWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.file import Buffer
    from blockdev.qcow2.bitmap_store import BitmapStore
    from blockdev.qcow2.compare import DiskState
    from blockdev.qcow2.entries import EntryLayout
    from blockdev.qcow2.snapshots import SnapshotEntry
    from blockdev.snapshot import Snapshot
    from blockdev.status import BlockStatus

_START_BYTES = 64 << 10  # the header, and names of unknown features in most images


class Image(BlockNode):
    """Driver ``qcow2``.

    Args:
        file: the node with the image's bytes.
        report: told lines from the depths.
        complain: takes a line for standard error: that the image is corrupt; None: `report` does.
        is_inactive: it is only looked at until `activate`.

    Raises:
        QemuError: the image can't be opened; QEMU's words, first fault first.
    """

    driver = "qcow2"

    def __init__(
        self,
        node_name: str,
        file: BlockNode,
        *,
        read_only: bool,
        cache: CacheMode,
        report: Callable[[str], object],
        complain: Callable[[str], object] | None = None,
        is_inactive: bool = False,
    ) -> None:
        super().__init__(node_name, file.filename, read_only=read_only, cache=cache)
        self.file: BlockNode = file
        self.report = report
        self._complain = complain or report
        self.is_inactive = is_inactive
        self._is_preallocated: bool | None = None
        self._bitmap_store: BitmapStore | None = None
        self._keeps_bitmaps = False
        self.claim(attached=False)
        self._load()

    def _load(self) -> None:
        """Read what the image says of itself."""
        file, read_only = self.file, self.read_only or self.is_inactive
        header = read_header(file.read(0, _START_BYTES), read_only=read_only)
        if header.incompatible_features & DIRTY and not read_only:
            header = self._repaired()
        first_cluster = file.read(0, 1 << header.cluster_bits)
        extensions = read_extensions(first_cluster, header)
        self.backing_name = read_backing_name(first_cluster, header)
        formats = [data for magic, data in extensions if magic == EXTENSION_BACKING_FORMAT]
        self.backing_format = formats[0].decode("utf-8", "surrogateescape") if formats else ""
        self.metadata = metadata = Metadata(
            file,
            header,
            first_cluster,
            read_only=read_only,
            complain=self._complain,
            report=self.report,
            read_below=self._read_backing,
        )
        self.bitmaps = Bitmaps(metadata, extensions)
        known = header.autoclear_features & (BITMAPS if self.bitmaps.are_true else 0)
        if not read_only and header.autoclear_features != known:
            # What nobody here keeps up to date must not be taken for true after our first write.
            name = "autoclear_features"
            metadata.switch_header(name, name, autoclear_features=known)
            file.flush()

    def reload(self) -> None:
        self._load()
        if self._bitmap_store is not None:
            self._bitmap_store.reopened()

    def reopen(self, *, read_only: bool) -> None:
        if read_only and not self.read_only and self._bitmap_store is not None:
            self._bitmap_store.store()
        super().reopen(read_only=read_only)

    def _repaired(self) -> Header:
        """Count anew what another program, which keeps counts late, was killed over."""
        from blockdev.qcow2.repair import repair

        repair(self.file, leaks=True, errors=True)
        header = read_header(self.file.read(0, _START_BYTES), read_only=False)
        if header.incompatible_features & DIRTY:
            raise QemuError("Could not repair dirty image", errno.EIO)
        return header

    def claim(self, *, attached: bool) -> None:
        # The format itself allows no second writer, whatever the device says.
        if isinstance(self.file, FileNode):
            if self.is_inactive:
                self.file.bytes.set_permissions({CONSISTENT_READ}, ())
                return
            uses = {CONSISTENT_READ} if self.read_only else {CONSISTENT_READ, WRITE, RESIZE}
            denies = {WRITE, RESIZE} | ({CONSISTENT_READ} if self.is_exclusive else set())
            self.file.bytes.set_permissions(uses, denies)

    def inactivate(self) -> None:
        if self._bitmap_store is not None:
            self._bitmap_store.store()
            self._bitmap_store.forget()
            self._bitmap_store = None
        super().inactivate()
        self.claim(attached=False)

    def activate(self) -> None:
        if self.is_inactive:
            super().activate()
            try:
                self.claim(attached=False)
                self._load()
                if self._keeps_bitmaps:
                    self.keep_bitmaps()
            except QemuError:
                self.is_inactive = True
                self.claim(attached=False)
                raise

    @property
    def header(self) -> Header:
        """The header as it is now."""
        return self.metadata.header

    @property
    def layout(self) -> EntryLayout:
        """How its L2 entries are laid out."""
        return self.metadata.layout

    @property
    def cluster_size(self) -> int:
        """Bytes of a cluster."""
        return self.metadata.cluster_size

    @property
    def compression_type(self) -> int:
        """Of the clusters that are written compressed."""
        return self.metadata.compression_type

    @property
    def is_inserted(self) -> bool:
        return not self.metadata.is_corrupt

    @property
    def size(self) -> int:
        return self.metadata.header.size

    # --- the guest's reads and writes

    def read(self, offset: int, size: int) -> bytes:
        self._check_usable()
        inside = max(0, min(size, self.size - offset))
        data = self.metadata.active.read(offset, inside)
        return data if inside == size else data + bytes(size - inside)

    def read_into(self, offset: int, view: memoryview) -> None:
        self._check_usable()
        inside = max(0, min(len(view), self.size - offset))
        self.metadata.active.read_into(offset, view[:inside])
        view[inside:] = bytes(len(view) - inside)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self.begin_change()
        size = sum(map(len, buffers))
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        self.metadata.active.write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        from blockdev.qcow2.zeros import write_zeroes

        self.begin_change()
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        write_zeroes(self, offset, size, may_unmap=may_unmap)

    def discard(self, offset: int, size: int) -> None:
        from blockdev.qcow2.zeros import discard

        self.begin_change()
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        discard(self, offset, size)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether this image itself has the byte at `offset`, and for how many that holds."""
        return self.metadata.active.run(offset, size)

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.qcow2.status import own_status

        return own_status(self, offset, size, in_slices=in_slices)

    @property
    def is_preallocated(self) -> bool:
        """Whether most clusters may be holes of the file; looked at once."""
        if self._is_preallocated is None:
            from blockdev.qcow2.status import looks_preallocated

            self._is_preallocated = looks_preallocated(self)
        return self._is_preallocated

    def truncate(self, size: int) -> None:
        """Give the disk another size; bytes that come read as zeros.

        Raises:
            QemuError: the size can't be, or the image's version doesn't allow it.
        """
        from blockdev.qcow2.resize import resize

        self.begin_change(of_size=True)
        resize(self, size)
        self.fit_bitmaps()

    def write_compressed(self, offset: int, data: bytes) -> None:
        from blockdev.qcow2.packing import write_compressed

        self.begin_change()
        self._check_inside(offset, len(data))
        self.mark_dirty(offset, len(data))
        write_compressed(self.metadata, offset, data)

    def make_empty(self) -> None:
        self.begin_change()
        self.mark_dirty(0, self.size)
        self.metadata.active.unmap(0, -(-self.size // self.cluster_size), as_zeros=False)

    def change_backing(self, name: str, driver: str) -> None:
        from blockdev.qcow2.backing import change_backing

        self._check_usable()
        self.check_active()
        change_backing(self.metadata, name, driver)
        self.backing_name = name
        self.backing_format = driver

    def preallocate(self, offset: int, size: int, mode: str) -> None:
        from blockdev.qcow2.resize import preallocate

        self.begin_change()
        preallocate(self, offset, size, mode)

    def give_back_end(self) -> None:
        from blockdev.qcow2.resize import cut_file

        cut_file(self)

    def align_file(self) -> None:
        """Let the file end with a whole sector, as compressed data may not."""
        size = self.file.size
        if size % 512:
            self.file.truncate(-(-size // 512) * 512)

    def load_snapshot(self, snapshot: Snapshot) -> None:
        """Show a snapshot's disk in place of the active one, of an image that is only read."""
        l1 = self.metadata.snapshot_table.read_l1(snapshot)
        self.metadata.active = self.metadata.mapping(l1, read_below=self._read_backing)

    @property
    def bitmap_store(self) -> BitmapStore:
        """The persistent bitmaps in memory, from now on up to date and stored at the end."""
        if self._bitmap_store is None:
            from blockdev.qcow2.bitmap_store import BitmapStore

            self._bitmap_store = BitmapStore(self)
        return self._bitmap_store

    @property
    def bitmap_keeper(self) -> BitmapStore:
        return self.bitmap_store

    def keep_bitmaps(self) -> None:
        self._keeps_bitmaps = True
        if self.bitmaps.are_listed and not self.is_inactive:
            _ = self.bitmap_store

    def begin_change(self, *, of_size: bool = False) -> None:
        """See that the disk may be changed, and that nothing says that it wasn't."""
        self._check_usable()
        self.check_active()
        bitmaps = self.bitmaps
        if bitmaps.are_recording or (of_size and bitmaps.are_true):
            bitmaps.invalidate(disabled=of_size)

    def _check_inside(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.size:
            raise QemuError("Input/output error", errno.EIO)

    def _read_backing(self, guest_offset: int, view: memoryview) -> None:
        if self.backing is None:
            view[:] = bytes(len(view))
        else:
            self.backing.read_into(guest_offset, view)

    # --- the write order

    def write_back(self) -> None:
        self.metadata.write_back()

    def flush(self) -> None:
        if not self.read_only and not self.is_inactive:
            self.file.debug_event("flush_to_os")
            self.metadata.write_back()
            self.file.debug_event("flush_to_disk")
            self.file.flush()

    def close(self) -> None:
        if not self.metadata.is_corrupt:
            if self._bitmap_store is not None:
                self._lose_nothing_quietly(self._bitmap_store)
            self.flush()

    def _lose_nothing_quietly(self, store: BitmapStore) -> None:
        """Store the bitmaps for the last time; what can't be is told, and lost, as in QEMU."""
        try:
            store.store()
        except QemuError as error:
            name = self.node_name
            self.report(f"Lost persistent bitmaps during inactivation of node '{name}': {error}")

    # --- snapshots

    @property
    def has_snapshots(self) -> bool:
        return not self.read_only and not self.is_inactive

    @property
    def holds_vmstate(self) -> bool:
        return self.has_snapshots

    def snapshots(self) -> Sequence[Snapshot]:
        return self.metadata.snapshot_table.entries

    def open_vmstate(self) -> VMStateWriter:
        from blockdev.qcow2.state import StateArea

        self._check_usable()
        self.check_active()
        return StateArea(self.metadata)

    def snapshot_create(self, snapshot: Snapshot, vmstate: VMStateWriter | None) -> None:
        from blockdev.qcow2.state import StateArea

        self._check_usable()
        self.check_active()
        assert vmstate is None or isinstance(vmstate, StateArea)
        try:
            self.metadata.snapshot_table.create(snapshot, vmstate.finish() if vmstate else None)
        except UncertainSwitchError:
            if vmstate:
                vmstate.adopt()
            raise
        if vmstate:
            vmstate.adopt()
        self.metadata.conclude()

    def snapshot_goto(self, id_or_name: str) -> SnapshotEntry:
        if shown_bitmaps(self):
            raise QemuError("Device has active dirty bitmaps", errno.EBUSY)
        self.begin_change(of_size=True)
        snapshot = self.metadata.snapshot_table.goto(id_or_name)
        self.metadata.conclude()
        return snapshot

    def snapshot_delete(self, id: str, name: str) -> None:
        self._check_usable()
        self.check_active()
        self.metadata.snapshot_table.delete(id, name)
        try:
            self.metadata.conclude()
        except QemuError as error:
            text = f"Failed to update snapshot status in disk: {error}"
            raise QemuError(text, error.errno_value) from error

    def state_of(self, snapshot: Snapshot | None) -> DiskState:
        """The disk as it was in one of the snapshots, or is now; only to be read."""
        from blockdev.qcow2.compare import DiskState

        has_backing = self.backing is not None
        if snapshot is None:
            return DiskState(self.metadata.active, self.size, has_backing=has_backing)
        entries = l1_entries_for(snapshot.disk_size, self.metadata.layout.span_bits)
        l1 = self.metadata.snapshot_table.read_l1(snapshot)[:entries]
        mapping = self.metadata.mapping(l1, read_below=self._read_backing)
        return DiskState(mapping, snapshot.disk_size, has_backing=has_backing)

    def vmstate_reader(self, snapshot: Snapshot) -> VMStateReader:
        from blockdev.qcow2.state import StateReader

        first = l1_entries_for(snapshot.disk_size, self.metadata.layout.span_bits)
        return StateReader(self.metadata, self.metadata.snapshot_table.read_l1(snapshot)[first:])

    # --- damage

    def _check_usable(self) -> None:
        if self.metadata.is_corrupt:
            raise QemuError("No medium found", errno.ENOMEDIUM)
