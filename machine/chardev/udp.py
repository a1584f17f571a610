"""Character devices over datagrams: what is written goes to one place, whoever may be there."""

from __future__ import annotations

from blockdev.address import InetAddress
from blockdev.errors import QemuError
from blockdev.sockets import connect_datagrams
from machine.chardev.device import Chardev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.sockets import Socket
    from machine.chardev.options import ChardevOptions
    from machine.loop import MainLoop

DATAGRAM_LIMIT = 1 << 16  # bytes received; more are none
PIECE_SIZE = 1400  # bytes sent at once: what fits into a frame of most networks


class UdpDevice(Chardev):
    """Nobody is ever seen to come or to leave."""

    def __init__(self, loop: MainLoop, label: str, connection: Socket) -> None:
        super().__init__(loop, label)
        self._socket: Socket | None = connection
        self._is_watched = False

    @property
    def filename(self) -> str:
        return "udp"

    def attach(
        self,
        opened: Callable[[], object],
        receive: Callable[[bytes], object],
        closed: Callable[[], object],
    ) -> None:
        super().attach(opened, receive, closed)
        self.is_open = True  # for what is written, but nobody came

    def close(self) -> None:
        super().close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> None:
        """A datagram for each line: what one can't take now is lost."""
        assert self._socket is not None
        for line in data.splitlines(keepends=True):
            for start in range(0, len(line), PIECE_SIZE):
                try:
                    self._socket.send(line[start : start + PIECE_SIZE])
                except OSError:
                    return

    def _watch_input(self) -> None:
        wanted = self._wants_input
        if self._socket is None or wanted == self._is_watched:
            return
        self._is_watched = wanted
        if wanted:
            self._loop.add_reader(self._socket.fileno(), self._read)
        else:
            self._loop.remove_reader(self._socket.fileno())

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(DATAGRAM_LIMIT)
        except OSError:  # such as that nobody listens where the last one went
            return
        if data:
            self._receive(data)


def check_udp_options(options: ChardevOptions) -> None:
    """Raises: QemuError: there is no place to send to."""
    if not options.values.get("port"):
        raise QemuError("chardev: udp: remote port not specified")


def open_udp_device(options: ChardevOptions, loop: MainLoop) -> UdpDevice:
    """Make the device; see `machine.chardev.device.open_chardev`."""
    check_udp_options(options)
    values = options.values
    there = InetAddress(
        host=values.get("host") or "localhost",
        port=values["port"],
        ipv4=options.flag("ipv4") if "ipv4" in values else None,
        ipv6=options.flag("ipv6") if "ipv6" in values else None,
    )
    here: InetAddress | None = None
    if "localaddr" in values or "localport" in values:
        here = InetAddress(host=values.get("localaddr", ""), port=values.get("localport") or "0")
    return UdpDevice(loop, options.label, connect_datagrams(there, here))
