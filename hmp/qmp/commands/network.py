"""Network cards and what they are connected to."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.net.network import Nic, format_mac

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession

_WITH_FILTER = "virtio-net-pci"
_VLANS = 4096


def netdev_add(session: QmpSession, **options: Any) -> None:
    from hmp.qmp.schema import schema
    from machine.net.options import add_netdev
    from machine.qom.objects import is_identifier

    if session.machine.network.find_netdev(options["id"]) is not None:
        raise QemuError(f"Duplicate ID '{options['id']}'")
    machine, name, kind = session.machine, options["id"], options["type"]
    if not is_identifier(name):
        raise QemuError("Parameter 'id' expects an identifier")
    if kind in ("dgram", "stream"):
        from machine.net.stream import make

        make(machine, options, session.take_descriptor)
    else:
        add_netdev(machine, _texts(schema().entry("netdev_add").spelled(options)))


def _texts(options: dict[str, Any]) -> dict[str, str]:
    """Options as people type them: of several values in a list, only the last can be told."""
    found: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, bool):
            found[name] = "on" if value else "off"
        elif isinstance(value, list):
            for each in value:
                found[name] = str(each["str"]) if isinstance(each, dict) else str(each)
        else:
            found[name] = str(value)
    return found


def netdev_del(session: QmpSession, *, id: str) -> None:
    from machine.net.options import delete_netdev

    delete_netdev(session.machine, id)


def set_link(session: QmpSession, *, name: str, up: bool) -> None:
    session.machine.network.set_link(name, up)


def announce_self(session: QmpSession, **values: Any) -> None:
    from machine.migration.announce import AnnounceParameters, announce

    parameters = AnnounceParameters(
        initial=values["initial"],
        max=values["max"],
        rounds=values["rounds"],
        step=values["step"],
    )
    announce(session.machine, parameters, values.get("interfaces"), values.get("id", ""))


def query_rx_filter(session: QmpSession, *, name: str | None = None) -> list[dict[str, Any]]:
    """The receive filters of network cards: only virtio's tell of theirs."""
    network = session.machine.network
    if name is None:
        return [_filter(nic) for nic in network.nics if nic.model == _WITH_FILTER]
    found = next((client for client in network.clients if client.name == name), None)
    if found is None:
        raise QemuError(f"invalid net client name: {name}")
    if not isinstance(found, Nic):
        raise QemuError(f"net client({name}) isn't a NIC")
    if found.model != _WITH_FILTER:
        raise QemuError(f"net client({name}) doesn't support rx-filter querying")
    return [_filter(found)]


def _filter(nic: Nic) -> dict[str, Any]:
    """What a card lets in before a driver has told it; no guest of ours has one."""
    return {
        "name": nic.name,
        "main-mac": format_mac(nic.mac),
        "promiscuous": True,
        "multicast": "normal",
        "unicast": "normal",
        "vlan": "all",
        "broadcast-allowed": False,
        "multicast-overflow": False,
        "unicast-overflow": False,
        "multicast-table": [],
        "unicast-table": [],
        "vlan-table": list(range(_VLANS - 1, -1, -1)),
    }


def _no_rocker(name: str) -> QemuError:
    """No machine of ours has a rocker switch."""
    return QemuError(f"rocker {name} not found")


def query_rocker(session: QmpSession, *, name: str, **others: Any) -> None:
    raise _no_rocker(name)


HANDLERS: dict[str, Handler] = {
    "announce-self": announce_self,
    "netdev_add": netdev_add,
    "netdev_del": netdev_del,
    "query-rocker": query_rocker,
    "query-rocker-of-dpa-flows": query_rocker,
    "query-rocker-of-dpa-groups": query_rocker,
    "query-rocker-ports": query_rocker,
    "query-rx-filter": query_rx_filter,
    "set_link": set_link,
}
