"""Character devices over sockets: one client at a time, the others wait in the backlog."""

from __future__ import annotations

import errno
import os
import time

from blockdev.address import InetAddress, UnixAddress
from blockdev.errors import QemuError
from blockdev.sockets import (
    Connecting,
    adopt,
    connect,
    family_of,
    listen,
    receive_passing,
    send_at_once,
    shut_down,
)
from machine.chardev.device import Chardev
from machine.chardev.output_queue import OutputQueue
from machine.chardev.telnet import TELNET_GREETING, TelnetInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.sockets import Socket
    from machine.loop import MainLoop, Timer

READ_SIZE = 1 << 16
RETRY_NS = 20_000_000  # between two looks at a full backlog, or for a free descriptor


class SocketDevice(Chardev):
    """A listening socket and its client, or a connection to somebody else's.

    Args:
        loop: the loop that will serve it.
        label: its name.
        address: where to listen, or whom to call; or the number of a socket that was given.
        server: to listen.
        telnet: to speak telnet, which may be over any kind of socket.
        nodelay: to send small packets at once.
        reconnect_ns: how long to wait before a lost connection is made again; None for never.
        report: takes the words for a connection that failed later.
    """

    def __init__(
        self,
        loop: MainLoop,
        label: str,
        address: UnixAddress | InetAddress | int,
        *,
        server: bool,
        telnet: bool = False,
        nodelay: bool = False,
        reconnect_ns: int | None = None,
        report: Callable[[str], object],
    ) -> None:
        super().__init__(loop, label)
        self._address = address
        self._nodelay = nodelay
        self._reconnect_ns = reconnect_ns
        self._report = report
        self._timer: Timer | None = None
        self._attempt: Connecting | None = None
        self._attempt_fd = -1  # watched for the attempt
        self._is_closed = False
        self._has_complained = False  # of a connection that can't be made
        self._telnet = TelnetInput() if telnet else None
        self._listener: Socket | None = None
        self._client: Socket | None = None
        self._output: OutputQueue | None = None
        self._is_read = False  # whether the loop watches the client's input
        self._is_accepting = False
        self._descriptors: list[int] = []  # passed with what was read last
        if server:
            if isinstance(address, int):
                self._listener = adopt(address, listens=True)
            else:
                self._listener = listen(address)
            self._watch_listener()
        elif isinstance(address, int):
            self._begin(adopt(address, listens=False))
        elif reconnect_ns is None:
            self._begin(connect(address))
        else:
            loop.call_soon(self._connect_again)

    @property
    def backend(self) -> str:
        return "socket"

    @property
    def filename(self) -> str:
        server = ",server=on" if self._listener else ""
        if self._client is None:
            return f"disconnected:{self._kind}:{self._place()}{server}"
        if family_of(self._client) == "unix":
            # The caller's end of a connection has no name.
            place = self._client.getsockname()
            if place and not isinstance(self._address, int):
                place = self._place()
            return f"unix:{place if self._listener else ''}{server}"
        here = _inet_name(self._client.getsockname())
        try:
            there = _inet_name(self._client.getpeername())
        except OSError:  # gone, but not noticed yet
            there = ":"
        return f"{'telnet' if self._telnet else 'tcp'}:{here}{server} <-> {there}"

    @property
    def _kind(self) -> str:
        if isinstance(self._address, InetAddress):
            return "telnet" if self._telnet else "tcp"
        return "fd" if isinstance(self._address, int) else "unix"

    def wait_for_client(self) -> None:
        """Wait until the first client is there."""
        assert self._listener is not None
        self._listener.setblocking(True)
        client, _ = self._listener.accept()
        self._listener.setblocking(False)
        client.setblocking(False)
        self._begin(client)

    def drain(self, patience_ns: int | None = None) -> None:
        if self._output:
            self._output.drain(patience_ns)

    def close(self) -> None:
        super().close()
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        self._stop_connecting()
        self._end_connection()
        if self._listener:
            listener, self._listener = self._listener, None
            self._loop.remove_reader(listener.fileno())
            self._is_accepting = False
            address = self._address
            if isinstance(address, int) and family_of(listener) == "unix":
                name = listener.getsockname()
                address = UnixAddress(path=name, abstract=not isinstance(name, str))
            listener.close()
            if isinstance(address, UnixAddress):
                address.unlink()

    # -- clients come

    def _watch_listener(self) -> None:
        wanted = self._listener is not None and self._client is None
        if self._listener is None or wanted == self._is_accepting:
            return
        self._is_accepting = wanted
        if wanted:
            self._loop.add_reader(self._listener.fileno(), self._accept)
        else:
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            # It left again already, or there is no descriptor for it yet.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._rest_listener()
            return
        client.setblocking(False)
        self._begin(client)

    def _rest_listener(self) -> None:
        """Leave who waits alone for a moment: they would be seen again and again."""
        assert self._listener is not None
        self._is_accepting = False
        self._loop.remove_reader(self._listener.fileno())
        self._timer = self._loop.call_at(time.monotonic_ns() + RETRY_NS, self._watch_listener)

    def _connect_again(self) -> None:
        assert not isinstance(self._address, int), "a given socket is never called again"
        try:
            if self._is_closed:
                return
            if self._attempt is None:
                self._attempt = Connecting(self._address)
            client = self._attempt.attempt()
        except QemuError as error:
            self._stop_connecting()
            if not self._has_complained:
                self._has_complained = True
                self._report(f"Unable to connect character device {self.label}: {error}")
            self._set_timer(self._reconnect_ns)
            return
        if client is None:
            self._wait_for_answer()
            return
        self._stop_connecting()
        self._has_complained = False
        self._begin(client)

    def _wait_for_answer(self) -> None:
        assert self._attempt is not None
        fd = self._attempt.fileno()
        if fd < 0:
            self._set_timer(RETRY_NS)
        elif fd != self._attempt_fd:
            self._stop_watching_attempt()
            self._attempt_fd = fd
            self._loop.add_writer(fd, self._connect_again)

    def _stop_connecting(self) -> None:
        self._stop_watching_attempt()
        if self._attempt is not None:
            self._attempt.close()
            self._attempt = None

    def _stop_watching_attempt(self) -> None:
        if self._attempt_fd >= 0:
            self._loop.remove_writer(self._attempt_fd)
            self._attempt_fd = -1

    def _set_timer(self, wait_ns: int | None) -> None:
        if wait_ns is not None:
            self._timer = self._loop.call_at(time.monotonic_ns() + wait_ns, self._connect_again)

    def _begin(self, client: Socket) -> None:
        self._client = client
        self._output = OutputQueue(self._loop, client.fileno(), blocks=False)
        self._watch_listener()
        if self._nodelay and family_of(client) == "tcp":
            send_at_once(client)
        if self._telnet:
            self._output.write(TELNET_GREETING)
        self._come()
        self._watch_input()

    # -- bytes

    def _send(self, data: bytes) -> None:
        if self._output:
            self._output.write(data)

    def _watch_input(self) -> None:
        wanted = self._wants_input and self.is_open and self._client is not None
        if self._client is None or wanted == self._is_read:
            return
        self._is_read = wanted
        if wanted:
            self._loop.add_reader(self._client.fileno(), self._read)
        else:
            self._loop.remove_reader(self._client.fileno())

    def _read(self) -> None:
        assert self._client is not None
        try:
            if family_of(self._client) == "unix":
                data = self._receive_with_descriptors(self._client)
            else:
                data = self._client.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave()
            self._finish_output()
            return
        if self._telnet:
            data = self._telnet.decode(data)
        if data:
            self._receive(data)

    def _receive_with_descriptors(self, client: Socket) -> bytes:
        """What came; descriptors that came along replace those that nobody took."""
        data, passed = receive_passing(client, READ_SIZE)
        if passed:
            self._drop_descriptors()
            self._descriptors = passed
        return data

    def take_descriptor(self) -> int | None:
        if not self._descriptors:
            return None
        fd = self._descriptors.pop(0)
        self._drop_descriptors()
        return fd

    def _drop_descriptors(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    # -- clients go

    def _finish_output(self) -> None:
        """Let a client that only stopped sending have what was written for it; then hang up."""
        self._watch_input()
        if self._output and not self._output.is_empty:
            self._output.when_empty = self.hang_up
        else:
            self.hang_up()

    def yank(self) -> None:
        """Break the connection, as if the network had done so."""
        client = self._client
        if client:
            shut_down(client.fileno())
            self._loop.call_soon(lambda: self._lose(client))

    def _lose(self, client: Socket) -> None:
        """Notice that a client is gone, also where nobody reads from it."""
        if client is self._client:
            self._leave()
            self.hang_up()

    def add_client(self, fd: int) -> bool:
        if self._client is not None or self._is_closed:
            return False
        try:
            self._begin(adopt(fd, listens=False))
        except QemuError:
            return False
        return True

    def hang_up(self) -> None:
        """Leave the client; the next one may come."""
        self._end_connection()
        self._watch_listener()
        if self._listener is None:
            self._set_timer(self._reconnect_ns)

    def _end_connection(self) -> None:
        if self._client:
            self.is_open = False
            self._watch_input()
            if self._output:
                self._output.close()
            self._client.close()
            self._client = self._output = None
            self._drop_descriptors()

    def _place(self) -> str:
        """Where it listens, with the port it got; or whom it calls."""
        if isinstance(self._address, int):
            return str(self._address)
        if isinstance(self._address, InetAddress):
            if self._listener is None:
                return f"{self._address.host}:{self._address.port}"
            host, port = self._listener.getsockname()[:2]
            return f"{host}:{port}"
        place = self._address.path
        if self._address.abstract:
            place += ",abstract=on" + (",tight=on" if self._address.tight else "")
        return place


def _inet_name(name: tuple[str, int]) -> str:
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
