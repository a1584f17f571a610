"""A node of the block graph: QEMU's BlockDriverState."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.dirty_marks import BitmapKeeper, DirtyMarks
    from blockdev.file import Buffer
    from blockdev.snapshot import Snapshot
    from blockdev.status import BlockStatus
    from blockdev.vmstate_area import VMStateReader, VMStateWriter


_ZEROS_AT_ONCE = 1 << 20  # bytes


class CacheMode:
    """How a node's writes are held back: QEMU's ``cache.direct`` and ``cache.no-flush``."""

    __slots__ = ("direct", "no_flush")

    def __init__(self, *, direct: bool = False, no_flush: bool = False) -> None:
        self.direct = direct
        self.no_flush = no_flush


class OpBlocker:
    """Why nobody may do something to a node: QEMU's op blockers.

    Attributes:
        reason: in QEMU's words.
        allowed: what may be done all the same.
    """

    __slots__ = ("allowed", "reason")

    def __init__(self, reason: str, allowed: frozenset[str] = frozenset()) -> None:
        self.reason = reason
        self.allowed = allowed


class BlockNode:
    """One node of the graph; subclasses are drivers.

    Attributes:
        driver: the driver's name (``qcow2``).
        node_name: unique in the graph; ``#block123`` when nobody gave one.
        filename: the image's name as the user gave it.
        file: the protocol node underneath; None for a protocol node itself.
        backing: the node that answers where this one has no data.
        backing_name: what the image itself says of that; "" for none.
        has_own_backing: it was opened because the image says so.
        detect_zeroes: what becomes of zeros that are written: "off", "on" or "unmap"; they
            read the same.
        parents: how many nodes and backends use this one.
        op_blockers: who keeps others off it; see `check_op`.
        dirty_bitmaps: each is told what a guest writes; see `mark_dirty`.
        monitor_owned: made by ``-blockdev``, so a root even when nothing uses it.
        is_exclusive: a job fills it, so that what is in it makes no sense to others; see `claim`.
        is_inactive: another process may have the image for now, so that nothing is written here:
            the machine migrated away, or hasn't come yet.
    """

    driver = ""
    is_filter = False  # it shows what the node under it has
    is_implicit = False  # nobody asked for it, so it isn't shown where a medium is
    is_named_as_child = False  # it is called what the node under it is

    def __init__(self, node_name: str, filename: str, *, read_only: bool, cache: CacheMode) -> None:
        self.node_name = node_name
        self.filename = filename
        self.read_only = read_only
        self.cache = cache
        self.file: BlockNode | None = None
        self.backing: BlockNode | None = None
        self.backing_name = ""
        self.has_own_backing = False
        self.detect_zeroes = "off"
        self.parents = 0
        self.op_blockers: list[OpBlocker] = []
        self.dirty_bitmaps: list[DirtyMarks] = []
        self.monitor_owned = False
        self.is_exclusive = False
        self.is_inactive = False

    @property
    def children(self) -> list[BlockNode]:
        """The nodes right under this one."""
        return [child for child in (self.file, self.backing) if child is not None]

    @property
    def roles(self) -> list[tuple[str, BlockNode]]:
        """The same, each with what it is for."""
        named = (("file", self.file), ("backing", self.backing))
        return [(role, child) for role, child in named if child is not None]

    def replace_child(self, old: BlockNode, new: BlockNode) -> int:
        """Use another node instead of one; for how many purposes that was used."""
        count = 0
        if self.file is old:
            self.file = new
            count += 1
        if self.backing is old:
            self.backing = new
            count += 1
        return count

    @property
    def is_protocol(self) -> bool:
        """Whether its bytes come from outside, not from a node under it."""
        return self.file is None

    @property
    def shown_options(self) -> dict[str, object]:
        """What else its name tells where that is the whole tree."""
        return {}

    @property
    def place_options(self) -> dict[str, str]:
        """What stands for its own name where it is a part of a tree."""
        return {}

    def wait_ns(self, *, is_write: bool) -> int:
        """How long the next request has to wait, since somebody limits them; 0 mostly."""
        return self.file.wait_ns(is_write=is_write) if self.file is not None else 0

    def account(self, size: int, *, is_write: bool) -> None:
        """A request of so many bytes came through, as whoever limits them is to know."""
        if self.file is not None:
            self.file.account(size, is_write=is_write)

    def debug_event(self, event: str) -> None:
        """Something is about to be done to this node's bytes; ``blkdebug`` goes by it."""

    @property
    def migration_blocker(self) -> str:
        """Why a machine with this node can't be saved; "" if it can."""
        return ""

    @property
    def is_inserted(self) -> bool:
        """Whether there still is something to use; QEMU drops an image that it found corrupt."""
        return True

    @property
    def size(self) -> int:
        """Bytes a guest sees."""
        raise NotImplementedError

    @property
    def cluster_size(self) -> int:
        """Bytes that the format allocates at a time; 0 where it has no such thing."""
        return 0

    @property
    def allocated_bytes(self) -> int:
        """Bytes taken on the host's file system; -1 where nobody knows."""
        return self.file.allocated_bytes if self.file else 0

    def claim(self, *, attached: bool) -> None:
        """Take the image locks this node needs; `attached`: a guest device uses it.

        Raises:
            QemuError: another process has the image.
        """

    def reopen(self, *, read_only: bool) -> None:
        """Give or take the right to write.

        Raises:
            QemuError: it can't be had; all is as before.
        """
        if read_only == self.read_only:
            return
        if read_only:
            self.flush()
        elif self.file is not None and self.file.read_only:
            self.file.reopen(read_only=False)
        self.read_only = read_only
        try:
            self.claim(attached=False)
            self.reload()
        except QemuError:
            self.read_only = not read_only
            self.claim(attached=False)
            if self.file is not None:
                self.file.reopen(read_only=self.read_only)
            raise
        if read_only and self.file is not None:
            self.file.reopen(read_only=True)
        if not self.monitor_owned:
            # What -drive says of it isn't among the options that QEMU opens it with again.
            self.detect_zeroes = "off"

    def reload(self) -> None:
        """Read anew what the image says of itself, after `reopen`."""

    def set_exclusive(self, is_exclusive: bool) -> None:
        """Keep others from reading too, or let them again."""
        self.is_exclusive = is_exclusive
        self.claim(attached=False)

    def inactivate(self) -> None:
        """Write back, and leave the image to others until `activate`.

        Raises:
            QemuError: it can't be written; the node is as active as before.
        """
        self.write_back()
        self.is_inactive = True

    def activate(self) -> None:
        """Take the image over again, as it is by now; harmless for an active node.

        Raises:
            QemuError: another process has it, or it can't be opened; it stays inactive.
        """
        self.is_inactive = False

    def check_op(self, operation: str, shown: str = "") -> None:
        """To be called before something is done that others may not bear.

        Args:
            operation: QEMU's name of it, such as `resize`.
            shown: how messages call the node; "" for its own name.

        Raises:
            QemuError: somebody keeps others off.
        """
        for blocker in self.op_blockers[::-1]:
            if operation not in blocker.allowed:
                raise QemuError(f"Node '{shown or self.node_name}' is busy: {blocker.reason}")

    def check_active(self) -> None:
        """To be called before a write.

        Raises:
            QemuError: the image is left to others.
        """
        if self.is_inactive:
            raise QemuError(f"Node '{self.node_name}' is inactive", errno.EPERM)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; what lies past the end reads as zeros."""
        raise NotImplementedError

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view` from `offset`."""
        view[:] = self.read(offset, len(view))

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers one after the other from `offset` on."""
        raise NotImplementedError

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        """Make bytes read as zeros.

        Args:
            may_unmap: what is allocated for them may go.
        """
        for start in range(offset, offset + size, _ZEROS_AT_ONCE):
            self.write(start, [bytes(min(_ZEROS_AT_ONCE, offset + size - start))])

    def discard(self, offset: int, size: int) -> None:
        """Nobody needs these bytes any more; what they read as then is the node's affair."""

    def write_compressed(self, offset: int, data: bytes) -> None:
        """Write whole clusters so that they take less room, where the format can."""
        raise QemuError("Operation not supported", errno.ENOTSUP)

    def make_empty(self) -> None:
        """Let go all that this node itself has, so that the backing node answers."""
        raise QemuError("Operation not supported", errno.ENOTSUP)

    def give_back_end(self) -> None:
        """Write back, and make the file end where what is used does."""
        self.flush()

    def change_backing(self, name: str, driver: str) -> None:
        """Let the image name another backing file, or none; the nodes stay as they are.

        Args:
            name: as it is to stand in the image; "" for none.
            driver: of that file.
        """
        raise QemuError("Operation not supported", errno.ENOTSUP)

    def truncate(self, size: int) -> None:
        """Give the node another size; bytes that come read as zeros."""
        raise QemuError("Image format driver does not support resize", errno.ENOTSUP)

    def check_room(self, end: int) -> None:
        """To be called before the bytes up to `end` are given a use, past the end perhaps.

        Raises:
            QemuError: the node has a fixed size, so that they could never be written.
        """

    def preallocate(self, offset: int, size: int, mode: str) -> None:
        """Take room for bytes that were just added to the end.

        Args:
            mode: ``metadata``: only in the format; ``falloc``: on the host; ``full``: with zeros.
        """
        text = f"Unsupported preallocation mode: {mode}"
        raise QemuError(text, errno.ENOTSUP)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether this node itself has the byte at `offset`, and for how many bytes at least.

        Args:
            size: how many bytes are asked about; the answer is of no more.
        """
        raise QemuError("Operation not supported", errno.ENOTSUP)

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        """What this driver alone knows of some bytes, all inside the node; see `blockdev.status`.

        Args:
            wants_zeros, in_slices: as for `blockdev.status.status`.
        """
        from blockdev.status import ALLOCATED, DATA, BlockStatus

        return BlockStatus(DATA | ALLOCATED, size)

    def mark_dirty(self, offset: int, size: int) -> None:
        """Note that these bytes were written; to be called by whoever writes them here."""
        for bitmap in self.dirty_bitmaps:
            bitmap.mark(offset, size)

    def keep(self, offset: int, data: bytes) -> None:
        """Take in bytes that it shows already, from what is under it: for bitmaps no write."""
        told, self.dirty_bitmaps = self.dirty_bitmaps, []
        try:
            if data.strip(b"\0"):
                self.write(offset, [data])
            else:
                self.write_zeroes(offset, len(data))
        finally:
            self.dirty_bitmaps = told

    def fit_bitmaps(self) -> None:
        """The node has another size now; to be called by whoever changes that."""
        for bitmap in self.dirty_bitmaps:
            bitmap.resize(-(-self.size // 512) * 512)

    @property
    def bitmap_keeper(self) -> BitmapKeeper | None:
        """Stores bitmaps in the image; None where the format has no place for them."""
        return None

    def keep_bitmaps(self) -> None:
        """Take the image's bitmaps into memory, to be kept up to date and stored at the end."""

    def write_back(self) -> None:
        """Bring to the file what this node keeps in memory, in an order a crash can't hurt."""

    def flush(self) -> None:
        """A guest's barrier: write back, and wait until the disk has it."""
        if self.file is not None:
            self.file.flush()

    def close(self) -> None:
        """Write back and let go of what this node alone holds; the graph closes the children."""

    # --- internal snapshots; only formats that have them override these

    @property
    def has_snapshots(self) -> bool:
        """Whether the format keeps snapshots and may be written."""
        return False

    @property
    def holds_vmstate(self) -> bool:
        """Whether there is a place for machine state too; only where there are snapshots."""
        return False

    def snapshots(self) -> Sequence[Snapshot]:
        """The snapshots in the order of the table."""
        return ()

    def open_vmstate(self) -> VMStateWriter:
        """A place for machine state, to be given to `snapshot_create`."""
        raise self._no_snapshots()

    def snapshot_create(self, snapshot: Snapshot, vmstate: VMStateWriter | None) -> None:
        """Make a snapshot of the disk as it is, with its state; sets the snapshot's id."""
        raise self._no_snapshots()

    def snapshot_goto(self, id_or_name: str) -> Snapshot:
        """Put the disk back to a snapshot, and return which it was."""
        raise self._no_snapshots()

    def snapshot_delete(self, id: str, name: str) -> None:
        """Take away the snapshot with this id and tag."""
        raise self._no_snapshots()

    def vmstate_reader(self, snapshot: Snapshot) -> VMStateReader:
        """The machine state of one of this node's snapshots."""
        raise self._no_snapshots()

    def _no_snapshots(self) -> QemuError:
        return QemuError(
            f"Block format '{self.driver}' used by device '{self.filename}' "
            f"does not support feature 'internal snapshots'",
            errno.ENOTSUP,
        )
