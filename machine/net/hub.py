"""A hub: every frame that comes to one port goes out of all others."""

from __future__ import annotations

from machine.net.network import NetClient, Nic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.net.network import Network


class HubPort(NetClient):
    """A port; its peer is what is plugged in."""

    kind = "hubport"

    def __init__(self, network: Network, name: str, hub: Hub) -> None:
        super().__init__(network, name, "hub")
        self._hub = hub
        self.hub_id = hub.id
        hub.ports.append(self)

    def receive(self, frame: bytes) -> None:
        for port in self._hub.ports:
            if port is not self:
                port.send(frame)

    def close(self) -> None:
        self._hub.ports.remove(self)


class Hub:
    """A hub; it stays when its last port is gone."""

    __slots__ = ("id", "ports")

    def __init__(self, id: int) -> None:
        self.id = id
        self.ports: list[HubPort] = []

    def warnings(self) -> Iterator[str]:
        """What is odd about it."""
        peers = [port.peer for port in self.ports]
        for port in self.ports[::-1]:
            if port.peer is None:
                yield f"hub port {port.name} has no peer"
        has_nics = any(isinstance(peer, Nic) for peer in peers)
        has_hosts = any(peer is not None and not isinstance(peer, Nic) for peer in peers)
        if has_hosts and not has_nics:
            yield f"hub {self.id} with no nics"
        if has_nics and not has_hosts:
            yield f"hub {self.id} is not connected to host network"


def add_port(network: Network, id: int, name: str, peer: NetClient | None) -> HubPort:
    """A new port of a hub, which is made with its first one.

    Args:
        name: the port's id; empty for one by its number.
        peer: what is plugged in, a single one.
    """
    hub = next((hub for hub in network.hubs if hub.id == id), None)
    if hub is None:
        hub = Hub(id)
        network.hubs.insert(0, hub)
    port = HubPort(network, name or f"hub{id}port{len(hub.ports)}", hub)
    network.add(port)
    if peer is not None:
        port.connect(peer)
    return port
