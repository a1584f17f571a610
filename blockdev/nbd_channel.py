"""A connection to an NBD server: exactly so many bytes in, all bytes out, or an error."""

from __future__ import annotations

import errno
import os
import select
import time

from blockdev.errors import QemuError
from blockdev.sockets import Connecting, family_of, send_all, send_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.address import InetAddress, UnixAddress
    from blockdev.file import Buffer
    from blockdev.sockets import Socket

PATIENCE_S = 30.0  # how long the other side may do nothing at all
_RETRY_S = 0.02  # between two attempts at a socket file whose backlog is full


class NbdChannel:
    """A connected socket.

    Raises:
        QemuError: no connection came about.
    """

    def __init__(self, address: UnixAddress | InetAddress) -> None:
        self._socket = _connect(address)
        if family_of(self._socket) == "tcp":
            send_at_once(self._socket)
        self._socket.settimeout(PATIENCE_S)

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send all of the buffers.

        Raises:
            QemuError: the other side doesn't take them.
        """
        try:
            for buffer in buffers:
                send_all(self._socket, buffer)
        except OSError as error:
            raise _worded("Unable to write to socket", error) from error

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes, which the caller has held against a limit.

        Raises:
            QemuError: they don't come.
        """
        data = bytearray(size)
        self.receive_into(memoryview(data))
        return bytes(data)

    def receive_into(self, view: memoryview) -> None:
        """As `receive`, into `view`, as far as it is long."""
        while view:
            try:
                count = self._socket.recv_into(view)
            except OSError as error:
                raise _worded("Unable to read from socket", error) from error
            if not count:
                text = "Unexpected end-of-file before all data were read"
                raise QemuError(text, errno.EIO)
            view = view[count:]

    def number(self, size: int) -> int:
        """The next integer, of so many bytes."""
        return int.from_bytes(self.receive(size), "big")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _connect(address: UnixAddress | InetAddress) -> Socket:
    attempt = Connecting(address)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            connection = attempt.attempt()
            if connection is not None:
                return connection
            patience = deadline - time.monotonic()
            if patience <= 0:
                text = f"Failed to connect to '{address}': {os.strerror(errno.ETIMEDOUT)}"
                raise QemuError(text, errno.ETIMEDOUT)
            if attempt.fileno() < 0:
                time.sleep(min(patience, _RETRY_S))
            else:
                poll = select.poll()
                poll.register(attempt.fileno(), select.POLLOUT)
                poll.poll(patience * 1000)
    finally:
        attempt.close()


def _worded(what: str, error: OSError) -> QemuError:
    number = error.errno or errno.ETIMEDOUT  # a timeout has no number
    return QemuError(f"{what}: {os.strerror(number)}", number)
