"""The sockets of ``-netdev socket``, which QEMU opens by other rules and words than the rest."""

from __future__ import annotations

import errno
import os
import stat

from blockdev.address import PORT_LIMIT
from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.sockets import Socket


def parse_host_port(text: str) -> tuple[str, int]:
    """``host:port`` of IPv4; the host as four numbers, empty for every address.

    Raises:
        QemuError: it is none, or the host can't be found.
    """
    import socket

    host, colon, port = text.partition(":")
    if not colon:
        raise QemuError(f"host address '{text}' doesn't contain ':' separating host from port")
    if not (port.isascii() and port[:1].isdigit()):
        raise QemuError(f"port number '{port}' is invalid")
    digits = port[: len(port) - len(port.lstrip("0123456789"))][:PORT_LIMIT]
    try:
        # As bytes, so that Python's own opinion about names of computers is not asked.
        name = host.encode("utf-8", "surrogateescape")
        found = socket.getaddrinfo(name, None, socket.AF_INET) if host else []
    except OSError as error:
        raise QemuError(f"can't resolve host address '{host}'") from error
    return str(found[0][4][0]) if found else "0.0.0.0", int(digits) & 0xFFFF


def is_multicast(host: str) -> bool:
    """Whether four numbers name a group."""
    return 224 <= int(host.split(".")[0]) <= 239


def listen_plain(place: tuple[str, int]) -> Socket:
    """A listening socket, not blocking.

    Raises:
        QemuError: the place is taken.
    """
    import socket

    return _bound(place, socket.SOCK_STREAM)


def connect_plain(place: tuple[str, int]) -> Socket | None:
    """A socket that is being connected, not blocking: when it can be written, it is or never is.

    Returns:
        None when nobody is there, which is no error to QEMU.

    Raises:
        QemuError: it can't even begin.
    """
    import socket

    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    failure = client.connect_ex(place)
    if failure in (0, errno.EINPROGRESS):
        return client
    client.close()
    if failure == errno.ECONNREFUSED:
        return None
    raise QemuError(f"can't connect socket: {os.strerror(failure)}", failure)


def open_datagram(place: tuple[str, int], *, group: str = "", interface: str = "") -> Socket:
    """A datagram socket, not blocking.

    Args:
        place: where it receives.
        group: what it joins; empty for none.
        interface: an address of the interface for that; empty for any.

    Raises:
        QemuError: the place is taken, or the group can't be joined.
    """
    import socket

    opened = _bound(place, socket.SOCK_DGRAM)
    if group:
        try:
            near = socket.inet_aton(interface or "0.0.0.0")
        except OSError as error:
            opened.close()
            text = f"localaddr '{interface}' is not a valid IPv4 address"
            raise QemuError(text) from error
        try:
            membership = socket.inet_aton(group) + near
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            if interface:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, near)
        except OSError as error:
            opened.close()
            text = f"can't add socket to multicast group {group}"
            raise _worded(text, error) from error
    return opened


def open_unix_datagram(path: str) -> Socket:
    """A datagram socket at a path, not blocking; one that was left there makes room.

    Raises:
        QemuError: it can't be there.
    """
    import socket

    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
        opened.bind(path)
    except OSError as error:
        opened.close()
        raise _worded(f"can't bind unix={path} to socket", error) from error
    opened.setblocking(False)
    return opened


def peer_of(connection: Socket) -> tuple[str, int, str]:
    """Who is at the other end of a connection over IP: host, port, and ``ipv4`` or ``ipv6``."""
    import socket

    try:
        host, port = connection.getpeername()[:2]
    except OSError:  # gone already
        host, port = "", 0
    return host, port, "ipv6" if connection.family == socket.AF_INET6 else "ipv4"


def address_of(text: str) -> str | None:
    """An IPv4 address in four numbers; None for anything that is none."""
    import socket

    try:
        return socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return None


def open_forward(place: tuple[str, int], *, is_datagram: bool) -> Socket:
    """A socket that stands for a port of a guest, not blocking.

    Raises:
        QemuError: the place is taken.
    """
    import socket

    return _bound(place, socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM)


def _bound(place: tuple[str, int], kind: int) -> Socket:
    import socket

    opened = socket.socket(socket.AF_INET, kind)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        if kind == socket.SOCK_STREAM:
            opened.listen(0)
    except OSError as error:
        opened.close()
        raise _worded(f"can't bind ip={place[0]} to socket", error) from error
    opened.setblocking(False)
    return opened


def _worded(what: str, error: OSError) -> QemuError:
    number = error.errno or 0
    return QemuError(f"{what}: {os.strerror(number)}", number)
