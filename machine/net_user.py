"""The ``user`` back end: its settings; no network of the host answers behind it."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.net import NetClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from machine.net import Network

_DEFAULT_NET = "10.0.2.0"


class UserNetdev(NetClient):
    """Takes frames and answers none."""

    kind = "user"


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
    for rule in values.get("hostfwd", ()):
        if ":" not in rule:
            raise QemuError(f"Invalid host forwarding rule '{rule}' (No : separators)")
        raise QemuError("host forwarding is not simulated yet")
    client = UserNetdev(network, name, "user")
    restrict = "on" if values.get("restrict") else "off"
    client.info = f"net={net},restrict={restrict}"
    return client


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
