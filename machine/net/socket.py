"""Back ends over sockets: frames to another virtual machine, or to several."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.net_sockets import (
    connect_plain,
    is_multicast,
    listen_plain,
    open_datagram,
    parse_host_port,
)
from machine.chardev.output_queue import OutputQueue
from machine.net.network import NetClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.sockets import Socket
    from machine.loop import MainLoop
    from machine.net.network import Network

FRAME_LIMIT = 4096 + 65536  # bytes; more than that is no frame
WAITING_LIMIT = 1 << 20  # bytes that may wait for a slow reader; further frames are lost
_READ_SIZE = 1 << 16
_FRAMES_AT_ONCE = 64  # datagrams taken in one turn of the loop


class SocketNetdev(NetClient):
    """What all of them share."""

    kind = "socket"

    def __init__(self, network: Network, name: str, loop: MainLoop) -> None:
        super().__init__(network, name, "socket")
        self._loop = loop


class StreamNetdev(SocketNetdev):
    """One connection, over which each frame comes behind its length (4 bytes, big endian)."""

    def __init__(self, network: Network, name: str, loop: MainLoop) -> None:
        super().__init__(network, name, loop)
        self._connection: Socket | None = None
        self._output: OutputQueue | None = None
        self._input = bytearray()

    def receive(self, frame: bytes) -> None:
        output = self._output
        if output is not None and output.waiting_size < WAITING_LIMIT:
            output.write(len(frame).to_bytes(4, "big") + frame)

    def close(self) -> None:
        self._hang_up()

    def _begin(self, connection: Socket, info: str) -> None:
        self._connection = connection
        self._output = OutputQueue(self._loop, connection.fileno(), blocks=False)
        self._input.clear()
        self.info = info
        self._loop.add_reader(connection.fileno(), self._read)

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        self._input += data
        for frame in self._frames():
            self.send(frame)
            if self._connection is None:
                return  # the frame led to the end of this back end

    def _frames(self) -> Iterator[bytes]:
        while len(self._input) >= 4:
            size = int.from_bytes(self._input[:4], "big")
            if size > FRAME_LIMIT:
                self._hang_up()
                return
            if len(self._input) < 4 + size:
                return
            frame = bytes(self._input[4 : 4 + size])
            del self._input[: 4 + size]
            yield frame

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.remove_reader(connection.fileno())
            self._loop.remove_writer(connection.fileno())
            if self._output is not None:
                self._output.close()
            self._output = None
            connection.close()
            self._input.clear()
            self.info = ""


class ListeningNetdev(StreamNetdev):
    """Waits for somebody; while one is there no other is taken."""

    def __init__(self, network: Network, name: str, loop: MainLoop, place: tuple[str, int]) -> None:
        super().__init__(network, name, loop)
        self._listener: Socket | None = listen_plain(place)
        self._watch()

    def close(self) -> None:
        super().close()
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener.fileno())
            listener.close()

    def _watch(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, (host, port) = self._listener.accept()
        except OSError:  # it left again already
            return
        connection.setblocking(False)
        self._loop.remove_reader(self._listener.fileno())
        self._begin(connection, f"socket: connection from {host}:{port}")

    def _hang_up(self) -> None:
        was_connected = self._connection is not None
        super()._hang_up()
        if was_connected:
            self._watch()


class ConnectingNetdev(StreamNetdev):
    """Calls somebody, once."""

    def __init__(self, network: Network, name: str, loop: MainLoop, place: tuple[str, int]) -> None:
        super().__init__(network, name, loop)
        self._connection = connection = connect_plain(place)
        if connection is not None:
            self.info = "socket: connect to {}:{}".format(*place)
            loop.add_writer(connection.fileno(), self._finish)

    def _finish(self) -> None:
        """The call was answered, or can't be."""
        assert self._connection is not None
        self._loop.remove_writer(self._connection.fileno())
        # A call that failed shows as the end of the connection.
        self._begin(self._connection, self.info)


class DatagramNetdev(SocketNetdev):
    """A frame is a datagram, to one place or a group.

    Args:
        place: where to; None for whom the socket is connected to.
        info: what is shown of it.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        loop: MainLoop,
        socket: Socket,
        place: tuple[str, int] | str | None,
        info: str,
    ) -> None:
        super().__init__(network, name, loop)
        self._socket: Socket | None = socket
        self._place = place
        self.info = info
        loop.add_reader(socket.fileno(), self._read)

    def receive(self, frame: bytes) -> None:
        if self._socket is not None:
            try:
                if self._place is None:
                    self._socket.send(frame)
                else:
                    self._socket.sendto(frame, self._place)
            except OSError:
                return  # nobody is there, or there is no room: frames may be lost

    def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            self._loop.remove_reader(socket.fileno())
            socket.close()

    def _read(self) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            if self._socket is None:
                return
            try:
                frame = self._socket.recv(FRAME_LIMIT)
            except OSError:  # none is left, or word came back that nobody got the last one
                return
            self.send(frame)


def make_listening(network: Network, loop: MainLoop, name: str, text: str, _: str) -> NetClient:
    return ListeningNetdev(network, name, loop, parse_host_port(text))


def make_connecting(network: Network, loop: MainLoop, name: str, text: str, _: str) -> NetClient:
    return ConnectingNetdev(network, name, loop, parse_host_port(text))


def make_group(network: Network, loop: MainLoop, name: str, text: str, local: str) -> NetClient:
    place = parse_host_port(text)
    if not is_multicast(place[0]):
        number = int.from_bytes(bytes(map(int, place[0].split("."))), "big")
        raise QemuError(
            f"specified mcastaddr {place[0]} (0x{number:08x}) does not contain a multicast address"
        )
    socket = open_datagram(place, group=place[0], interface=local)
    info = "socket: mcast={}:{}".format(*place)
    return DatagramNetdev(network, name, loop, socket, place, info)


def make_datagram(network: Network, loop: MainLoop, name: str, text: str, local: str) -> NetClient:
    here, there = parse_host_port(local), parse_host_port(text)
    info = "socket: udp={}:{}".format(*there)
    return DatagramNetdev(network, name, loop, open_datagram(here), there, info)


MAKERS: dict[str, Callable[[Network, MainLoop, str, str, str], NetClient]] = {
    "listen": make_listening,
    "connect": make_connecting,
    "mcast": make_group,
    "udp": make_datagram,
}
