"""Driver ``nbd``: the bytes of an export on an NBD server.

NBD has no locks: who else writes there is not noticed.
"""

from __future__ import annotations

import errno

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError
from blockdev.nbd_client import NbdClient
from blockdev.nbd_name import NbdPlace, parse_name, parse_options
from blockdev.node import BlockNode, CacheMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blockdev.file import Buffer
    from blockdev.graph import Graph
    from blockdev.status import BlockStatus

# Bytes of one request without data; QEMU asks for no more either.
_MAX_EMPTY_REQUEST = 1 << 30


class NbdNode(BlockNode):
    """An export that this process uses. Its size is the server's affair and stays as it is.

    Args:
        may_be_read_only: an export that can't be written is opened all the same.

    Raises:
        QemuError: it can't be had.
    """

    driver = "nbd"

    def __init__(
        self,
        node_name: str,
        place: NbdPlace,
        *,
        read_only: bool,
        cache: CacheMode,
        may_be_read_only: bool,
    ) -> None:
        super().__init__(node_name, place.filename, read_only=read_only, cache=cache)
        self._place = place
        self._client = NbdClient(place)
        if self._client.can(nbd.READ_ONLY) and not read_only:
            if not may_be_read_only:
                self._client.close()
                raise QemuError("Could not open image: Permission denied", errno.EACCES)
            self.read_only = True
        self._has_unflushed = False

    @property
    def place_options(self) -> dict[str, str]:
        return self._place.options

    @property
    def size(self) -> int:
        return self._client.info.size

    @property
    def allocated_bytes(self) -> int:
        return -1

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(size)
        self.read_into(offset, memoryview(data))
        return bytes(data)

    def read_into(self, offset: int, view: memoryview) -> None:
        inside = max(0, min(len(view), self.size - offset))
        view[inside:] = bytes(len(view) - inside)
        limit, block = self._client.info.max_block, self._client.info.min_block
        for start in range(0, inside, limit):
            size = min(limit, inside - start)
            part = view[start : start + size]
            before = (offset + start) % block
            if before or size % block:
                first = offset + start - before
                whole = bytearray(-(-(before + size) // block) * block)
                for at in range(0, len(whole), limit):
                    self._client.read_into(first + at, memoryview(whole)[at : at + limit])
                part[:] = whole[before : before + size]
            else:
                self._client.read_into(offset + start, part)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        size = sum(map(len, buffers))
        self._check_writable(offset, size)
        self.mark_dirty(offset, size)
        self._has_unflushed = True
        block = self._client.info.min_block
        before, after = offset % block, -(offset + size) % block
        if before or after:
            head = self.read(offset - before, before)
            buffers = [head, *buffers, self.read(offset + size, after)]
        start = offset - before
        for piece in _pieces(buffers, self._client.info.max_block):
            self._client.write(start, piece)
            start += sum(map(len, piece))

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        block = self._client.info.min_block
        is_aligned = not (offset % block or size % block)
        if not (self._client.can(nbd.SEND_WRITE_ZEROES) and is_aligned):
            super().write_zeroes(offset, size, may_unmap=may_unmap)
            return
        self._check_writable(offset, size)
        self.mark_dirty(offset, size)
        self._has_unflushed = True
        flags = 0 if may_unmap else nbd.NO_HOLE
        for start in range(offset, offset + size, _MAX_EMPTY_REQUEST):
            part = min(_MAX_EMPTY_REQUEST, offset + size - start)
            self._client.command(nbd.CMD_WRITE_ZEROES, start, part, flags=flags)

    def discard(self, offset: int, size: int) -> None:
        if not self._client.can(nbd.SEND_TRIM):
            return
        block = self._client.info.min_block
        first, end = -(-offset // block) * block, (offset + size) // block * block
        self._check_writable(offset, size)
        self.mark_dirty(offset, size)
        self._has_unflushed = True
        for start in range(first, end, _MAX_EMPTY_REQUEST):
            part = min(_MAX_EMPTY_REQUEST, end - start)
            self._client.command(nbd.CMD_TRIM, start, part)

    def _check_writable(self, offset: int, size: int) -> None:
        if self.read_only:
            raise QemuError("Block node is read-only", errno.EACCES)
        self.check_room(offset + size)

    def allocation(self, offset: int, size: int) -> tuple[bool, int]:
        return True, size

    def own_status(
        self, offset: int, size: int, *, wants_zeros: bool, in_slices: bool
    ) -> BlockStatus:
        from blockdev.status import DATA, OFFSET_VALID, ZERO, BlockStatus

        if offset >= self.size:  # what a size of whole sectors has more than the export
            return BlockStatus(ZERO, size)
        size = min(size, self.size - offset)
        if self._client.info.allocation is None:
            return BlockStatus(DATA | OFFSET_VALID, size, offset, self)
        block = self._client.info.min_block
        before = offset % block
        blocks = -(-(before + min(size, _MAX_EMPTY_REQUEST)) // block)
        length, state = self._client.allocation(offset - before, blocks * block)
        if length <= before:  # less than what the server itself calls a block
            return BlockStatus(DATA | OFFSET_VALID, min(block - before, size), offset, self)
        flags = 0 if state & nbd.STATE_HOLE else DATA
        flags |= ZERO if state & nbd.STATE_ZERO else 0
        return BlockStatus(flags | OFFSET_VALID, min(length - before, size), offset, self)

    def check_room(self, end: int) -> None:
        if end > self.size:
            raise QemuError("Cannot grow NBD nodes", errno.EINVAL)

    def truncate(self, size: int) -> None:
        self.check_room(size)

    def reopen(self, *, read_only: bool) -> None:
        if not read_only and self._client.can(nbd.READ_ONLY):
            raise QemuError("Can't reopen read-only mount as read/write", errno.EACCES)
        self.read_only = read_only

    def flush(self) -> None:
        if self._has_unflushed and not self.cache.no_flush and self._client.can(nbd.SEND_FLUSH):
            self._client.command(nbd.CMD_FLUSH, 0, 0)
        self._has_unflushed = False

    def yank(self) -> None:
        """Break the connection to the server for good."""
        self._client.yank()

    def close(self) -> None:
        self._client.close()


def open_nbd(
    graph: Graph,
    node_name: str | None,
    source: str | Mapping[str, str],
    prefix: str = "",
    *,
    read_only: bool,
    cache: CacheMode,
    may_be_read_only: bool,
) -> NbdNode:
    """Make such a node of a name or of options.

    Args:
        prefix: stands before the options' names in messages.

    Raises:
        QemuError: they mean nothing, or the export can't be had.
    """
    place = parse_name(source) if isinstance(source, str) else parse_options(source, prefix)
    node = NbdNode(
        node_name or graph.new_name(),
        place,
        read_only=read_only,
        cache=cache,
        may_be_read_only=may_be_read_only,
    )
    graph.add(node)
    return node


def _pieces(buffers: Sequence[Buffer], limit: int) -> list[list[Buffer]]:
    """The buffers in groups of at most `limit` bytes, in order."""
    pieces: list[list[Buffer]] = [[]]
    room = limit
    for buffer in buffers:
        rest = memoryview(buffer)
        while rest:
            if not room:
                pieces.append([])
                room = limit
            part, rest = rest[:room], rest[room:]
            pieces[-1].append(part)
            room -= len(part)
    return pieces
