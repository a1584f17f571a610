"""An image's tables as a whole, and the order in which changes of them reach the file.

At every instant the file must hold for each cluster a count of at least its references, and the
mark "ours alone" only where there is one.  A count too high is a leak and harmless, a count too
low hands the same cluster out twice.  So `write_back` goes

    counts that rise, new tables  |  entries that use them  |  counts that fall

where each bar is a barrier, left out when a side is empty.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.qcow2.allocator import Allocator
from blockdev.qcow2.entries import EntryLayout
from blockdev.qcow2.guard import Guard
from blockdev.qcow2.header import CORRUPT, EXTENDED_L2, Header, compression_type
from blockdev.qcow2.lookup import Clusters
from blockdev.qcow2.mapping import Mapping
from blockdev.qcow2.refcounts import Refcounts
from blockdev.qcow2.snapshots import SnapshotTable
from blockdev.qcow2.tables import L2Tables
from blockdev.qcow2.words import big_endian, from_big_endian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable

    from blockdev.node import BlockNode
    from blockdev.qcow2.entries import Reference


class UncertainSwitchError(QemuError):
    """The header's write failed, and so did putting the old one back: either may be there."""


class Metadata:
    """Header, refcounts, L1 and L2 tables and snapshots of one image.

    Args:
        file: the node with the image's bytes.
        header: as it stands in the file.
        first_cluster: its bytes.
        read_only: nothing is ever written.
        complain: takes a line for standard error: that the image is corrupt.
        report: told other lines from the depths.
        read_below: fills a view from a guest offset where the active disk has nothing.

    Attributes:
        compression_type: of compressed clusters.
        active: the mapping of the disk that the guest sees.
        marks_are_stale: something may be ours alone without saying so.
        is_corrupt: damage was met, and the image marked; nothing is written any more.

    Raises:
        QemuError: the tables can't be; QEMU's words.
    """

    def __init__(
        self,
        file: BlockNode,
        header: Header,
        first_cluster: bytes,
        *,
        read_only: bool,
        complain: Callable[[str], object],
        report: Callable[[str], object],
        read_below: Callable[[int, memoryview], None],
    ) -> None:
        self.file = file
        self.header = header
        self.report = report
        self._complain = complain
        self._read_only = read_only
        self._read_below = read_below
        self.marks_are_stale = False
        self.is_corrupt = False
        self._said_corrupt = False
        self.cluster_bits = header.cluster_bits
        self.cluster_size = 1 << self.cluster_bits
        self.refcounts = Refcounts(
            file,
            cluster_bits=self.cluster_bits,
            refcount_order=header.refcount_order,
            table_offset=header.refcount_table_offset,
            table_clusters=header.refcount_table_clusters,
            report_corruption=self.report_corruption,
            switch_table=self._switch_refcount_table,
            note_tables=self._note_tables,
        )
        self.allocator = Allocator(self.refcounts)
        self.tables = L2Tables(file, self.cluster_size)
        is_extended = bool(header.incompatible_features & EXTENDED_L2)
        self.layout = EntryLayout(self.cluster_bits, is_extended=is_extended)
        self.guard = Guard(self)
        self.compression_type = compression_type(header, first_cluster)
        self._clusters = Clusters(
            file=file,
            layout=self.layout,
            tables=self.tables,
            allocator=self.allocator,
            compression_type=self.compression_type,
            report_corruption=self.report_corruption,
            guard=self.guard,
        )
        l1 = file.read(header.l1_table_offset, 8 * header.l1_size)
        self.active = self.mapping(from_big_endian("Q", l1), read_below=read_below)
        self.snapshot_table = SnapshotTable(self)
        self.packed_end = 0  # where the next compressed cluster may begin; 0: nowhere yet

    @property
    def size(self) -> int:
        """Bytes of the disk that the guest sees."""
        return self.header.size

    def mapping(
        self, l1: array[int], *, read_below: Callable[[int, memoryview], None] | None = None
    ) -> Mapping:
        """A mapping over this image's clusters; what it doesn't map reads as zeros."""
        return Mapping(l1, self._clusters, read_below or _read_zeros)

    # --- the write order

    def write_back(self) -> None:
        if self._read_only or self.is_corrupt:
            return
        if self.active.changed_l1 or self.tables.has_changes:
            self.file.debug_event("refblock_update_part")
            self.refcounts.write()
            self.tables.write_new()
            self.file.flush()
            self.file.debug_event("l2_update")
            self.tables.write_changes()
            self._write_changed_l1()
        if self.allocator.has_deferred:
            self.file.flush()
            self.allocator.apply_deferred()
            self.tables.forget(lambda cluster: self.refcounts.get(cluster) == 0)
        if self.refcounts.is_dirty:
            self.refcounts.write()
        if self.marks_are_stale:
            from blockdev.qcow2.sharing import set_copied

            # True in the file already, whatever the counts there say, so no barrier is needed.
            set_copied(self.active)
            self.marks_are_stale = False
            self.tables.write_changes()
            self._write_changed_l1()

    def conclude(self) -> None:
        """See that a header that was switched is on the disk, which freeing waits for anyway."""
        needs_barrier = not self.allocator.has_deferred
        self.write_back()
        if needs_barrier:
            self.file.flush()

    def _write_changed_l1(self) -> None:
        """Write the changed entries, those in a row at once; any may come without the others."""
        active = self.active
        changed = sorted(active.changed_l1)
        start = 0
        while start < len(changed):
            first, end = changed[start], start + 1
            while end < len(changed) and changed[end] - first == end - start:
                end += 1
            entries = active.l1[first : first + end - start]
            self.file.debug_event("l1_update")
            self.file.write(self.header.l1_table_offset + 8 * first, [big_endian(entries)])
            active.changed_l1.difference_update(changed[start:end])
            start = end
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
        self.active = self.mapping(mapping.l1, read_below=self._read_below)
        self.free_bytes_later(old.l1_table_offset, 8 * old.l1_size)

    def _switch_refcount_table(self, offset: int, clusters: int) -> None:
        """Let the header name another refcount table; `Refcounts.write` sees to the order."""
        header = self.header.replace(refcount_table_offset=offset, refcount_table_clusters=clusters)
        first, last = "refcount_table_offset", "refcount_table_clusters"
        self.file.write(Header.offset_of(first), [header.pack(first, last)])
        self.header = header
        self.guard.renew()

    # --- clusters

    def _note_tables(self, first: int, count: int) -> None:
        for cluster in range(first, first + count):
            self.guard.add(cluster)

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
        if any(stale):
            from blockdev.qcow2.sharing import references

            for reference in references(self.mapping(stale)):
                self.allocator.free_later(reference)
        for index in range(l1_entries, len(active.l1)):
            if active.l1[index]:
                active.l1[index] = 0
                active.changed_l1.add(index)

    # --- damage

    def report_corruption(self, text: str) -> None:
        """Say once that the image is damaged; one that may be written is marked and left alone."""
        if not self._read_only:
            self._complain(
                f"qcow2: Marking image as corrupt: {text}; further corruption events will be "
                "suppressed"
            )
            features = self.header.incompatible_features | CORRUPT
            self.header = self.header.replace(incompatible_features=features)
            field = "incompatible_features"
            self.file.write(Header.offset_of(field), [self.header.pack(field, field)])
            self.file.flush()
            self.is_corrupt = True
        elif not self._said_corrupt:
            self._complain(
                f"qcow2: Image is corrupt: {text}; further non-fatal corruption events will be "
                "suppressed"
            )
        self._said_corrupt = True


def _read_zeros(_guest_offset: int, view: memoryview) -> None:
    view[:] = bytes(len(view))
