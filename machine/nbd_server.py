"""The NBD server's sockets: it listens, and talks with several clients, in the main loop."""

from __future__ import annotations

import time

from blockdev.address import UnixAddress
from blockdev.nbd_session import NbdSession
from blockdev.sockets import adopt, family_of, listen_everywhere, send_at_once
from machine.chardev.output_queue import OutputQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.address import InetAddress
    from blockdev.nbd_export import NbdExport
    from blockdev.sockets import Socket
    from machine.loop import MainLoop

_READ_SIZE = 1 << 18
_MAX_WAITING = 8 << 20  # bytes of answers that a client may leave unread before the next one


class NbdServer:
    """Listens on an address.

    Args:
        address: it, or the number of a socket that was given.
        exports: gives all that there are, at any time.
        max_clients: how many there may be at a time; 0 for any number.

    Raises:
        QemuError: the address can't be had.
    """

    def __init__(
        self,
        loop: MainLoop,
        address: UnixAddress | InetAddress | int,
        exports: Callable[[], Sequence[NbdExport]],
        *,
        max_clients: int = 0,
    ) -> None:
        self._loop = loop
        self._address = address
        self._exports = exports
        self._max_clients = max_clients
        self._clients: list[_Client] = []
        self._is_listening = False
        if isinstance(address, int):
            self._listeners = [adopt(address, listens=True)]
        else:
            self._listeners = listen_everywhere(address)
        self._watch()

    def has_client(self, export: NbdExport) -> bool:
        """Whether somebody uses an export."""
        return any(client.session.export is export for client in self._clients)

    def drop(self, export: NbdExport) -> None:
        """Hang up on all that use an export."""
        for client in tuple(self._clients):
            if client.session.export is export:
                client.close()

    def close(self) -> None:
        """Hang up on everybody, and take no more."""
        for client in tuple(self._clients):
            client.close()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        if isinstance(self._address, UnixAddress):
            self._address.unlink()

    def _watch(self) -> None:
        """Take clients as long as there may be more of them; others wait in the backlog."""
        wanted = not self._max_clients or len(self._clients) < self._max_clients
        if wanted == self._is_listening:
            return
        self._is_listening = wanted
        for listener in self._listeners:
            if wanted:
                self._loop.add_reader(listener.fileno(), self._taker(listener))
            else:
                self._loop.remove_reader(listener.fileno())

    def _taker(self, listener: Socket) -> Callable[[], object]:
        return lambda: self._accept(listener)

    def _accept(self, listener: Socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it left again already, or there are no descriptors for it
            return
        connection.setblocking(False)
        if family_of(connection) == "tcp":
            send_at_once(connection)
        session = NbdSession(self._exports)
        self._clients.append(_Client(self._loop, connection, session, self._forget))
        self._watch()

    def _forget(self, client: _Client) -> None:
        self._clients.remove(client)
        if self._listeners:
            self._watch()


class _Client:
    """A connection, and the conversation over it: one message a turn of the loop."""

    def __init__(
        self,
        loop: MainLoop,
        connection: Socket,
        session: NbdSession,
        closed: Callable[[_Client], object],
    ) -> None:
        self.session = session
        self._loop = loop
        self._connection: Socket | None = connection
        self._fd = connection.fileno()
        self._closed = closed
        self._output = OutputQueue(loop, self._fd, blocks=False)
        self._go_on()

    def close(self) -> None:
        """Hang up; harmless when that was done."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        self._loop.remove_reader(self._fd)
        self._output.close()
        connection.close()
        self._closed(self)

    def _receive(self) -> None:
        assert self._connection is not None, "it is read from"
        try:
            data = self._connection.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._loop.remove_reader(self._fd)
        self.session.feed(data)
        self._go_on()

    def _go_on(self) -> None:
        """Answer the next message if it is here, else wait for it."""
        if self._connection is None:
            return
        is_done = self.session.step()
        output, self.session.output = self.session.output, []
        for data in output:
            self._output.write(bytes(data))
        if self.session.is_over:
            self._then(self.close)
        elif self._output.waiting_size > _MAX_WAITING:
            self._then(self._go_on)
        elif is_done and self.session.wait_ns:
            self._loop.call_at(time.monotonic_ns() + self.session.wait_ns, self._go_on)
        elif is_done:
            self._loop.call_soon(self._go_on)
        else:
            self._loop.add_reader(self._fd, self._receive)

    def _then(self, callback: Callable[[], object]) -> None:
        """Call when everything is sent."""
        if self._output.is_empty:
            self._loop.call_soon(callback)
        else:
            self._output.when_empty = callback
