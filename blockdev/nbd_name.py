"""Where an export is: what ``nbd:`` names and options of the driver mean, and how it is called."""

from __future__ import annotations

import errno

from blockdev.address import InetAddress, UnixAddress, parse_inet
from blockdev.errors import QemuError
from blockdev.nbd_protocol import DEFAULT_PORT, MAX_STRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPORT = ":exportname="
_SERVER_FIELDS = {
    "unix": ("path",),
    "inet": ("host", "port"),
    "vsock": ("cid", "port"),
    "fd": ("str",),
}
_NUMBERS = ("open-timeout", "reconnect-delay")
_OLD = ("path", "host", "port")  # what only -drive takes, instead of `server`


class NbdPlace:
    """An export on a server; "" is the server's default one."""

    __slots__ = ("address", "export")

    def __init__(self, address: UnixAddress | InetAddress, export: str) -> None:
        self.address = address
        self.export = export

    @property
    def filename(self) -> str:
        """The name that opens it again."""
        if isinstance(self.address, UnixAddress):
            path = f"/{self.export}" if self.export else ""
            return f"nbd+unix://{path}?socket={self.address.path}"
        path = f"/{self.export}" if self.export else ""
        return f"nbd://{self.address}{path}"

    @property
    def options(self) -> dict[str, str]:
        """The driver's options for it."""
        found = {"export": self.export} if self.export else {}
        if isinstance(self.address, UnixAddress):
            return {**found, "server.type": "unix", "server.path": self.address.path}
        inet = {"server.host": self.address.host, "server.port": self.address.port}
        return {**found, "server.type": "inet", **inet}


def parse_name(name: str) -> NbdPlace:
    """What a name that begins with ``nbd`` means: a URI, or the older form with colons.

    Raises:
        QemuError: it is neither.
    """
    if "://" in name:
        return _checked(_parse_uri(name))
    place, has_export, export = name.partition(_EXPORT)
    place = place.removeprefix("nbd:")
    if not place or (has_export and not export):
        raise QemuError("NBD server address missing", errno.EINVAL)
    if place.startswith("unix:"):
        return _checked(NbdPlace(UnixAddress(path=place.removeprefix("unix:")), export))
    return _checked(NbdPlace(parse_inet(place), export))


def _parse_uri(name: str) -> NbdPlace:
    from urllib.parse import unquote, urlsplit

    invalid = QemuError("No valid URL specified", errno.EINVAL)
    try:
        uri = urlsplit(name)
        port = uri.port
    except ValueError:
        raise invalid from None

    def plain(text: str) -> str:
        return unquote(text, errors="surrogateescape")

    export = plain(uri.path).lstrip("/")
    if uri.scheme == "nbd+unix":
        key, _, path = uri.query.partition("=")
        if uri.netloc or key != "socket" or "&" in uri.query or ";" in uri.query:
            raise invalid
        return NbdPlace(UnixAddress(path=plain(path)), export)
    if uri.scheme not in ("nbd", "nbd+tcp") or uri.query or not uri.hostname:
        raise invalid
    host = plain(uri.netloc.rpartition("@")[2])
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return NbdPlace(InetAddress(host=host, port=str(port or DEFAULT_PORT)), export)


def parse_options(options: Mapping[str, str], prefix: str) -> NbdPlace:
    """What the options of the driver mean.

    Args:
        prefix: stands before their names in messages.

    Raises:
        QemuError: one is missing, or can't be.
    """
    export = options.get("export", "")
    for name in ("tls-creds", "x-dirty-bitmap"):
        if name in options:
            raise QemuError(f"nbd: option '{name}' is not simulated yet", errno.ENOTSUP)
    for name in _NUMBERS:
        if name in options and not (options[name].isascii() and options[name].isdigit()):
            raise QemuError(f"Parameter '{prefix}{name}' expects uint64", errno.EINVAL)
    server = {k.removeprefix("server."): v for k, v in options.items() if k.startswith("server.")}
    kind = server.pop("type", None)
    if kind is None:
        missing = f"{prefix}server.type" if server else f"{prefix}server"
        raise QemuError(f"Parameter '{missing}' is missing", errno.EINVAL)
    if kind not in _SERVER_FIELDS:
        raise QemuError(f"Parameter 'type' does not accept value '{kind}'", errno.EINVAL)
    for name in _SERVER_FIELDS[kind]:
        if name not in server:
            raise QemuError(f"Parameter '{prefix}server.{name}' is missing", errno.EINVAL)
    if kind in ("vsock", "fd"):
        raise QemuError(f"nbd: server type '{kind}' is not simulated yet", errno.ENOTSUP)
    if kind == "unix":
        address: UnixAddress | InetAddress = UnixAddress(
            path=server.pop("path"),
            abstract=_flag(server, "abstract", prefix) or False,
            tight=_flag(server, "tight", prefix) is not False,
        )
    else:
        address = InetAddress(
            host=server.pop("host"),
            port=server.pop("port"),
            ipv4=_flag(server, "ipv4", prefix),
            ipv6=_flag(server, "ipv6", prefix),
            numeric=_flag(server, "numeric", prefix) or False,
        )
        server.pop("to", None)
    for name in server:
        raise QemuError(f"Parameter '{prefix}server.{name}' is unexpected", errno.EINVAL)
    return _checked(NbdPlace(address, export))


def modernize(options: dict[str, str], prefix: str) -> None:
    """Put ``server`` in the place of ``path``, or ``host`` and ``port``, as ``-drive`` has them.

    Args:
        prefix: stands before the options' names.

    Raises:
        QemuError: they don't go together.
    """
    old = {name: options.pop(prefix + name) for name in _OLD if prefix + name in options}
    if any(name.startswith(prefix + "server.") for name in options):
        if old:
            text = "Cannot use 'server' and path/host/port at the same time"
            raise QemuError(text, errno.EINVAL)
        if prefix + "server.type" not in options:
            raise QemuError("Parameter 'type' is missing", errno.EINVAL)
        return
    if "path" in old and "host" in old:
        raise QemuError("path and host may not be used at the same time", errno.EINVAL)
    if "path" in old:
        if "port" in old:
            raise QemuError("port may not be used without host", errno.EINVAL)
        options[prefix + "server.type"] = "unix"
        options[prefix + "server.path"] = old["path"]
    elif "host" in old:
        options[prefix + "server.type"] = "inet"
        options[prefix + "server.host"] = old["host"]
        options[prefix + "server.port"] = old.get("port", DEFAULT_PORT)
    else:
        raise QemuError("NBD server address missing", errno.EINVAL)


def _flag(options: dict[str, str], name: str, prefix: str) -> bool | None:
    value = options.pop(name, None)
    if value not in (None, "on", "off", "true", "false", "yes", "no"):
        name = f"{prefix}server.{name}"
        raise QemuError(f"Parameter '{name}' expects 'on' or 'off'", errno.EINVAL)
    return None if value is None else value in ("on", "true", "yes")


def _checked(place: NbdPlace) -> NbdPlace:
    if len(place.export.encode("utf-8", "surrogateescape")) > MAX_STRING:
        raise QemuError("export name too long to send to server", errno.EINVAL)
    return place
