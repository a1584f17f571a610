"""What an NBD server tells of parts of an export: its meta contexts.

Source: the NBD project's ``proto.md``, and QEMU's ``docs/interop/nbd.txt`` for those of ``qemu:``.
"""

from __future__ import annotations

from blockdev import nbd_protocol as nbd
from blockdev.chain import chain
from blockdev.errors import QemuError
from blockdev.status import DATA, ZERO, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from blockdev.node import BlockNode
    from blockdev.node_bitmap import NodeBitmap

    # Of a node, from an offset on, at most so many bytes: how many are alike, and their state.
    Look = Callable[[BlockNode, int, int], tuple[int, int]]

MAX_EXTENTS = 1 << 10  # told of in one reply
_DEPTH, _FIRST_BITMAP = 1, 2  # QEMU's numbers; that of base:allocation is 0
_DIRTY = 1
_BASE, _OURS, _BITMAPS = b"base:", b"qemu:", b"qemu:dirty-bitmap:"


class MetaContext:
    """One way to tell of an export.

    Args:
        number: by which replies name it.
        name: by which clients ask for it.
        look: tells of the first bytes that are alike.
    """

    __slots__ = ("_look", "name", "number")

    def __init__(self, number: int, name: bytes, look: Look) -> None:
        self.number = number
        self.name = name
        self._look = look

    def extents(
        self, node: BlockNode, offset: int, size: int, *, one: bool
    ) -> list[tuple[int, int]]:
        """How many bytes from `offset` on are alike, with the state of each such part."""
        found: list[tuple[int, int]] = []
        end = offset + size
        while offset < end and len(found) < (1 if one else MAX_EXTENTS):
            length, state = self._look(node, offset, end - offset)
            if found and found[-1][1] == state:
                found[-1] = (found[-1][0] + length, state)
            else:
                found.append((length, state))
            offset += length
        return found


def contexts_of(bitmaps: Sequence[NodeBitmap], *, with_depth: bool) -> list[MetaContext]:
    """All that an export has."""
    found = [MetaContext(0, nbd.ALLOCATION, _allocation)]
    if with_depth:
        found.append(MetaContext(_DEPTH, nbd.ALLOCATION_DEPTH, _depth))
    for number, bitmap in enumerate(bitmaps, _FIRST_BITMAP):
        name = _BITMAPS + bitmap.name.encode("utf-8", "surrogateescape")
        found.append(MetaContext(number, name, _dirtiness(bitmap)))
    return found


def matching(
    contexts: Sequence[MetaContext], queries: Sequence[bytes], *, is_list: bool
) -> Iterator[MetaContext]:
    """Those that a client asks for.

    Args:
        is_list: it only wants to know of them, and may ask for all of a kind.
    """
    for context in contexts:
        asks = [context.name]
        if is_list and context.name.startswith(_OURS):
            asks.append(_OURS)
            if context.name.startswith(_BITMAPS):
                asks.append(_BITMAPS)
        elif is_list:
            asks.append(_BASE)
        if any(query in asks for query in queries) or (is_list and not queries):
            yield context


def _allocation(node: BlockNode, offset: int, size: int) -> tuple[int, int]:
    answer = status_above(node, None, offset, size)
    if not answer.length:
        raise QemuError("the node is shorter than it was")
    state = 0 if answer.flags & DATA else nbd.STATE_HOLE
    return answer.length, state | (nbd.STATE_ZERO if answer.flags & ZERO else 0)


def _depth(node: BlockNode, offset: int, size: int) -> tuple[int, int]:
    """Which image has the bytes, counted from the top as 1; 0 for none."""
    for depth, image in enumerate(chain(node), 1):
        if offset >= image.size:
            continue
        inside = min(size, image.size - offset)
        is_own, length = image.allocation(offset, inside)
        if is_own:
            return length, depth
        if length < inside or inside == size:
            size = length
    return size, 0


def _dirtiness(bitmap: NodeBitmap) -> Look:
    def look(node: BlockNode, offset: int, size: int) -> tuple[int, int]:
        is_dirty, length = bitmap.marks.alike(offset)
        return min(size, length), _DIRTY if is_dirty else 0

    return look
