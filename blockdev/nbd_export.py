"""What an NBD server shows of a node, and does to it for its clients."""

from __future__ import annotations

from blockdev import nbd_protocol as nbd
from blockdev.backend import Backend
from blockdev.errors import QemuError
from blockdev.status import DATA, ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

MAX_EXTENTS = 1 << 10  # told of in one reply
_READ_FLAGS = nbd.HAS_FLAGS | nbd.SEND_FLUSH | nbd.SEND_FUA
_WRITE_FLAGS = nbd.SEND_TRIM | nbd.SEND_WRITE_ZEROES


class NbdExport:
    """A node under a name.

    Args:
        id: by which the monitor knows it.
        name: by which clients do.
        description: for people; "" for none.
        is_writable: clients may write; else the node is only read, whatever it allows.
        drive: the drive whose medium it is; None where the node itself was named.

    Attributes:
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
    ) -> None:
        self.id = id
        self.name = name
        self.description = description
        self.is_writable = is_writable
        self.drive = drive
        self.root = Backend("", node)

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
        if self.is_writable:
            return _READ_FLAGS | _WRITE_FLAGS
        return _READ_FLAGS | nbd.READ_ONLY | nbd.CAN_MULTI_CONN

    def extents(self, offset: int, size: int, *, one: bool) -> list[tuple[int, int]]:
        """How many bytes from `offset` on are alike, with the state of each such part."""
        found: list[tuple[int, int]] = []
        end = offset + size
        while offset < end and len(found) < (1 if one else MAX_EXTENTS):
            answer = status_above(self.node, None, offset, end - offset)
            if not answer.length:
                raise QemuError("the node is shorter than it was")
            state = 0 if answer.flags & DATA else nbd.STATE_HOLE
            state |= nbd.STATE_ZERO if answer.flags & ZERO else 0
            if found and found[-1][1] == state:
                found[-1] = (found[-1][0] + answer.length, state)
            else:
                found.append((answer.length, state))
            offset += answer.length
        return found
