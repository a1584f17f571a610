"""What the options of a socket mean, which go together, and the device that they ask for."""

from __future__ import annotations

from blockdev.address import InetAddress, UnixAddress
from blockdev.errors import QemuError
from machine.chardev.socket import SocketDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.chardev.options import ChardevOptions
    from machine.loop import MainLoop


def open_socket_device(
    options: ChardevOptions, loop: MainLoop, report: Callable[[str], object]
) -> SocketDevice:
    """Make the device; see `machine.chardev.device.open_chardev`."""
    check_socket_options(options)
    server = options.flag("server")
    reconnect = options.number("reconnect")
    address = _address(options)
    device = SocketDevice(
        loop,
        options.label,
        address,
        server=server,
        telnet=options.flag("telnet"),
        nodelay=options.flag("nodelay") or not options.flag("delay", True),
        reconnect_ns=reconnect * 10**9 if reconnect and reconnect > 0 else None,
        report=report,
    )
    if server and options.flag("wait", True):
        report(f"info: QEMU waiting for connection on: {device.filename}")
        device.wait_for_client()
    return device


def check_socket_options(options: ChardevOptions) -> None:
    """Raises: QemuError: options that don't go together, or can't be had here."""
    values = options.values
    server = options.flag("server")
    if "delay" in values and "nodelay" in values:
        raise QemuError("'delay' and 'nodelay' are mutually exclusive")
    if sum(name in values for name in ("path", "fd", "host")) > 1:
        raise QemuError("None or one of 'path', 'fd' or 'host' option required.")
    if server and "reconnect" in values:
        raise QemuError("'reconnect' option is incompatible with socket in server listen mode")
    if not server and "wait" in values:
        raise QemuError("'wait' option is incompatible with socket in client connect mode")
    if options.flag("websocket"):
        if not server:
            raise QemuError("Websocket client is not implemented")
        raise QemuError("websocket: not simulated")
    if "tls-creds" in values:
        raise QemuError(f"No TLS credentials with id '{values['tls-creds']}'")
    if "tls-authz" in values:
        raise QemuError("'tls_authz' option requires 'tls_creds' option")
    if "host" in values and not values.get("port"):
        raise QemuError("chardev: socket: no port given")


def _address(options: ChardevOptions) -> UnixAddress | InetAddress | int:
    values = options.values
    path, host = values.get("path"), values.get("host")
    if path is not None:
        return UnixAddress(
            path=path, abstract=options.flag("abstract"), tight=options.flag("tight", True)
        )
    if host is not None:
        return InetAddress(
            host=host,
            port=values["port"],
            to=options.number("to"),
            ipv4=options.flag("ipv4") if "ipv4" in values else None,
            ipv6=options.flag("ipv6") if "ipv6" in values else None,
        )
    number = values.get("fd", "")
    if not (number.isascii() and number.isdigit()):
        raise QemuError(f"Unable to parse FD number {number}")
    return int(number)
