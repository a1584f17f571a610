"""Socket addresses as QEMU spells them; `blockdev.sockets` opens what they name."""

from __future__ import annotations

import errno
import os

from blockdev.errors import HintedError, QemuError

UNIX_PATH_LIMIT = 108  # bytes, the final NUL included
HOST_LIMIT, PORT_LIMIT = 64, 32  # characters that are looked at


class UnixAddress:
    """A socket file, or a name in Linux's abstract namespace.

    ``tight`` gives an abstract name its own length; otherwise it is filled up with NULs.
    """

    __slots__ = ("abstract", "path", "tight")

    def __init__(self, *, path: str, abstract: bool = False, tight: bool = True) -> None:
        self.path = path
        self.abstract = abstract
        self.tight = tight

    def __str__(self) -> str:
        return self.path

    def unlink(self) -> None:
        """Take the socket file away, if there is one and it may be."""
        if not self.abstract:
            try:
                os.unlink(self.path)
            except OSError:
                return

    def to_bytes(self) -> bytes:
        """What the kernel takes.

        Raises:
            QemuError: the path is too long.
        """
        path = self.path.encode("utf-8", "surrogateescape")
        limit = UNIX_PATH_LIMIT - 1 if self.abstract else UNIX_PATH_LIMIT
        if len(path) >= UNIX_PATH_LIMIT:
            raise HintedError(
                f"UNIX socket path '{self.path}' is too long",
                f"Path must be less than {limit} bytes",
                errno.ENAMETOOLONG,
            )
        if not self.abstract:
            return path
        return b"\0" + (path if self.tight else path.ljust(limit, b"\0"))


class InetAddress:
    """A host and a port, each a name or a number.

    ``to`` is the last port a listener may try. ``ipv4`` and ``ipv6`` are None where nothing was
    said; an empty host is every address of this computer.
    """

    __slots__ = ("host", "ipv4", "ipv6", "numeric", "port", "to")

    def __init__(
        self,
        *,
        host: str,
        port: str,
        to: int | None = None,
        ipv4: bool | None = None,
        ipv6: bool | None = None,
        numeric: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.to = to
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.numeric = numeric

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_inet(text: str) -> InetAddress:
    """``host:port[,to=N][,ipv4[=on|off]][,ipv6[=on|off]]``; an IPv6 address in brackets.

    Raises:
        QemuError: it has no port, or a flag is not understood. Other words are passed over.
    """
    place, *flags = text.split(",")
    if text.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or not rest.startswith(":") or len(host) > HOST_LIMIT or not rest[1:]:
            raise QemuError(f"error parsing IPv6 address '{text}'", errno.EINVAL)
        port = rest[1:]
    else:
        host, colon, port = place.partition(":")
        if colon and not host and not port:
            raise QemuError(f"error parsing port in address '{text}'", errno.EINVAL)
        if not colon or not port or len(host) > HOST_LIMIT:
            raise QemuError(f"error parsing address '{text}'", errno.EINVAL)
    address = InetAddress(host=host, port=port[:PORT_LIMIT])
    for flag in flags:
        name, equals, value = flag.partition("=")
        if name in ("ipv4", "ipv6"):
            if equals and value not in ("on", "off"):
                raise QemuError(f"error parsing '{name}' flag '={value}'", errno.EINVAL)
            setattr(address, name, value != "off")
        elif name == "to":
            if not value.isdecimal():
                raise QemuError("error parsing to= argument", errno.EINVAL)
            address.to = int(value[:6])
    return address


def parse_address(text: str) -> UnixAddress | InetAddress:
    """``unix:PATH`` or `parse_inet`'s form, which may stand after ``tcp:``.

    Raises:
        QemuError: it is neither.
    """
    if not text.startswith("unix:"):
        return parse_inet(text.removeprefix("tcp:"))
    if text == "unix:":
        raise QemuError("invalid Unix socket address", errno.EINVAL)
    return UnixAddress(path=text.removeprefix("unix:"))
