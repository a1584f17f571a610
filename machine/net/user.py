"""The ``user`` back end: its settings and forwards; no network answers behind it."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.net.forward import HostForward, check_guest_forward, make_forward, read_place
from machine.net.network import NetClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from machine.net.network import Network

_DEFAULT_NET = "10.0.2.0"
_FIRST_GUEST = 15  # its number in the network


class UserNetdev(NetClient):
    """Takes frames and answers none.

    Attributes:
        guest_address: what a guest would be given.
    """

    kind = "user"

    def __init__(self, network: Network, name: str, guest_address: str) -> None:
        super().__init__(network, name, "user")
        self.guest_address = guest_address
        self._forwards: list[HostForward] = []

    def add_forward(self, rule: str) -> None:
        """Raises: QemuError: it is no rule, or its place is taken."""
        self._forwards.append(make_forward(rule, self.guest_address))

    def remove_forward(self, place: tuple[str, str, int]) -> bool:
        """Close what listens at a protocol, address and port; whether something did."""
        for each in self._forwards:
            if (each.protocol, each.host, each.port) == place:
                self._forwards.remove(each)
                each.close()
                return True
        return False

    def describe_forwards(self) -> list[str]:
        """Their lines in ``info usernet``: the newest of each protocol first."""
        newest_first = self._forwards[::-1]
        return [
            each.describe()
            for protocol in ("tcp", "udp")
            for each in newest_first
            if each.protocol == protocol
        ]

    def close(self) -> None:
        while self._forwards:
            self._forwards.pop().close()


def make_user(network: Network, name: str, values: Mapping[str, Any]) -> UserNetdev:
    """Make it of its options.

    Raises:
        QemuError: one of them can't be.
    """
    if not values.get("ipv4", True) and not values.get("ipv6", True):
        raise QemuError("IPv4 and IPv6 disabled")
    net = _DEFAULT_NET
    if "net" in values:
        net = _network_address(values["net"])
    for option, what in (
        ("host", "host"),
        ("dhcpstart", "DHCP start address"),
        ("dns", "DNS"),
    ):
        if option in values and _address(values[option]) is None:
            raise QemuError(f"Failed to parse {what}")
    for rule in values.get("guestfwd", ()):
        check_guest_forward(rule)
    guest = values.get("dhcpstart")
    if guest is None:
        number = _address(net)
        assert number is not None
        guest = ".".join(map(str, (number | _FIRST_GUEST).to_bytes(4, "big")))
    client = UserNetdev(network, name, guest)
    try:
        for rule in reversed(values.get("hostfwd", ())):  # QEMU too begins with the last
            client.add_forward(rule)
    except QemuError:
        client.close()
        raise
    restrict = "on" if values.get("restrict") else "off"
    client.info = f"net={net},restrict={restrict}"
    return client


def find_user(network: Network, name: str | None) -> UserNetdev | str:
    """The back end of a name, or the first one; where there is none, what is said of that."""
    users = [each for each in network.netdevs if isinstance(each, UserNetdev)]
    if name is not None:
        found = next((each for each in users if each.name == name), None)
        return found or f"unrecognized netdev id '{name}'"
    return users[0] if users else "user mode network stack not in use"


def remove_forward(client: UserNetdev, text: str) -> str:
    """Take a forward away; the line that says whether there was one."""
    place = read_place(text)
    if place is None:
        return "invalid format"
    what = "removed" if client.remove_forward(place) else "not found"
    return f"host forwarding rule for {text} {what}"


def _address(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)), "big")


def _network_address(text: str) -> str:
    """``10.0.3.0/24`` without the bits of the host; a mask may also be spelled in full."""
    place, slash, mask_text = text.partition("/")
    address = _address(place)
    if address is None:
        raise QemuError("Failed to parse netmask")
    if not slash:
        first = address >> 24
        # The classes that networks had before masks.
        bits = 8 if first < 128 else 16 if first < 192 else 24
    elif mask_text.isascii() and mask_text.isdigit() and 4 <= int(mask_text) <= 32:
        bits = int(mask_text)
    else:
        mask = _address(mask_text)
        if mask is None:
            raise QemuError("Failed to parse netmask")
        bits = mask.bit_count()
    number = address & ~((1 << (32 - bits)) - 1)
    return ".".join(map(str, number.to_bytes(4, "big")))
