"""A qcow2 image as a node: what the parts have in common, and the order of their writes.

At every instant the file must hold for each cluster a count of at least its references, and the
mark "ours alone" only where there is one.  A count too high is a leak and harmless, a count too
low hands the same cluster out twice.  So `write_back` goes

    counts that rise, new tables  |  entries that use them  |  counts that fall

where each bar is a barrier, left out when a side is empty.
"""

from __future__ import annotations

import errno
from array import array

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, RESIZE, WRITE
from blockdev.node import BlockNode, CacheMode, VMStateReader, VMStateWriter
from blockdev.qcow2 import zeros
from blockdev.qcow2.allocator import Allocator
from blockdev.qcow2.bitmaps import Bitmaps
from blockdev.qcow2.entries import EntryLayout
from blockdev.qcow2.extensions import (
    EXTENSION_BACKING_FORMAT,
    read_backing_name,
    read_extensions,
)
from blockdev.qcow2.guard import Guard
from blockdev.qcow2.header import (
    BITMAPS,
    CORRUPT,
    DIRTY,
    EXTENDED_L2,
    Header,
    compression_type,
    l1_entries_for,
    read_header,
)
from blockdev.qcow2.lookup import Clusters
from blockdev.qcow2.mapping import Mapping
from blockdev.qcow2.refcounts import Refcounts
from blockdev.qcow2.resize import resize
from blockdev.qcow2.sharing import references, set_copied
from blockdev.qcow2.snapshots import SnapshotTable
from blockdev.qcow2.state import StateArea, StateReader
from blockdev.qcow2.tables import L2Tables
from blockdev.qcow2.words import from_big_endian
from blockdev.raw import FileNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blockdev.file import Buffer
    from blockdev.qcow2.entries import Reference
    from blockdev.qcow2.snapshots import SnapshotEntry
    from blockdev.snapshot import Snapshot

_START_BYTES = 64 << 10  # the header, and names of unknown features in most images


class UncertainSwitchError(QemuError):
    """The header's write failed, and so did putting the old one back: either may be there."""


class Image(BlockNode):
    """Driver ``qcow2``.

    Args:
        file: the node with the image's bytes.
        report: told lines from the depths, such as that the image is corrupt.
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
        is_inactive: bool = False,
    ) -> None:
        super().__init__(node_name, file.filename, read_only=read_only, cache=cache)
        self.file: BlockNode = file
        self.report = report
        self.is_inactive = is_inactive
        self._is_corrupt = False
        self._said_corrupt = False
        self.claim(attached=False)
        self._load()

    def _load(self) -> None:
        """Read what the image says of itself."""
        file, read_only = self.file, self.read_only or self.is_inactive
        self.marks_are_stale = False  # something may be ours alone without saying so
        self.header = read_header(file.read(0, _START_BYTES), read_only=read_only)
        if self.header.incompatible_features & DIRTY and not read_only:
            self._repair()
        self.cluster_bits = self.header.cluster_bits
        first_cluster = file.read(0, self.cluster_size)
        self.extensions = read_extensions(first_cluster, self.header)
        self.backing_name = read_backing_name(first_cluster, self.header)
        formats = [data for magic, data in self.extensions if magic == EXTENSION_BACKING_FORMAT]
        self.backing_format = formats[0].decode("utf-8", "surrogateescape") if formats else ""
        self.refcounts = Refcounts(
            file,
            cluster_bits=self.cluster_bits,
            refcount_order=self.header.refcount_order,
            table_offset=self.header.refcount_table_offset,
            table_clusters=self.header.refcount_table_clusters,
            report_corruption=self.report_corruption,
            switch_table=self._switch_refcount_table,
        )
        self.allocator = Allocator(self.refcounts)
        self.tables = L2Tables(file, self.cluster_size)
        is_extended = bool(self.header.incompatible_features & EXTENDED_L2)
        self.layout = EntryLayout(self.cluster_bits, is_extended=is_extended)
        self.guard = Guard(self)
        self._clusters = Clusters(
            file=file,
            layout=self.layout,
            tables=self.tables,
            allocator=self.allocator,
            compression_type=compression_type(self.header, first_cluster),
            report_corruption=self.report_corruption,
            guard=self.guard,
        )
        l1 = file.read(self.header.l1_table_offset, 8 * self.header.l1_size)
        self.active = self.mapping(from_big_endian("Q", l1), read_below=self._read_backing)
        self.snapshot_table = SnapshotTable(self)
        self._bitmaps = Bitmaps(self)
        known = self.header.autoclear_features & (BITMAPS if self._bitmaps.are_true else 0)
        if not read_only and self.header.autoclear_features != known:
            # What nobody here keeps up to date must not be taken for true after our first write.
            name = "autoclear_features"
            self.switch_header(name, name, autoclear_features=known)
            file.flush()

    def _repair(self) -> None:
        """Count anew what another program, which keeps counts late, was killed over."""
        from blockdev.qcow2.repair import repair

        repair(self.file, leaks=True, errors=True)
        self.header = read_header(self.file.read(0, _START_BYTES), read_only=False)
        if self.header.incompatible_features & DIRTY:
            raise QemuError("Could not repair dirty image", errno.EIO)

    def claim(self, *, attached: bool) -> None:
        # The format itself allows no second writer, whatever the device says.
        if isinstance(self.file, FileNode):
            if self.is_inactive:
                self.file.bytes.set_permissions({CONSISTENT_READ}, ())
                return
            uses = {CONSISTENT_READ} if self.read_only else {CONSISTENT_READ, WRITE, RESIZE}
            self.file.bytes.set_permissions(uses, {WRITE, RESIZE})

    def inactivate(self) -> None:
        super().inactivate()
        self.claim(attached=False)

    def activate(self) -> None:
        if self.is_inactive:
            super().activate()
            try:
                self.claim(attached=False)
                self._load()
            except QemuError:
                self.is_inactive = True
                self.claim(attached=False)
                raise

    @property
    def is_inserted(self) -> bool:
        return not self._is_corrupt

    @property
    def size(self) -> int:
        return self.header.size

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits

    def mapping(
        self, l1: array[int], *, read_below: Callable[[int, memoryview], None] | None = None
    ) -> Mapping:
        """A mapping over this image's clusters; what it doesn't map reads as zeros."""
        return Mapping(l1, self._clusters, read_below or _read_zeros)

    # --- the guest's reads and writes

    def read(self, offset: int, size: int) -> bytes:
        self._check_usable()
        inside = max(0, min(size, self.size - offset))
        data = self.active.read(offset, inside)
        return data if inside == size else data + bytes(size - inside)

    def read_into(self, offset: int, view: memoryview) -> None:
        self._check_usable()
        inside = max(0, min(len(view), self.size - offset))
        self.active.read_into(offset, view[:inside])
        view[inside:] = bytes(len(view) - inside)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._begin_change()
        size = sum(map(len, buffers))
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        self.active.write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self._begin_change()
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        zeros.write_zeroes(self, offset, size, may_unmap=may_unmap)

    def discard(self, offset: int, size: int) -> None:
        self._begin_change()
        self._check_inside(offset, size)
        self.mark_dirty(offset, size)
        zeros.discard(self, offset, size)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether this image itself has the byte at `offset`, and for how many that holds."""
        return self.active.run(offset, size)

    def truncate(self, size: int) -> None:
        """Give the disk another size; bytes that come read as zeros.

        Raises:
            QemuError: the size can't be, or the image's version doesn't allow it.
        """
        self._begin_change(of_size=True)
        self.check_active()
        resize(self, size)

    def _begin_change(self, *, of_size: bool = False) -> None:
        """See that the disk may be changed, and that nothing says that it wasn't."""
        self._check_usable()
        bitmaps = self._bitmaps
        if bitmaps.are_recording or (of_size and bitmaps.are_true):
            bitmaps.invalidate(disabled=of_size)

    def _check_inside(self, offset: int, size: int) -> None:
        self.check_active()
        if offset + size > self.size:
            raise QemuError("Input/output error", errno.EIO)

    def _read_backing(self, guest_offset: int, view: memoryview) -> None:
        if self.backing is None:
            view[:] = bytes(len(view))
        else:
            self.backing.read_into(guest_offset, view)

    # --- the write order

    def write_back(self) -> None:
        if self.read_only or self.is_inactive or self._is_corrupt:
            return
        if self.active.changed_l1 or self.tables.has_changes:
            self.refcounts.write()
            self.tables.write_new()
            self.file.flush()
            self.tables.write_changes()
            self._write_changed_l1()
        if self.allocator.has_deferred:
            self.file.flush()
            self.allocator.apply_deferred()
            self.tables.forget(lambda cluster: self.refcounts.get(cluster) == 0)
        if self.refcounts.is_dirty:
            self.refcounts.write()
        if self.marks_are_stale:
            # True in the file already, whatever the counts there say, so no barrier is needed.
            set_copied(self.active)
            self.marks_are_stale = False
            self.tables.write_changes()
            self._write_changed_l1()

    def flush(self) -> None:
        if not self.read_only:
            self.write_back()
            self.file.flush()

    def _conclude(self) -> None:
        """See that a header that was switched is on the disk, which freeing waits for anyway."""
        needs_barrier = not self.allocator.has_deferred
        self.write_back()
        if needs_barrier:
            self.file.flush()

    def close(self) -> None:
        if not self._is_corrupt:
            self.flush()

    def _write_changed_l1(self) -> None:
        active = self.active
        for index in sorted(active.changed_l1):
            entry = active.l1[index].to_bytes(8, "big")
            self.file.write(self.header.l1_table_offset + 8 * index, [entry])
            active.changed_l1.discard(index)
        self.tables.now_reachable(active.l1)

    def switch_header(self, first: str, last: str, **changes: int) -> None:
        """Change neighbouring header fields in one write, behind a barrier for all before it.

        The write stays inside the first sector, so it happens or it doesn't.  When the file says
        that it failed, the old fields are written again; were that to fail too, what the new
        ones name stays counted, since they may be in the file.
        """
        self.refcounts.write()
        self.tables.write_new()
        self.tables.write_changes()
        self._write_changed_l1()
        self.file.flush()
        old = self.header
        self.header = old.replace(**changes)
        self.guard.renew()
        offset = Header.offset_of(first)
        try:
            self.file.write(offset, [self.header.pack(first, last)])
        except QemuError as error:
            self.header = old
            try:
                self.file.write(offset, [old.pack(first, last)])
            except QemuError:
                raise UncertainSwitchError(str(error), error.errno_value) from error
            raise

    def switch_l1(self, mapping: Mapping, offset: int, size: int) -> None:
        """Make a mapping, whose L1 table is at `offset`, the active one of a disk of `size`."""
        old = self.header
        # The fields from size to l1_table_offset stand in a row, so that all change at once.
        self.switch_header(
            "size", "l1_table_offset", size=size, l1_size=len(mapping.l1), l1_table_offset=offset
        )
        self.active = self.mapping(mapping.l1, read_below=self._read_backing)
        self.free_bytes_later(old.l1_table_offset, 8 * old.l1_size)

    def _switch_refcount_table(self, offset: int, clusters: int) -> None:
        """Let the header name another refcount table; `Refcounts.write` sees to the order."""
        header = self.header.replace(refcount_table_offset=offset, refcount_table_clusters=clusters)
        first, last = "refcount_table_offset", "refcount_table_clusters"
        self.file.write(Header.offset_of(first), [header.pack(first, last)])
        self.header = header

    # --- clusters

    def allocate_bytes(self, size: int, runs: list[Reference]) -> int:
        """Clusters in a row for `size` bytes, noted in `runs`; the host offset, 0 for no bytes."""
        if not size:
            return 0
        run = self.allocator.allocate(-(-size // self.cluster_size), exactly=True)
        runs.append(run)
        self.guard.check(*run)
        return run[0] << self.cluster_bits

    def give_back(self, runs: list[Reference], error: QemuError) -> None:
        """Undo the counts of a change that failed, unless it may be in the file after all."""
        if not isinstance(error, UncertainSwitchError):
            for reference in runs:
                self.allocator.free_now(reference)

    def free_bytes_later(self, offset: int, size: int) -> None:
        """Give back the clusters that `size` bytes from `offset` lie in, once that is safe."""
        if size:
            self.allocator.free_later((offset >> self.cluster_bits, -(-size // self.cluster_size)))

    def count_up(self, references: Iterable[Reference], runs: list[Reference]) -> None:
        """Count one more reference to each cluster, noting those done in `runs`."""
        for reference in references:
            self.allocator.count_up(reference)
            runs.append(reference)

    def drop_entries_past(self, l1_entries: int) -> None:
        """Unmap what the active L1 table maps past so many entries, once that is safe."""
        active = self.active
        stale = active.l1[l1_entries:]
        for reference in references(self.mapping(stale)) if any(stale) else ():
            self.allocator.free_later(reference)
        for index in range(l1_entries, len(active.l1)):
            if active.l1[index]:
                active.l1[index] = 0
                active.changed_l1.add(index)

    # --- snapshots

    @property
    def has_snapshots(self) -> bool:
        return not self.read_only and not self.is_inactive

    def snapshots(self) -> Sequence[Snapshot]:
        return self.snapshot_table.entries

    def open_vmstate(self) -> VMStateWriter:
        self._check_usable()
        return StateArea(self)

    def snapshot_create(self, snapshot: Snapshot, vmstate: VMStateWriter | None) -> None:
        self._check_usable()
        assert vmstate is None or isinstance(vmstate, StateArea)
        try:
            self.snapshot_table.create(snapshot, vmstate.finish() if vmstate else None)
        except UncertainSwitchError:
            if vmstate:
                vmstate.adopt()
            raise
        if vmstate:
            vmstate.adopt()
        self._conclude()

    def snapshot_goto(self, id_or_name: str) -> SnapshotEntry:
        self._begin_change(of_size=True)
        snapshot = self.snapshot_table.goto(id_or_name)
        self._conclude()
        return snapshot

    def snapshot_delete(self, id: str, name: str) -> None:
        self._check_usable()
        self.check_active()
        self.snapshot_table.delete(id, name)
        try:
            self._conclude()
        except QemuError as error:
            text = f"Failed to update snapshot status in disk: {error}"
            raise QemuError(text, error.errno_value) from error

    def vmstate_reader(self, snapshot: Snapshot) -> VMStateReader:
        first = l1_entries_for(snapshot.disk_size, self.layout.span_bits)
        return StateReader(self, self.snapshot_table.read_l1(snapshot)[first:])

    # --- damage

    def _check_usable(self) -> None:
        if self._is_corrupt:
            raise QemuError("No medium found", errno.ENOMEDIUM)

    def report_corruption(self, text: str) -> None:
        """Say once that the image is damaged; one that may be written is marked and left alone."""
        if not self.read_only:
            self.report(
                f"qcow2: Marking image as corrupt: {text}; further corruption events will be "
                "suppressed"
            )
            features = self.header.incompatible_features | CORRUPT
            self.header = self.header.replace(incompatible_features=features)
            field = "incompatible_features"
            self.file.write(Header.offset_of(field), [self.header.pack(field, field)])
            self.file.flush()
            self._is_corrupt = True
        elif not self._said_corrupt:
            self.report(
                f"qcow2: Image is corrupt: {text}; further non-fatal corruption events will be "
                "suppressed"
            )
        self._said_corrupt = True


def _read_zeros(_guest_offset: int, view: memoryview) -> None:
    view[:] = bytes(len(view))
