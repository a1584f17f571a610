"""QEMUFile: the buffered one-way stream that all saved state goes through.

One class for each way.  Both keep the first error and go on as if nothing were wrong (writes are
dropped, reads past the end give zeros), so that code which saves or loads looks at `error` only
where it matters.  Whatever the channel's trouble was, it is an I/O error from here on: QEMU says
so even of a full disk.  What it was in words stays in `error_reason`.
"""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.migration.rate_limit import RateLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class OutgoingChannel(Protocol):
        """Where a stream goes: a command's pipe, a socket, an image's vmstate area."""

        def writev(self, buffers: list[bytes | memoryview]) -> int:
            """Write up to `MAX_BUFFERS` buffers.

            Returns:
                How many bytes it took; fewer than there are only if it has no more room for now.

            Raises: OSError, QemuError.
            """

        def close(self) -> None: ...

    class IncomingChannel(Protocol):
        """Where a stream comes from.  A channel may have ``readinto(view) -> int`` besides."""

        def read(self, size: int) -> bytes:
            """Up to `size` bytes, none at the end.

            Raises:
                BlockingIOError: nothing has come yet.
                OSError, QemuError: it can't be read.
            """

        def close(self) -> None: ...


MAX_BUFFERS = 1024  # one vectored write of Linux takes no more
FLUSH_SIZE = 1 << 20  # bytes
SMALL_SIZE = 4096  # what is shorter is copied together
FIRST_CAPACITY = 32 << 10  # bytes read at once until somebody wants more


class StreamError(QemuError):
    """The stream can't be loaded.  What is wrong has been reported; here is only the errno."""

    def __init__(self, errno_value: int) -> None:
        super().__init__(os.strerror(errno_value), errno_value)


class StreamStalled(Exception):
    """Nothing more has come yet; go back to the mark and try again later."""


class QEMUFileWriter:
    """The way out.

    Never waits: what the channel has no room for stays here (`is_blocked`) until `put_notify`.
    Who produces asks `rate_limit_reached` between two steps, so that little stays.

    Attributes:
        rate_limit: what may be put in which time; without one given, no limit.
        transferred: bytes put so far, whether or not they have left the buffer.
        is_blocked: the channel has no room for now.
        error: errno of the first failure, else 0.
        error_reason: what the channel said of it; "" for nothing.
    """

    def __init__(self, channel: OutgoingChannel, rate_limit: RateLimit | None = None) -> None:
        self.rate_limit = rate_limit or RateLimit()
        self.transferred = 0
        self.is_blocked = False
        self.error = 0
        self.error_reason = ""
        self._channel = channel
        self._small = bytearray()
        self._pending: list[bytes | memoryview] = []
        self._pending_size = 0

    def put_byte(self, value: int) -> None:
        self._small.append(value)
        self._count(1)

    def put_be16(self, value: int) -> None:
        self._small += value.to_bytes(2, "big")
        self._count(2)

    def put_be32(self, value: int) -> None:
        self._small += value.to_bytes(4, "big")
        self._count(4)

    def put_be64(self, value: int) -> None:
        self._small += value.to_bytes(8, "big")
        self._count(8)

    def put_counted_string(self, text: bytes) -> None:
        """One byte of length, then the text: at most 255 bytes."""
        self.put_byte(len(text))
        self.put_buffer(text)

    def put_buffer(self, data: bytes | memoryview) -> None:
        """Append bytes.  What is long isn't copied, so it must stay as it is until `flush`."""
        if len(data) < SMALL_SIZE:
            self._small += data
        else:
            self._seal()
            self._pending.append(data)
            self._pending_size += len(data)
        self._count(len(data))

    def put_vector(self, pieces: list[bytes | memoryview], size: int) -> None:
        """Append pieces of `size` bytes together, none of which is copied.

        A page of the guest may change before it leaves: then it is dirty, and comes again.
        """
        self._seal()
        self._pending += pieces
        self._pending_size += size
        self._count(size)

    def tell(self) -> int:
        """How many bytes of the stream were put."""
        return self.transferred

    def seek(self, offset: int) -> None:
        """Take back what was put from `offset` on, none of which may have left the buffer."""
        size = self.transferred - offset
        assert 0 <= size <= len(self._small)
        del self._small[len(self._small) - size :]
        self.transferred = offset
        self.rate_limit.count(-size)

    @property
    def has_pending(self) -> bool:
        """Whether something has not left yet."""
        return bool(self._pending or self._small) and not self.error

    def rate_limit_reached(self) -> bool:
        """Whether nothing more should be put for now."""
        return bool(self.error) or self.is_blocked or self.rate_limit.is_reached

    def put_notify(self) -> None:
        """The channel may have room again: hand it what waits."""
        self.is_blocked = False
        self.flush()

    def flush(self) -> None:
        """Hand everything to the channel, or as much as it takes."""
        self._seal()
        pending = self._pending
        start = 0
        while start < len(pending) and not self.error and not self.is_blocked:
            buffers = pending[start : start + MAX_BUFFERS] if start else pending[:MAX_BUFFERS]
            try:
                taken = self._channel.writev(buffers)
            except (OSError, QemuError) as failure:
                self.set_error(errno.EIO, str(failure))
                break
            self._pending_size -= taken
            for buffer in buffers:
                if taken < len(buffer):
                    pending[start] = memoryview(buffer)[taken:]
                    self.is_blocked = True
                    break
                taken -= len(buffer)
                start += 1
        if self.error:
            pending.clear()
            self._pending_size = 0
        else:
            del pending[:start]

    def set_error(self, errno_value: int, reason: str = "") -> None:
        if not self.error:
            self.error = errno_value
            self.error_reason = reason

    def close(self) -> None:
        """Flush and close the channel; a failure of that counts too."""
        self.flush()
        try:
            self._channel.close()
        except (OSError, QemuError) as failure:
            self.set_error(errno.EIO, str(failure))

    def _seal(self) -> None:
        if self._small:
            self._pending.append(bytes(self._small))
            self._pending_size += len(self._small)
            self._small.clear()

    def _count(self, size: int) -> None:
        self.transferred += size
        self.rate_limit.count(size)
        if self._pending_size + len(self._small) >= FLUSH_SIZE and not self.is_blocked:
            self.flush()


class QEMUFileReader:
    """The way in.

    A step that reads may be repeated: `mark` its beginning, and if the channel has no more for
    now, `StreamStalled` comes up and `rewind` goes back to the mark.  What lies before the mark
    is forgotten.

    Attributes:
        buffer: what was read; `buffer[position:end]` is still to be taken.
        error: errno of the first failure, else 0.  Reading past the end is EIO.
        error_reason: what the channel said of it; "" for nothing.
    """

    def __init__(self, channel: IncomingChannel) -> None:
        self.buffer = bytearray(FIRST_CAPACITY)
        self.position = 0
        self.end = 0
        self.error = 0
        self.error_reason = ""
        self._start = 0  # of the buffer in the stream
        self._mark = 0
        self._has_ended = False
        self._channel = channel
        self._readinto = getattr(channel, "readinto", None) or self._readinto_by_read

    def mark(self) -> None:
        """Keep what comes from here on."""
        self._mark = self.position

    def rewind(self) -> None:
        self.position = self._mark

    def tell(self) -> int:
        """How many bytes of the stream were taken."""
        return self._start + self.position

    def seek(self, offset: int) -> None:
        """Go on reading somewhere else between the mark and the end of what was read."""
        assert self._start + self._mark <= offset <= self._start + self.end
        self.position = offset - self._start

    def fill(self, need: int, want: int = 0) -> int:
        """Have `need` bytes in the buffer, or up to `want` where they come without waiting.

        Returns:
            How many bytes there are.  Fewer than `need` only after an error or at the end, which
            is an error then.

        Raises:
            StreamStalled: the channel has fewer than `need` for now.
        """
        wanted = max(need, want)
        available = self.end - self.position
        while available < wanted and not self.error:
            if self._has_ended:
                if available < need:
                    self.set_error(errno.EIO)
                break
            self._make_room(wanted)
            try:
                with memoryview(self.buffer) as view, view[self.end :] as rest:
                    size: int = self._readinto(rest)
            except BlockingIOError:
                if available >= need:
                    break
                raise StreamStalled from None
            except (OSError, QemuError) as failure:
                self.set_error(errno.EIO, str(failure))
                break
            self._has_ended = size == 0
            self.end += size
            available += size
        return available

    def peek_byte(self, offset: int = 0) -> int:
        """The byte `offset` bytes ahead, which stays to be read; 0 past the end."""
        if self.fill(offset + 1) <= offset:
            return 0
        return self.buffer[self.position + offset]

    def peek_buffer(self, size: int, offset: int = 0) -> bytes:
        """`size` bytes from `offset` bytes ahead on, which stay to be read; fewer at the end."""
        self.fill(offset + size)
        start = self.position + offset
        return bytes(self.buffer[start : min(start + size, self.end)])

    def skip(self, size: int) -> None:
        """Take bytes that were peeked at."""
        self.position = min(self.position + size, self.end)

    def get_buffer(self, size: int) -> bytes:
        """`size` bytes, fewer at the end.  Who asks has checked that `size` is sane."""
        available = self.fill(size)
        start = self.position
        self.position = start + min(size, available)
        return bytes(self.buffer[start : self.position])

    def get_byte(self) -> int:
        return int.from_bytes(self.get_buffer(1), "big")

    # At the end the missing low bytes of a number are zeros, as QEMU reads byte by byte.

    def get_be16(self) -> int:
        return int.from_bytes(self.get_buffer(2).ljust(2, b"\0"), "big")

    def get_be32(self) -> int:
        return int.from_bytes(self.get_buffer(4).ljust(4, b"\0"), "big")

    def get_be64(self) -> int:
        return int.from_bytes(self.get_buffer(8).ljust(8, b"\0"), "big")

    def get_counted_string(self) -> bytes:
        """One byte of length and that many bytes; fewer at the end."""
        return self.get_buffer(self.get_byte())

    def set_error(self, errno_value: int, reason: str = "") -> None:
        if not self.error:
            self.error = errno_value
            self.error_reason = reason

    def close(self) -> None:
        self._channel.close()

    def _make_room(self, size: int) -> None:
        """Let `size` bytes from the position on fit into the buffer, and one byte more come."""
        if self.position + size <= len(self.buffer) and self.end < len(self.buffer):
            return
        kept = bytes(self.buffer[self._mark : self.end])
        self._start += self._mark
        self.position -= self._mark
        self.end = len(kept)
        self._mark = 0
        missing = self.position + size - len(self.buffer)
        if missing > 0:
            self.buffer += bytes(missing)
        self.buffer[: self.end] = kept

    def _readinto_by_read(self, view: memoryview) -> int:
        data = self._channel.read(len(view))
        view[: len(data)] = data
        return len(data)
