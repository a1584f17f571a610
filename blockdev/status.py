"""What stands behind a range of a disk's bytes: QEMU's block status, layer by layer.

A driver says what it knows of its own node (`BlockNode.own_status`); here that is put together
over the nodes underneath.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode

SECTOR = 512

DATA = 0x01  # reads come from somewhere
ZERO = 0x02  # all of it is zeros
OFFSET_VALID = 0x04  # it lies as it is at `BlockStatus.offset` of `BlockStatus.file`
RAW = 0x08  # only asked about: the node underneath answers
ALLOCATED = 0x10  # this layer answers for it, not a backing file
EOF = 0x20  # the node ends with it
RECURSE = 0x40  # data that may be a hole of the file underneath
COMPRESSED = 0x80


class BlockStatus:
    """The status of some bytes.

    Attributes:
        flags: of the above.
        length: of how many bytes that holds, from the one that was asked about.
        offset: where they lie in `file`.
    """

    __slots__ = ("file", "flags", "length", "offset")

    def __init__(
        self, flags: int, length: int, offset: int = 0, file: BlockNode | None = None
    ) -> None:
        self.flags = flags
        self.length = length
        self.offset = offset
        self.file = file


def length_of(node: BlockNode) -> int:
    """Bytes of a node, whole sectors as QEMU counts them."""
    return -(-node.size // SECTOR) * SECTOR


def status(
    node: BlockNode,
    offset: int,
    size: int,
    *,
    wants_zeros: bool = True,
    in_slices: bool = True,
) -> BlockStatus:
    """What a node says of its own bytes, without a look at its backing file's.

    Args:
        wants_zeros: holes of the file are to be found too, which takes longer.
        in_slices: no answer reaches farther than QEMU's would, which looks at a part of a table
            at a time; it shows where somebody does something for each answer.
    """
    total = length_of(node)
    if offset >= total:
        return BlockStatus(EOF, 0)
    size = min(size, total - offset)
    found = node.own_status(offset, size, wants_zeros=wants_zeros, in_slices=in_slices)
    found.length = min(found.length, size)
    flags = found.flags
    if flags & RAW and found.file is not None:
        found = status(found.file, found.offset, found.length, wants_zeros=wants_zeros)
        flags = found.flags & ~EOF
    elif flags & (DATA | ZERO):
        flags |= ALLOCATED
    elif node.is_protocol:
        pass  # it says so, and has nothing below that could tell more
    elif node.backing is None or (wants_zeros and offset >= length_of(node.backing)):
        flags |= ZERO
    wanted = RECURSE | DATA | OFFSET_VALID
    if wants_zeros and flags & wanted == wanted and found.file not in (None, node):
        assert found.file is not None
        below = status(found.file, found.offset, found.length)
        if below.flags & EOF and (not below.length or below.flags & ZERO):
            flags |= ZERO  # past the file's end, as far as there is one
        else:
            found.length = below.length
            flags |= below.flags & ZERO
    if offset + found.length == total:
        flags |= EOF
    found.flags = flags
    return found


def status_above(
    node: BlockNode,
    base: BlockNode | None,
    offset: int,
    size: int,
    *,
    wants_zeros: bool = True,
) -> BlockStatus:
    """What the layers from a node down to a base, which isn't asked itself, say together."""
    found = status(node, offset, size, wants_zeros=wants_zeros)
    if not found.length or found.flags & ALLOCATED or node.backing is base:
        return found
    end = offset + found.length if found.flags & EOF else -1
    layer = node.backing
    while layer is not base and layer is not None:
        size = found.length
        found = status(layer, offset, size, wants_zeros=wants_zeros)
        if not found.length:
            # This layer is short, and what it lacks reads as zeros whatever is under it.
            found = BlockStatus(ZERO | ALLOCATED, size, 0, layer)
            break
        if found.flags & ALLOCATED:
            found.flags &= ~EOF
            break
        layer = layer.backing
    if offset + found.length == end:
        found.flags |= EOF
    return found
