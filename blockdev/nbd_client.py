"""Requests to an NBD server, one at a time, over a connection that is made again when it broke."""

from __future__ import annotations

import errno
import os
import struct

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError
from blockdev.nbd_channel import NbdChannel
from blockdev.nbd_handshake import shake_hands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer
    from blockdev.nbd_name import NbdPlace

_CHUNK = struct.Struct(">HHQI")
_MAX_CHUNKS = 1 << 16  # of one reply


class NbdClient:
    """An export as its server shows it.

    Attributes:
        info: what the server said of it.

    Raises:
        QemuError: it can't be had.
    """

    def __init__(self, place: NbdPlace) -> None:
        self._place = place
        self._handle = 0
        self._is_hopeless = False  # the server said nothing for so long that nobody waits again
        self._channel: NbdChannel | None = None
        self._connect()

    def _connect(self) -> None:
        channel = NbdChannel(self._place.address)
        try:
            self.info = shake_hands(channel, self._place.export)
        except QemuError:
            channel.close()
            raise
        self._channel = channel

    def can(self, flag: int) -> bool:
        """Whether the export can do something."""
        return bool(self.info.flags & flag)

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill `view`, which is within the server's limit, from `offset`."""
        channel = self._begin(nbd.CMD_READ, 0, offset, len(view))
        try:
            number = self._read_reply(channel, offset, view)
        except QemuError as error:
            raise self._broken(error) from error
        _raise_for(number)

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """Write buffers that are together within the server's limit."""
        self.command(nbd.CMD_WRITE, offset, sum(map(len, buffers)), buffers=buffers)

    def command(
        self,
        command: int,
        offset: int,
        size: int,
        *,
        flags: int = 0,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        """A request whose reply is no more than whether it was done."""
        channel = self._begin(command, flags, offset, size, buffers)
        try:
            number = self._read_reply(channel, offset, memoryview(b""))
        except QemuError as error:
            raise self._broken(error) from error
        _raise_for(number)

    def allocation(self, offset: int, size: int) -> tuple[int, int]:
        """What stands behind the bytes from `offset` on: how many alike, and their flags."""
        channel = self._begin(nbd.CMD_BLOCK_STATUS, nbd.REQ_ONE, offset, size)
        try:
            extent, number = self._status_reply(channel)
        except QemuError as error:
            raise self._broken(error) from error
        _raise_for(number)
        length, flags = extent
        if not length:
            raise self._broken(QemuError("server sent an empty extent", errno.EINVAL))
        return min(length, size), flags

    def close(self) -> None:
        """Take leave, if there is a connection."""
        if self._channel is None:
            return
        try:
            self._send(self._channel, nbd.CMD_DISC, 0, 0, 0)
        except QemuError:
            pass  # it is gone already
        self._channel.close()
        self._channel = None

    def yank(self) -> None:
        """Break the connection for good: whatever is asked for from now on fails."""
        self._is_hopeless = True
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # --- inside

    def _begin(
        self, command: int, flags: int, offset: int, size: int, buffers: Sequence[Buffer] = ()
    ) -> NbdChannel:
        """Send a request, after another try to connect if the connection broke."""
        if self._channel is None:
            self._connect_again()
        channel = self._channel
        assert channel is not None, "it was made, or that raised"
        try:
            self._send(channel, command, flags, offset, size, buffers)
        except QemuError as error:
            raise self._broken(error) from error
        return channel

    def _connect_again(self) -> None:
        if self._is_hopeless:
            raise _io_error()
        before = self.info
        try:
            self._connect()
        except QemuError as error:
            self._is_hopeless = error.errno_value == errno.ETIMEDOUT
            raise _io_error() from error
        if self.info.size != before.size or self.info.flags != before.flags:
            # It is another disk by now; what is known of the old one must not be written there.
            self._is_hopeless = True
            self.close()
            self.info = before
            raise _io_error()

    def _broken(self, error: QemuError) -> QemuError:
        """The connection is of no use any more; what the user is told of it."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._is_hopeless = error.errno_value == errno.ETIMEDOUT
        return _io_error()

    def _send(
        self,
        channel: NbdChannel,
        command: int,
        flags: int,
        offset: int,
        size: int,
        buffers: Sequence[Buffer] = (),
    ) -> None:
        self._handle += 1
        fields = (nbd.REQUEST_MAGIC, flags, command, self._handle, offset, size)
        channel.send([struct.pack(">IHHQQI", *fields), *buffers])

    def _read_reply(self, channel: NbdChannel, offset: int, view: memoryview) -> int:
        """Take the reply to a request; the errno that the server tells of, 0 for none."""
        magic = channel.number(4)
        if magic == nbd.SIMPLE_REPLY_MAGIC:
            number, handle = struct.unpack(">IQ", channel.receive(12))
            self._check_handle(handle)
            if number:
                return nbd.error_from_wire(number)
            if view and self.info.is_structured:
                raise QemuError("server sent a simple reply to a read", errno.EINVAL)
            channel.receive_into(view)
            return 0
        failure = 0
        covered = 0
        for _ in range(_MAX_CHUNKS):
            flags, kind, size = self._chunk(channel, magic)
            if kind & nbd.CHUNK_ERROR_BIT:
                failure = _take_error(channel, size) or failure
            elif kind == nbd.CHUNK_OFFSET_DATA and size > 8:
                place = self._inside(channel.number(8) - offset, size - 8, view)
                channel.receive_into(place)
                covered += len(place)
            elif kind == nbd.CHUNK_OFFSET_HOLE and size == 12:
                start, length = struct.unpack(">QI", channel.receive(12))
                place = self._inside(start - offset, length, view)
                place[:] = bytes(length)
                covered += length
            elif kind != nbd.CHUNK_NONE or size or not flags & nbd.CHUNK_DONE:
                raise QemuError(f"server sent chunk {kind:#x} where none belongs", errno.EINVAL)
            if flags & nbd.CHUNK_DONE:
                if not failure and covered != len(view):
                    raise QemuError("server left out a part of the data", errno.EINVAL)
                return failure
            magic = channel.number(4)
        raise QemuError("server sends no end of chunks", errno.EINVAL)

    def _status_reply(self, channel: NbdChannel) -> tuple[tuple[int, int], int]:
        """The first extent, and the errno that the server tells of, 0 for none."""
        extent = (0, 0)
        failure = 0
        for _ in range(_MAX_CHUNKS):
            flags, kind, size = self._chunk(channel, channel.number(4))
            if kind & nbd.CHUNK_ERROR_BIT:
                failure = _take_error(channel, size) or failure
            elif (
                kind == nbd.CHUNK_BLOCK_STATUS
                and 12 <= size <= nbd.MAX_PAYLOAD
                and not size % 8 - 4
            ):
                data = channel.receive(size)
                context, *first = struct.unpack(">III", data[:12])
                if context != self.info.allocation:
                    raise QemuError("server sent another meta context", errno.EINVAL)
                extent = (first[0], first[1])
            elif kind != nbd.CHUNK_NONE or size or not flags & nbd.CHUNK_DONE:
                raise QemuError(f"server sent chunk {kind:#x} where none belongs", errno.EINVAL)
            if flags & nbd.CHUNK_DONE:
                return extent, failure
        raise QemuError("server sends no end of chunks", errno.EINVAL)

    def _chunk(self, channel: NbdChannel, magic: int) -> tuple[int, int, int]:
        """The header of a chunk, whose magic was read: flags, kind and bytes."""
        if magic != nbd.STRUCTURED_REPLY_MAGIC or not self.info.is_structured:
            raise QemuError(f"invalid magic (got {magic:#x})", errno.EINVAL)
        flags, kind, handle, size = _CHUNK.unpack(channel.receive(_CHUNK.size))
        self._check_handle(handle)
        return flags, kind, size

    def _check_handle(self, handle: int) -> None:
        if handle != self._handle:
            raise QemuError("server answers a request that nobody made", errno.EINVAL)

    def _inside(self, start: int, size: int, view: memoryview) -> memoryview:
        if not 0 <= start <= start + size <= len(view):
            raise QemuError("server exceeded the range that was asked for", errno.EINVAL)
        return view[start : start + size]


def _take_error(channel: NbdChannel, size: int) -> int:
    """The errno in a chunk that tells of a failure."""
    if not 6 <= size <= 6 + nbd.MAX_STRING + 8:
        raise QemuError("server sent an error chunk of a wrong size", errno.EINVAL)
    number = channel.number(4)
    channel.receive(size - 4)
    if not number:
        raise QemuError("server sent an error chunk without an error", errno.EINVAL)
    return nbd.error_from_wire(number)


def _raise_for(number: int) -> None:
    if number:
        raise QemuError(os.strerror(number), number)


def _io_error() -> QemuError:
    return QemuError(os.strerror(errno.EIO), errno.EIO)
