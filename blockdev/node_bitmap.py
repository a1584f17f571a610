"""Dirty bitmaps that a node shows: QEMU's BdrvDirtyBitmap, those with names and those of jobs."""

from __future__ import annotations

import errno

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.dirty_marks import DirtyMarks
from blockdev.errors import HintedError, QemuError
from blockdev.status import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

MAX_NAME = 1023
# We keep a byte for each piece: more of them than a machine has memory for are refused.
_MAX_PIECES = 1 << 29


class NodeBitmap(DirtyMarks):
    """Marks what is written to its node while it records.

    Args:
        name: "" for one of a job.
        marks: what it says.
        size: of the node, bytes.

    Attributes:
        is_recording: whether writes come into it.
        is_persistent: it is stored in the image at the end.
        is_busy: somebody uses it, so that nobody may change it.
        is_inconsistent: nobody knows what it should say; it can only be removed.
        is_read_only: the image it is from can't be written, so that it stays as it is.
        successor: takes the writes while a job uses this one.
    """

    __slots__ = (
        "is_busy",
        "is_inconsistent",
        "is_persistent",
        "is_read_only",
        "is_recording",
        "marks",
        "name",
        "size",
        "successor",
    )

    def __init__(
        self,
        name: str,
        marks: DirtyBitmap,
        size: int,
        *,
        is_recording: bool = True,
        is_persistent: bool = False,
        is_inconsistent: bool = False,
        is_read_only: bool = False,
    ) -> None:
        self.name = name
        self.marks = marks
        self.size = size
        self.is_recording = is_recording
        self.is_persistent = is_persistent
        self.is_inconsistent = is_inconsistent
        self.is_read_only = is_read_only
        self.is_busy = False
        self.successor: NodeBitmap | None = None

    @property
    def count(self) -> int:
        """The bytes of all marked pieces, as QEMU counts them: the last may reach past the end."""
        return self.marks.count * self.marks.granularity

    @property
    def shows_recording(self) -> bool:
        """Whether writes come into it, or into what it is going to be."""
        return self.is_recording or self.successor is not None

    def mark(self, offset: int, size: int) -> None:
        if self.is_recording:
            self.marks.mark(offset, size)

    def resize(self, size: int) -> None:
        """The node has another size."""
        self.size = size
        self.marks.resize(size)

    # --- use by a job

    def freeze(self, node: BlockNode) -> None:
        """Keep what it says for a job; what is written meanwhile goes elsewhere."""
        successor = anonymous(node, self.marks.granularity, is_recording=self.is_recording)
        self.successor = successor
        self.is_recording = False
        self.is_busy = True

    def reclaim(self, node: BlockNode) -> None:
        """The job is over, and changes nothing: what was written meanwhile comes into it."""
        successor = self._unfreeze(node)
        self.is_recording = successor.is_recording
        merge_marks(self.marks, successor.marks, self.size)

    def abdicate(self, node: BlockNode) -> NodeBitmap:
        """The job is over, and what it did needn't be done again: only what came since counts."""
        successor = self._unfreeze(node, stays=True)
        successor.name = self.name
        successor.is_persistent = self.is_persistent
        node.dirty_bitmaps.remove(self)
        return successor

    def _unfreeze(self, node: BlockNode, *, stays: bool = False) -> NodeBitmap:
        successor = self.successor
        assert successor is not None, "a job uses it"
        self.successor = None
        self.is_busy = False
        if not stays:
            node.dirty_bitmaps.remove(successor)
        return successor


def shown_bitmaps(node: BlockNode) -> list[NodeBitmap]:
    """The bitmaps that a node tells of, the newest first."""
    return [each for each in node.dirty_bitmaps[::-1] if isinstance(each, NodeBitmap)]


def named_bitmaps(node: BlockNode) -> list[NodeBitmap]:
    """Those with a name, the newest first."""
    return [each for each in shown_bitmaps(node) if each.name]


def anonymous(node: BlockNode, granularity: int, *, is_recording: bool = True) -> NodeBitmap:
    """A new bitmap of a job on a node."""
    size = length_of(node)
    made = NodeBitmap("", DirtyBitmap(size, granularity), size, is_recording=is_recording)
    node.dirty_bitmaps.append(made)
    return made


def find(node: BlockNode, name: str) -> NodeBitmap | None:
    """The bitmap of this name; None if there is none."""
    return next((each for each in named_bitmaps(node) if each.name == name), None)


def find_named(node: BlockNode, name: str) -> NodeBitmap:
    """The bitmap of this name.

    Raises:
        QemuError: there is none.
    """
    found = find(node, name)
    if found is None:
        raise QemuError(f"Dirty bitmap '{name}' not found", errno.ENOENT)
    return found


def check_bitmap(
    bitmap: NodeBitmap, *, is_changed: bool = True, is_removed: bool = False
) -> NodeBitmap:
    """See that a bitmap may be used.

    Args:
        is_changed: what it says is going to be changed.
        is_removed: it is going to go, so that it needn't make sense.

    Raises:
        QemuError: it may not.
    """
    name = bitmap.name
    if bitmap.is_busy:
        text = f"Bitmap '{name}' is currently in use by another operation and cannot be used"
        raise QemuError(text, errno.EBUSY)
    if bitmap.is_read_only and is_changed:
        raise QemuError(f"Bitmap '{name}' is readonly and cannot be modified", errno.EACCES)
    if bitmap.is_inconsistent and not is_removed:
        raise HintedError(
            f"Bitmap '{name}' is inconsistent and cannot be used",
            "Try block-dirty-bitmap-remove to delete this bitmap from disk",
            errno.EINVAL,
        )
    return bitmap


def add_bitmap(
    node: BlockNode,
    name: str,
    *,
    granularity: int | None = None,
    is_recording: bool = True,
    is_persistent: bool = False,
    shown_node: str = "",
) -> NodeBitmap:
    """Give a node a bitmap that says nothing so far.

    Args:
        granularity: bytes; None for the node's cluster size, more or less.
        shown_node: how messages call the node; "" for its name.

    Raises:
        QemuError: there can't be such a bitmap.
    """
    shown_node = shown_node or node.node_name
    if not name:
        raise QemuError("Bitmap name cannot be empty")
    if granularity is None:
        granularity = max(4096, min(node.cluster_size or 65536, 65536))
    elif granularity < 512 or granularity & (granularity - 1):
        raise QemuError("Granularity must be power of 2 and at least 512")
    if is_persistent:
        keeper = node.bitmap_keeper
        if keeper is None:
            text = f"Can't store persistent bitmaps to {shown_node}: Operation not supported"
            raise QemuError(text, errno.ENOTSUP)
        if find(node, name) is None:
            try:
                keeper.check_new(name, granularity)
            except QemuError as error:
                text = f"Can't make bitmap '{name}' persistent in '{shown_node}': {error}"
                raise QemuError(text, error.errno_value) from error
    if find(node, name) is not None:
        raise QemuError(f"Bitmap already exists: {name}")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise QemuError(f"Bitmap name too long: {name}")
    size = length_of(node)
    check_pieces(size, granularity)
    made = NodeBitmap(
        name,
        DirtyBitmap(size, granularity),
        size,
        is_recording=is_recording,
        is_persistent=is_persistent,
    )
    node.dirty_bitmaps.append(made)
    return made


def check_pieces(size: int, granularity: int) -> None:
    """See that there is memory for a bitmap.

    Raises:
        QemuError: there isn't.
    """
    if size // granularity > _MAX_PIECES:
        raise QemuError("Cannot allocate memory", errno.ENOMEM)


def remove_bitmap(node: BlockNode, bitmap: NodeBitmap) -> None:
    """Take a bitmap away, from the image too.

    Raises:
        QemuError: somebody uses it, or the image can't be written.
    """
    check_bitmap(bitmap, is_removed=True)
    if bitmap.is_persistent and node.bitmap_keeper is not None:
        node.bitmap_keeper.remove(bitmap.name)
    node.dirty_bitmaps.remove(bitmap)


def merge_marks(target: DirtyBitmap, source: DirtyBitmap, size: int) -> None:
    """Let marks say too what others say of the same disk, which has `size` bytes."""
    for offset, length in list(source.runs()):
        target.mark(offset, min(length, max(0, size - offset)))


def merge(target: NodeBitmap, source: NodeBitmap) -> None:
    """Let a bitmap say too what another says.

    Raises:
        QemuError: one of them may not be used, or they are of different disks.
    """
    check_bitmap(target)
    check_bitmap(source, is_changed=False)
    if target.size != source.size:
        raise QemuError(
            f"Bitmaps are of different sizes (destination size is {target.size}, "
            f"source size is {source.size}) and can't be merged",
            errno.EINVAL,
        )
    merge_marks(target.marks, source.marks, target.size)


def digest(bitmap: NodeBitmap) -> str:
    """The SHA-256 of what a bitmap says, in hexadecimal: of words of 64 pieces."""
    import hashlib

    bits = bitmap.marks.pack()
    return hashlib.sha256(bits.ljust(max(8, -(-len(bits) // 8) * 8), b"\0")).hexdigest()
