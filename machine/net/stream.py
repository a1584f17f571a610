"""The back ends ``stream`` and ``dgram``: as ``socket``, at any address, and events tell of them.

Connections come about while the machine goes on, so that one that can't be is no failure of the
command: what is shown of the back end tells it.
"""

from __future__ import annotations

import os
import time

from blockdev.address import InetAddress, UnixAddress
from blockdev.errors import QemuError
from blockdev.net_sockets import (
    is_multicast,
    open_datagram,
    open_unix_datagram,
    parse_host_port,
    peer_of,
)
from blockdev.sockets import Connecting, adopt, listen
from machine.net.socket import DatagramNetdev, StreamNetdev
from machine.schema import Bool, Enum, Integer, Member, Source, Text, Type, read_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from blockdev.sockets import Socket
    from machine.machine import Machine
    from machine.net.network import NetClient

    TakeDescriptor = Callable[[str], int]

KINDS = frozenset(("dgram", "stream"))
_FAILED = "connection error"
_RETRY_NS = 20_000_000  # between two looks at a full backlog


class _Address(Type):
    """An address: which others belong to it depends on its type."""

    __slots__ = ()
    json_name = "object"

    def read(self, value: Any, name: str, source: Source) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._misfit(name)
        prefix = f"{name}."
        if "type" not in value:
            raise QemuError(f"Parameter '{prefix}type' is missing")
        kind = Enum(" ".join(_MEMBERS)).read(value["type"], "type", source)
        found = read_members(_MEMBERS[kind], value, source, prefix=prefix, taken=("type",))
        return {"type": kind, **found}


_TEXT, _BOOL = Text(), Bool()
_FLAGS = [Member(name, _BOOL) for name in ("ipv4", "ipv6", "keep-alive", "mptcp")]
_MEMBERS: dict[str, Sequence[Member]] = {
    "inet": (
        Member("host", _TEXT, is_optional=False),
        Member("port", _TEXT, is_optional=False),
        Member("numeric", _BOOL),
        Member("to", Integer(16, is_signed=False)),
        *_FLAGS,
    ),
    "unix": (
        Member("path", _TEXT, is_optional=False),
        Member("abstract", _BOOL),
        Member("tight", _BOOL),
    ),
    "vsock": [Member(name, _TEXT, is_optional=False) for name in ("cid", "port")],
    "fd": (Member("str", _TEXT, is_optional=False),),
}
_OPTIONS: dict[str, Sequence[Member]] = {
    "stream": (Member("addr", _Address(), is_optional=False), Member("server", _BOOL)),
    "dgram": (Member("local", _Address()), Member("remote", _Address())),
}


def read_options(values: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """What ``-netdev`` asks for, as QMP would have it; `make` makes it.

    Raises:
        QemuError: a value is missing or can't be.
    """
    if "id" not in values:
        raise QemuError("Parameter 'id' is missing")
    found = read_members(_OPTIONS[values["type"]], values, source, taken=("id", "type"))
    if values["type"] == "dgram":
        _check_dgram(found.get("local"), found.get("remote"))
    return {"id": values["id"], "type": values["type"], **found}


def make(
    machine: Machine, options: Mapping[str, Any], take_descriptor: TakeDescriptor
) -> NetClient:
    """Make a back end of what was read.

    Raises:
        QemuError: it can't be had.
    """
    name = options["id"]
    if options["type"] == "stream":
        return add_stream(machine, name, options["addr"], server=options.get("server", False))
    places = options.get("local"), options.get("remote")
    return add_dgram(machine, name, *places, take_descriptor)


def add_stream(machine: Machine, name: str, address: dict[str, Any], *, server: bool) -> NetClient:
    """Make a ``stream``.

    Args:
        address: where to listen or whom to call, as QMP has it.
    """
    client = (StreamServer if server else StreamCaller)(machine, name, address)
    machine.network.add(client)
    machine.loop.call_soon(client.begin)
    return client


class _EventfulStream(StreamNetdev):
    """A ``stream``, which tells when somebody comes and goes."""

    kind = "stream"

    def __init__(self, machine: Machine, name: str, address: dict[str, Any]) -> None:
        super().__init__(machine.network, name, machine.loop)
        self._machine = machine
        self._address = _place(address)
        self._is_closed = False

    def begin(self) -> None:
        """Listen, or call."""
        raise NotImplementedError

    def close(self) -> None:
        self._is_closed = True
        super().close()

    def _connected(self, connection: Socket) -> None:
        address: dict[str, object]
        if isinstance(self._address, UnixAddress):
            path = self._address.path
            info, address = f"unix:{path}", {"type": "unix", "path": path}
        else:
            host, port, family = peer_of(connection)
            info = f"tcp:{host}:{port}"
            address = {"type": "inet", "host": host, "port": str(port), family: True}
        self._begin(connection, info)
        self._tell("NETDEV_STREAM_CONNECTED", addr=address)

    def _hang_up(self) -> None:
        was_connected = self._connection is not None
        super()._hang_up()
        if was_connected and not self._is_closed:
            self._tell("NETDEV_STREAM_DISCONNECTED")

    def _tell(self, event: str, **data: object) -> None:
        self._machine.events.emit(event, netdev_id=self.name, **data)


class StreamServer(_EventfulStream):
    """Waits for somebody; while one is there no other is taken."""

    _listener: Socket | None = None

    def begin(self) -> None:
        if self._is_closed:
            return
        try:
            if self._address is None:
                raise QemuError(_FAILED)
            self._listener = listen(self._address)
        except QemuError:
            self.info = _FAILED
            return
        self._watch()

    def close(self) -> None:
        super().close()
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener.fileno())
            listener.close()
            if isinstance(self._address, UnixAddress):
                self._address.unlink()

    def _watch(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it left again already
            return
        connection.setblocking(False)
        self._loop.remove_reader(self._listener.fileno())
        self._connected(connection)

    def _hang_up(self) -> None:
        was_connected = self._connection is not None
        super()._hang_up()
        if was_connected and not self._is_closed:
            self._watch()


class StreamCaller(_EventfulStream):
    """Calls somebody, once."""

    _attempt: Connecting | None = None

    def begin(self) -> None:
        if self._is_closed:
            return
        try:
            if self._attempt is None:
                if self._address is None:
                    raise QemuError(_FAILED)
                self._attempt = Connecting(self._address)
            connection = self._attempt.attempt()
        except QemuError:
            self._attempt = None
            self.info = _FAILED
            return
        if connection is not None:
            self._attempt = None
            self._connected(connection)
        elif (fd := self._attempt.fileno()) >= 0:
            self._loop.add_writer(fd, self._go_on)
        else:
            self._loop.call_at(time.monotonic_ns() + _RETRY_NS, self.begin)

    def _go_on(self) -> None:
        assert self._attempt is not None
        self._loop.remove_writer(self._attempt.fileno())
        self.begin()

    def close(self) -> None:
        super().close()
        if self._attempt is not None:
            if self._attempt.fileno() >= 0:
                self._loop.remove_writer(self._attempt.fileno())
            self._attempt.close()
            self._attempt = None


def _place(address: dict[str, Any]) -> UnixAddress | InetAddress | None:
    """An address as QMP has it; None for one that nobody can have here."""
    if address["type"] == "unix":
        return UnixAddress(
            path=address["path"],
            abstract=address.get("abstract", False),
            tight=address.get("tight", True),
        )
    if address["type"] != "inet":
        return None
    names = ("ipv4", "ipv6", "numeric")
    more = {name: address[name] for name in names if name in address}
    to = address["to"] - int(address["port"]) if "to" in address else None
    return InetAddress(host=address["host"], port=address["port"], to=to, **more)


# --- dgram


class _Dgram(DatagramNetdev):
    """A ``dgram``."""

    kind = "dgram"

    def __init__(self, machine: Machine, name: str, socket: Socket, place: Any, info: str) -> None:
        super().__init__(machine.network, name, machine.loop, socket, place, info)


def add_dgram(
    machine: Machine,
    name: str,
    local: dict[str, Any] | None,
    remote: dict[str, Any] | None,
    take_descriptor: TakeDescriptor,
) -> NetClient:
    """Make a ``dgram``.

    Args:
        local, remote: addresses as QMP has them.
        take_descriptor: gives one that the client named.

    Raises:
        QemuError: they don't go together, or can't be had.
    """
    there = _check_dgram(local, remote)
    if there is not None and is_multicast(there[0]):
        return _add(machine, name, *_group(name, there, local, take_descriptor))
    assert local is not None, "it was checked"
    if remote is None:
        number = take_descriptor(local["str"])
        return _add(machine, name, _given(name, number), None, f"fd={number}")
    if local["type"] == "unix":
        socket = open_unix_datagram(local["path"])
        info = f"udp={local['path']}:{remote['path']}"
        return _add(machine, name, socket, remote["path"], info)
    assert there is not None, "no others are left"
    here = _resolved(local)
    info = "udp={}:{}/{}:{}".format(*here, *there)
    return _add(machine, name, open_datagram(here), there, info)


def _check_dgram(
    local: dict[str, Any] | None, remote: dict[str, Any] | None
) -> tuple[str, int] | None:
    """See whether addresses go together; where datagrams go, if that is a host and a port.

    Raises:
        QemuError: they don't, or there is no such host.
    """
    there = None
    if remote is not None and remote["type"] == "inet":
        there = _resolved(remote)
        if is_multicast(there[0]):
            if local is not None and local["type"] not in ("fd", "inet"):
                raise QemuError("only support inet or fd type for local")
            return there
    if local is None:
        raise QemuError("dgram requires local= parameter")
    kind = local["type"]
    if remote is None and kind != "fd":
        raise QemuError("type=inet or type=unix requires remote parameter")
    if remote is not None and kind == "fd":
        raise QemuError("don't set remote with local.fd")
    if remote is not None and remote["type"] != kind:
        raise QemuError("remote and local types must be the same")
    if kind == "vsock":
        raise QemuError("only support inet or fd type for local")
    return there


def _add(machine: Machine, name: str, socket: Socket, place: Any, info: str) -> NetClient:
    client = _Dgram(machine, name, socket, place, info)
    machine.network.add(client)
    return client


def _given(name: str, number: int) -> Socket:
    """A socket that this program was given.

    Raises:
        QemuError: it isn't one.
    """
    try:
        os.set_blocking(number, False)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        text = f"{name}: Can't use file descriptor {number}: {reason}"
        raise QemuError(text, error.errno or 0) from error
    return adopt(number, listens=False)


def _group(
    name: str, there: tuple[str, int], local: dict[str, Any] | None, take_descriptor: TakeDescriptor
) -> tuple[Socket, tuple[str, int], str]:
    """A socket in a group, the group, and what is shown of it."""
    info = "mcast={}:{}".format(*there)
    if local is not None and local["type"] == "fd":
        return _given(name, take_descriptor(local["str"])), there, info
    interface = "" if local is None else _resolved({**local, "port": "0"})[0]
    return open_datagram(there, group=there[0], interface=interface), there, info


def _resolved(address: dict[str, Any]) -> tuple[str, int]:
    return parse_host_port(f"{address['host']}:{address['port']}")
