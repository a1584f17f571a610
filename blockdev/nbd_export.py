"""What an NBD server shows of a node, and does to it for its clients."""

from __future__ import annotations

from blockdev import nbd_protocol as nbd
from blockdev.backend import Backend
from blockdev.nbd_contexts import contexts_of
from blockdev.status import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.node import BlockNode
    from blockdev.node_bitmap import NodeBitmap

_READ_FLAGS = nbd.HAS_FLAGS | nbd.SEND_FLUSH | nbd.SEND_FUA | nbd.SEND_CACHE
_WRITE_FLAGS = nbd.SEND_TRIM | nbd.SEND_WRITE_ZEROES | nbd.SEND_FAST_ZERO


class NbdExport:
    """A node under a name.

    Args:
        id: by which the monitor knows it.
        name: by which clients do.
        description: for people; "" for none.
        is_writable: clients may write; else the node is only read, whatever it allows.
        drive: the drive whose medium it is; None where the node itself was named.
        bitmaps: clients may see what these say; nobody changes them meanwhile.
        with_depth: clients may see which image of the chain has what.
        is_for_one: there is one client at a time.

    Attributes:
        contexts: all that clients can be told of its parts.
        root: its place among those that use the node.
    """

    def __init__(
        self,
        id: str,
        node: BlockNode,
        *,
        name: str,
        description: str,
        is_writable: bool,
        drive: Backend | None,
        bitmaps: Sequence[NodeBitmap] = (),
        with_depth: bool = False,
        is_for_one: bool = False,
    ) -> None:
        self.id = id
        self.name = name
        self.description = description
        self.is_writable = is_writable
        self.drive = drive
        self.root = Backend("", node)
        self.contexts = contexts_of(bitmaps, with_depth=with_depth)
        self._bitmaps = bitmaps
        self._is_for_one = is_for_one
        for bitmap in bitmaps:
            bitmap.is_busy = True

    @property
    def node(self) -> BlockNode:
        """The node, which may be another by now: an overlay, or a job's filter."""
        return self.root.medium()

    @property
    def size(self) -> int:
        """Bytes."""
        return length_of(self.node)

    @property
    def flags(self) -> int:
        """What a client may do, in the protocol's bits."""
        flags = _READ_FLAGS if self._is_for_one else _READ_FLAGS | nbd.CAN_MULTI_CONN
        return flags | (_WRITE_FLAGS if self.is_writable else nbd.READ_ONLY)

    def let_bitmaps_go(self) -> None:
        """It is shown no more, so that its bitmaps may be changed again."""
        for bitmap in self._bitmaps:
            bitmap.is_busy = False
