"""Opens sockets, with `blockdev.net_sockets` alone; `blockdev.address` has their names.

The ``socket`` module is imported where a socket is made: it costs as much as the whole start of
a program that needs none.
"""

from __future__ import annotations

import errno
import os

from blockdev.address import InetAddress, UnixAddress
from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from typing import Any

    from blockdev.file import Buffer

    Socket = socket.socket

_BACKLOG = 1
_MAX_DESCRIPTORS = 16  # passed along with what is received at once


def listen(address: UnixAddress | InetAddress) -> Socket:
    """A listening socket, not blocking. A socket file that is there already is replaced.

    Raises:
        QemuError: in the words for the step that failed.
    """
    if isinstance(address, UnixAddress):
        return _listen_unix(address)
    return _listen_inet(address)[0]


def listen_everywhere(address: UnixAddress | InetAddress) -> list[Socket]:
    """As `listen`, on each of the places that a name stands for.

    Raises:
        QemuError: none of them can be had.
    """
    if isinstance(address, UnixAddress):
        return [_listen_unix(address)]
    return _listen_inet(address, everywhere=True)


def connect(address: UnixAddress | InetAddress) -> Socket:
    """A connected socket, not blocking; waits until the other side has answered.

    Raises:
        QemuError: no connection came about.
    """
    import socket

    failure: OSError | None = None
    for family, place in _places(address):
        client = socket.socket(family, socket.SOCK_STREAM)
        try:
            client.connect(place)
        except OSError as error:
            client.close()
            failure = error
        else:
            client.setblocking(False)
            return client
    assert failure is not None, "an address stands for one place at least"
    raise _worded(f"Failed to connect to '{address}'", failure) from failure


def adopt(number: int, *, listens: bool) -> Socket:
    """A socket that this process was given by its number; not blocking.

    Args:
        number: it is ours then.
        listens: clients are to come to it.

    Raises:
        QemuError: it is none.
    """
    import socket

    try:
        given = socket.socket(fileno=number)
    except OSError as error:
        raise QemuError(f"File descriptor '{number}' is not a socket") from error
    given.setblocking(False)
    given.set_inheritable(False)
    if listens:
        try:
            given.listen(_BACKLOG)
        except OSError as error:
            given.close()
            raise _worded("Failed to listen on fd socket", error) from error
    return given


def connect_datagrams(there: InetAddress, here: InetAddress | None) -> Socket:
    """A datagram socket, not blocking, that sends to one place and hears from nobody else.

    Args:
        here: where it receives; None for a port that nobody chose.

    Raises:
        QemuError: one of the places can't be had.
    """
    import socket

    flags = socket.AI_V4MAPPED | socket.AI_ADDRCONFIG
    family, place = _resolve(there, flags, datagrams=True)[0]
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if here is not None:
            own = _resolve(here, socket.AI_PASSIVE, datagrams=True, family=family)
            opened.bind(own[0][1])
        opened.connect(place)
    except OSError as error:
        opened.close()
        raise _worded(f"Failed to connect to '{there}'", error) from error
    except QemuError:
        opened.close()
        raise
    opened.setblocking(False)
    return opened


def family_of(connection: Socket) -> str:
    """``unix`` or ``tcp``."""
    return "unix" if connection.family == _unix_family() else "tcp"


class Connecting:
    """A connection that comes about while nobody waits for it.

    Raises:
        QemuError: the address stands for nothing.
    """

    def __init__(self, address: UnixAddress | InetAddress) -> None:
        self._address = address
        self._places = list(_places(address))
        self._socket: Socket | None = None
        self._place: Any = None

    def attempt(self) -> Socket | None:
        """Go on; again whenever `fileno` is writable, or after a while if that is -1.

        Returns:
            The connection, not blocking; None while there is none yet.

        Raises:
            QemuError: none will come about.
        """
        import socket

        while True:
            if self._socket is None:
                family, self._place = self._places.pop(0)
                self._socket = socket.socket(family, socket.SOCK_STREAM)
                self._socket.setblocking(False)
                number = self._socket.connect_ex(self._place)
            else:
                number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number and not self._is_connected(self._socket):
                    number = self._socket.connect_ex(self._place)
            if not number:
                connection, self._socket = self._socket, None
                return connection
            if number in (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN):
                return None
            self.close()
            if not self._places:
                text = f"Failed to connect to '{self._address}'"
                raise _worded(text, OSError(number, ""))

    def fileno(self) -> int:
        """What becomes writable; -1 where a full backlog has to be tried again."""
        assert self._socket is not None, "an attempt is under way"
        return -1 if self._socket.family == _unix_family() else self._socket.fileno()

    def close(self) -> None:
        """Give up; harmless when it is over."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _is_connected(self, candidate: Socket) -> bool:
        try:
            candidate.getpeername()
        except OSError:
            return False
        return True


def _unix_family() -> int:
    import socket

    return socket.AF_UNIX


def receive_passing(connection: Socket, size: int) -> tuple[bytes, list[int]]:
    """As ``recv``, with the descriptors that came along over a Unix socket; they are ours then."""
    import socket
    from array import array

    width = array("i").itemsize
    data, messages, _, _ = connection.recvmsg(
        size, socket.CMSG_SPACE(_MAX_DESCRIPTORS * width), socket.MSG_CMSG_CLOEXEC
    )
    passed = array("i")
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            passed.frombytes(content[: len(content) - len(content) % width])
    return data, list(passed)


def send_all(connection: Socket, data: Buffer) -> None:
    """Send all of it. A program that a broken pipe ends isn't ended by a broken connection."""
    import socket

    connection.sendall(data, socket.MSG_NOSIGNAL)


def shut_down(number: int) -> None:
    """End what goes over a connection both ways, whoever has it; nothing, if it isn't one."""
    import socket

    try:
        with socket.socket(fileno=os.dup(number)) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # no socket, or it is over already


def send_at_once(connection: Socket) -> None:
    """Don't let TCP collect small packets."""
    import socket

    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _worded(what: str, error: OSError) -> QemuError:
    number = error.errno or 0
    return QemuError(f"{what}: {os.strerror(number)}", number)


def _resolve(
    address: InetAddress, flags: int, *, datagrams: bool = False, family: int = 0
) -> list[tuple[int, tuple[object, ...]]]:
    """The families and addresses that a host and a port stand for; ``flags`` are getaddrinfo's.

    ``family`` is the only one that counts, 0 for all that the address allows.

    Raises:
        QemuError: it stands for none.
    """
    import socket

    if address.ipv4 is False and address.ipv6 is False:
        raise QemuError("Cannot disable IPv4 and IPv6 at same time", errno.EINVAL)
    if family:
        pass
    elif address.ipv6 is False or (address.ipv4 and not address.ipv6):
        family = socket.AF_INET
    elif address.ipv4 is False or (address.ipv6 and not address.ipv4):
        family = socket.AF_INET6
    if address.numeric:
        flags |= socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    # As bytes, so that Python's own opinion about names of computers is not asked.
    host = address.host.encode("utf-8", "surrogateescape") or None
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, address.port, family, kind, 0, flags)
    except socket.gaierror as error:
        raise QemuError(f"address resolution failed for {address}: {error.strerror}") from error
    return [(entry[0], entry[4]) for entry in found]


def _places(address: UnixAddress | InetAddress) -> Iterator[tuple[int, Any]]:
    import socket

    if isinstance(address, UnixAddress):
        yield socket.AF_UNIX, address.to_bytes()
    else:
        flags = socket.AI_V4MAPPED | socket.AI_ADDRCONFIG
        yield from _resolve(address, flags)


def _listen_unix(address: UnixAddress) -> Socket:
    import socket

    name = address.to_bytes()
    if not address.abstract:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _worded(f"Failed to unlink socket {address.path}", error) from error
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o077)  # whoever reaches a monitor can do all that we can
    try:
        listener.bind(name)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _worded(f"Failed to bind socket to {address.path}", error) from error
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def _listen_inet(address: InetAddress, *, everywhere: bool = False) -> list[Socket]:
    """Bind the first place that can be had, or all there are, port by port up to ``to``."""
    import socket

    listeners: list[Socket] = []
    failure: OSError | None = None
    for family, place in _resolve(address, socket.AI_PASSIVE):
        if listeners and not everywhere:
            break
        first_port = place[1]
        assert isinstance(first_port, int)
        for port in range(first_port, max(address.to or 0, first_port) + 1):
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if everywhere and family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((place[0], port, *place[2:]))
                listener.listen(_BACKLOG)
            except OSError as error:
                listener.close()
                failure = error
                if error.errno != errno.EADDRINUSE:
                    break
            else:
                listener.setblocking(False)
                listeners.append(listener)
                break
    if listeners:
        return listeners
    assert failure is not None, "an address stands for one place at least"
    taken = failure.errno == errno.EADDRINUSE
    raise _worded(
        "Failed to find an available port" if taken else "Failed to bind socket", failure
    ) from failure
