"""What ``-netdev``, ``-nic`` and ``-net`` mean: the types of back ends, and their options."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, QemuError
from machine.schema import (
    OPTIONS,
    Bool,
    Enum,
    Integer,
    List,
    Member,
    Size,
    Text,
    read_integer,
    read_members,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from machine.machine import Machine
    from machine.net.network import NetClient

    Make = Callable[[Machine, str, Mapping[str, Any]], NetClient]

_TEXT, _BOOL = Text(), Bool()
_UINT16, _UINT32 = Integer(16, is_signed=False), Integer(32, is_signed=False)


def _texts(names: str) -> list[Member]:
    return [Member(name, _TEXT) for name in names.split()]


def _needed(*members: Member) -> list[Member]:
    return [Member(each.name, each.type, is_optional=False) for each in members]


USER = (
    Member("hostname", _TEXT),
    Member("restrict", _BOOL),
    Member("ipv4", _BOOL),
    Member("ipv6", _BOOL),
    *_texts("ip net host tftp bootfile dhcpstart dns"),
    Member("dnssearch", List(_TEXT)),
    *_texts("domainname ipv6-prefix"),
    Member("ipv6-prefixlen", Integer()),
    *_texts("ipv6-host ipv6-dns smb smbserver"),
    Member("hostfwd", List(_TEXT)),
    Member("guestfwd", List(_TEXT)),
    Member("tftp-server-name", _TEXT),
)
NIC = (
    *_texts("netdev macaddr model addr"),
    Member("vectors", _UINT32),
)
TYPES: dict[str, Sequence[Member]] = {
    "none": (),
    "nic": NIC,
    "user": USER,
    "tap": (
        *_texts("ifname fd fds script downscript br helper"),
        Member("sndbuf", Size()),
        Member("vnet_hdr", _BOOL),
        Member("vhost", _BOOL),
        *_texts("vhostfd vhostfds"),
        Member("vhostforce", _BOOL),
        Member("queues", _UINT32),
        Member("poll-us", _UINT32),
    ),
    "l2tpv3": (
        *_needed(Member("src", _TEXT), Member("dst", _TEXT)),
        *_texts("srcport dstport"),
        *(Member(name, _BOOL) for name in ("ipv6", "udp", "cookie64", "counter", "pincounter")),
        *(Member(name, Integer(64, is_signed=False)) for name in ("txcookie", "rxcookie")),
        *_needed(Member("txsession", _UINT32)),
        Member("rxsession", _UINT32),
        Member("offset", _UINT32),
    ),
    "socket": _texts("fd listen connect mcast localaddr udp"),
    "stream": (),
    "dgram": _texts("local remote"),
    "vde": (
        *_texts("sock"),
        Member("port", _UINT16),
        Member("group", _TEXT),
        Member("mode", _UINT16),
    ),
    "bridge": _texts("br helper"),
    "hubport": (Member("hubid", Integer(32), is_optional=False), Member("netdev", _TEXT)),
    "netmap": (*_needed(Member("ifname", _TEXT)), Member("devname", _TEXT)),
    "vhost-user": (
        *_needed(Member("chardev", _TEXT)),
        Member("vhostforce", _BOOL),
        Member("queues", Integer()),
    ),
    "vhost-vdpa": (
        *_texts("vhostdev vhostfd"),
        Member("queues", Integer()),
        Member("x-svq", _BOOL),
    ),
}
_TYPE = Enum(" ".join(TYPES))
# Types that QEMU's schema has and Debian's build hasn't.
_NOT_COMPILED = frozenset(("none", "nic", "netmap"))
HELP = "socket stream dgram hubport tap user l2tpv3 vde bridge vhost-user vhost-vdpa".split()


def check_netdev(options: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """A back end's type and the values of its options; nothing is made.

    Raises:
        QemuError: in QEMU's words, in the order in which it looks at the options.
    """
    if "id" not in options:
        raise QemuError("Parameter 'id' is missing")
    if "type" not in options:
        raise QemuError("Parameter 'type' is missing")
    kind = _TYPE.read(options["type"], "type", OPTIONS)
    if kind == "stream":
        # A list of options has no way to say where: QEMU only takes it from the command line.
        raise QemuError("Parameter 'type' is missing")
    return kind, read_members(TYPES[kind], options, OPTIONS, taken=("id", "type"))


def add_netdev(machine: Machine, options: Mapping[str, str]) -> NetClient:
    """Make a back end.

    Args:
        options: as in ``-netdev``.

    Raises:
        QemuError: it can't be.
    """
    kind, values = check_netdev(options)
    name = options["id"]
    if machine.network.find_netdev(name) is not None:
        raise QemuError(f"Duplicate ID '{name}' for netdev")
    if kind in _NOT_COMPILED:
        raise QemuError(f"network backend '{kind}' is not compiled into this binary")
    if kind in _MAKERS:
        return _MAKERS[kind](machine, name, values)
    from machine.net import host

    makers: dict[str, Make] = {
        "bridge": host.make_bridge,
        "l2tpv3": host.make_l2tpv3,
        "tap": host.make_tap,
        "vde": host.make_vde,
        "vhost-user": host.make_vhost_user,
        "vhost-vdpa": host.make_vhost_vdpa,
    }
    return makers[kind](machine, name, values)


def delete_netdev(machine: Machine, name: str) -> None:
    """Raises: QemuError: there is no such back end."""
    client = machine.network.find_netdev(name)
    if client is None:
        raise DeviceNotFound(name)
    machine.network.remove_netdev(client)


def _make_hubport(machine: Machine, name: str, values: Mapping[str, Any]) -> NetClient:
    from machine.net.hub import add_port

    peer = None
    if "netdev" in values:
        peer = machine.network.find_netdev(values["netdev"])
        if peer is None:
            raise QemuError(f"netdev '{values['netdev']}' not found")
        if peer.peer is not None:
            raise QemuError(f"netdev '{values['netdev']}' is in use")
    return add_port(machine.network, values["hubid"], name, peer)


def _make_socket(machine: Machine, name: str, values: Mapping[str, Any]) -> NetClient:
    from machine.net.socket import MAKERS

    if "fd" in values:
        number = read_integer(values["fd"])
        if number is None:
            raise QemuError(f"File descriptor named '{values['fd']}' has not been found")
        raise QemuError(f"{name}: Can't use file descriptor {number}: Bad file descriptor")
    ways = [way for way in MAKERS if way in values]
    if len(ways) != 1:
        raise QemuError("exactly one of listen=, connect=, mcast= or udp= is required")
    way = ways[0]
    local = values.get("localaddr", "")
    if local and way in ("listen", "connect"):
        raise QemuError("localaddr= is only valid with mcast= or udp=")
    if way == "udp" and not local:
        raise QemuError("localaddr= is mandatory with udp=")
    client = MAKERS[way](machine.network, machine.loop, name, values[way], local)
    machine.network.add(client)
    return client


def _make_user(machine: Machine, name: str, values: Mapping[str, Any]) -> NetClient:
    from machine.net.user import make_user

    client = make_user(machine.network, name, values)
    machine.network.add(client)
    return client


def _make_dgram(machine: Machine, name: str, values: Mapping[str, Any]) -> NetClient:
    if "local" not in values:
        raise QemuError("dgram requires local= parameter")
    raise QemuError("network backend 'dgram' is not simulated yet")


_MAKERS: dict[str, Make] = {
    "dgram": _make_dgram,
    "hubport": _make_hubport,
    "socket": _make_socket,
    "user": _make_user,
}
