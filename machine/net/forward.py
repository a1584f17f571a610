"""Host forwarding: sockets that stand for ports of the guest behind a ``user`` back end.

They are open and hold whoever calls; as no guest here answers, nobody is put through.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.net_sockets import address_of, open_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.sockets import Socket

_PROTOCOLS = {"": "tcp", "tcp": "tcp", "udp": "udp"}
ANY = "0.0.0.0"


class HostForward:
    """One rule, and its socket.

    Attributes:
        protocol: ``tcp`` or ``udp``.
        host, port: where it listens, as the rule has it; port 0 for any.
    """

    __slots__ = ("_guest", "_socket", "host", "port", "protocol")

    def __init__(self, protocol: str, here: tuple[str, int], guest: tuple[str, int]) -> None:
        self.protocol = protocol
        self._socket: Socket = open_forward(here, is_datagram=protocol == "udp")
        self._guest = guest
        self.host, self.port = here[0], self._socket.getsockname()[1]

    def describe(self) -> str:
        """Its line in ``info usernet``."""
        shown = "*" if self.host == ANY else self.host
        address, port = self._guest
        return (
            f"  {self.protocol.upper()}[HOST_FORWARD] {self._socket.fileno():>3} {shown:>15} "
            f"{self.port:>5} {address:>15} {port:>5} {0:>5} {0:>5}"
        )

    def close(self) -> None:
        self._socket.close()


def make_forward(rule: str, default_guest: str) -> HostForward:
    """``PROTOCOL:[HOST]:PORT-[GUEST]:PORT``.

    Args:
        default_guest: the address that the guest is given.

    Raises:
        QemuError: it is no such rule, or the place is taken.
    """

    def wrong(what: str) -> QemuError:
        return QemuError(f"Invalid host forwarding rule '{rule}' ({what})")

    name, colon, rest = rule.partition(":")
    if not colon:
        raise wrong("No : separators")
    protocol = _PROTOCOLS.get(name)
    if protocol is None:
        raise wrong("Bad protocol name")
    host, colon, rest = rest.partition(":")
    if not colon:
        raise wrong("Missing : separator")
    here = address_of(host) if host else ANY
    if here is None:
        raise wrong("Bad host address")
    port_text, dash, rest = rest.partition("-")
    if not dash:
        raise wrong("Bad host port separator")
    port = _number(port_text) if port_text else 0
    if port is None or not 0 <= port <= 0xFFFF:
        raise wrong("Bad host port")
    guest, colon, guest_port_text = rest.partition(":")
    if not colon:
        raise wrong("Missing guest address")
    there = address_of(guest) if guest else default_guest
    if there is None:
        raise wrong("Bad guest address")
    guest_port = _number(guest_port_text)
    if guest_port is None or not 1 <= guest_port <= 0xFFFF:
        raise wrong("Bad guest port")
    try:
        return HostForward(protocol, (here, port), (there, guest_port))
    except QemuError as error:
        raise QemuError(f"Could not set up host forwarding rule '{rule}'") from error


def read_place(text: str) -> tuple[str, str, int] | None:
    """``PROTOCOL:[HOST]:PORT`` of a rule that is to go; None when it is no such thing."""
    name, _, rest = text.partition(":")
    host, colon, digits = rest.partition(":")
    protocol = _PROTOCOLS.get(name)
    here = address_of(host) if host else ANY
    port = int(digits) if digits.isascii() and digits.isdigit() else None
    if protocol is None or not colon or here is None or port is None:
        return None
    return protocol, here, port


def check_guest_forward(rule: str) -> None:
    """``tcp:ADDRESS:PORT-cmd:COMMAND``, which no guest here makes use of.

    Raises:
        QemuError: it is no such rule, or names a device, which can't be had.
    """
    place, dash, device = rule.partition("-")
    name, _, rest = place.partition(":")
    address, _, port_text = rest.partition(":")
    port = _number(port_text)
    fits = name in ("", "tcp") and address_of(address) is not None
    if not (dash and fits and port is not None and 1 <= port <= 0xFFFF):
        raise QemuError(f"Invalid guest forwarding rule '{rule}'")
    if not device.startswith("cmd:"):
        raise QemuError(f"Could not open guest forwarding device 'guestfwd.tcp.{port}'")


def _number(text: str) -> int | None:
    """As C reads one: decimal, or after 0x or 0 in another base."""
    base = 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" and len(text) > 1 else 10
    try:
        return int(text, base)
    except ValueError:
        return None
