"""Network clients in pairs: a card and what it is plugged into, and the frames between them."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from machine.net.filter import NetFilter
    from machine.net.hub import Hub

QUEUE_LIMIT = 10000  # frames that wait for a stopped machine
FIRST_MAC = bytes.fromhex("525400123456")  # QEMU counts up from here
MAC_COUNT = 256


class NetClient:
    """One end of a pair: QEMU's NetClientState.

    Attributes:
        kind: what ``info network`` calls its type.
        name: its id.
        info: what ``info network`` shows behind the type.
        peer: the other end; a card keeps one that was deleted.
        link_down: neither sends nor receives.
        filters: what looks at the frames on their way, from the peer's side to the inside.
    """

    kind = ""

    def __init__(self, network: Network, name: str, model: str) -> None:
        self.network = network
        self.name = name
        self.model = model
        self.info = ""
        self.peer: NetClient | None = None
        self.link_down = False
        self.filters: list[NetFilter] = []

    def connect(self, peer: NetClient) -> None:
        """Make a pair of two that are single."""
        assert self.peer is None
        assert peer.peer is None
        self.peer = peer
        peer.peer = self

    def send(self, frame: bytes) -> None:
        """Give a frame to the peer; lost when there is none or a link is down."""
        peer = self.peer
        if self.link_down or peer is None or peer not in self.network.clients:
            return
        for each in self.filters:
            if each.sees_sent:
                each.take(frame)
        for each in reversed(peer.filters):
            if each.sees_received:
                each.take(frame)
        self.network.deliver(peer, frame)

    def receive(self, frame: bytes) -> None:
        """Take a frame from the peer."""

    def close(self) -> None:
        """Give back what this client alone holds."""


class Nic(NetClient):
    """A network card, as far as its back end can tell.

    Attributes:
        mac: its address, 6 bytes.
        peer_deleted: what it was plugged into is gone.
    """

    kind = "nic"

    def __init__(self, network: Network, name: str, model: str, mac: bytes) -> None:
        super().__init__(network, name, model)
        self.mac = mac
        self.peer_deleted = False
        self.info = f"model={model},macaddr={format_mac(mac)}"


class Network:
    """All network clients of a machine, in the order in which they were made.

    Attributes:
        hubs: the newest first.
        is_running: frames are delivered; otherwise they wait.
    """

    def __init__(self) -> None:
        self.clients: list[NetClient] = []
        self.hubs: list[Hub] = []
        self.is_running = False
        self._waiting: list[tuple[NetClient, bytes]] = []
        self._taken_macs: set[bytes] = set()

    @property
    def nics(self) -> list[Nic]:
        return [client for client in self.clients if isinstance(client, Nic)]

    @property
    def netdevs(self) -> list[NetClient]:
        """The back ends."""
        return [client for client in self.clients if not isinstance(client, Nic)]

    def find_netdev(self, name: str) -> NetClient | None:
        return next((client for client in self.netdevs if client.name == name), None)

    def add(self, client: NetClient) -> None:
        self.clients.append(client)

    # -- cards

    def add_nic(self, model: str, *, id: str, mac: bytes | None, peer: NetClient | None) -> Nic:
        """A card; without an id it is called by its model and a number.

        Args:
            mac: None for the next one that is free.
            peer: what it is plugged into, a single one; None for nothing.
        """
        alike = sum(client.model == model for client in self.clients)
        nic = Nic(self, id or f"{model}.{alike}", model, self._free_mac() if mac is None else mac)
        self._taken_macs.add(nic.mac)
        if peer is not None:
            nic.connect(peer)
        self.add(nic)
        return nic

    def reserve_mac(self) -> None:
        """Keep the next free address for a card that the board has no place for."""
        self._taken_macs.add(self._free_mac())

    def remove_nic(self, nic: Nic) -> None:
        self.clients.remove(nic)
        self._taken_macs.discard(nic.mac)
        if nic.peer is not None and not nic.peer_deleted:
            nic.peer.peer = None
        nic.peer = None

    def _free_mac(self) -> bytes:
        first = int.from_bytes(FIRST_MAC, "big")
        for number in range(MAC_COUNT):
            mac = (first - (first & 0xFF) + ((first + number) & 0xFF)).to_bytes(6, "big")
            if mac not in self._taken_macs:
                return mac
        return b"\xff" * 6

    # -- back ends

    def remove_netdev(self, client: NetClient) -> None:
        """Delete a back end with its filters; a card that is plugged into it keeps the stump."""
        self.clients.remove(client)
        for each in tuple(client.filters):
            each.remove()
        peer = client.peer
        if isinstance(peer, Nic):
            peer.peer_deleted = True
            peer.link_down = True
        elif peer is not None:
            peer.peer = None
        client.close()

    def set_link(self, name: str, up: bool) -> None:
        """Plug a client's cable in or out.

        Raises:
            QemuError: there is no such client.
        """
        client = next((client for client in self.clients if client.name == name), None)
        if client is None:
            raise DeviceNotFound(name)
        client.link_down = not up
        if isinstance(client.peer, Nic):
            client.peer.link_down = not up

    # -- frames

    def deliver(self, client: NetClient, frame: bytes) -> None:
        """Give a frame to a client; while the machine is stopped it waits."""
        if self.is_running:
            if not client.link_down:
                client.receive(frame)
        elif len(self._waiting) < QUEUE_LIMIT:
            self._waiting.append((client, frame))

    def set_running(self, is_running: bool) -> None:
        """Follow the machine, which starts or stops."""
        self.is_running = is_running
        waiting, self._waiting = self._waiting, [] if is_running else self._waiting
        for client, frame in waiting if is_running else ():
            if client in self.clients:
                self.deliver(client, frame)

    def close(self) -> None:
        for client in self.netdevs:
            client.close()

    # -- telling

    def describe(self) -> Iterator[str]:
        """The lines of ``info network``."""
        for hub in self.hubs:
            yield f"hub {hub.id}"
            for port in reversed(hub.ports):
                peer = "" if port.peer is None else f": {describe_client(port.peer)[0]}"
                more = () if port.peer is None else describe_client(port.peer)[1:]
                yield f" \\ {port.name}{peer}"
                yield from more
        for client in self.clients:
            if client.kind == "hubport" or (client.peer and client.peer.kind == "hubport"):
                continue
            if isinstance(client, Nic) or client.peer is None:
                yield from describe_client(client)
            if isinstance(client, Nic) and client.peer is not None:
                first, *more = describe_client(client.peer)
                yield f" \\ {first}"
                yield from more

    def warnings(self) -> Iterator[str]:
        """What is odd about the pairs, as QEMU says before the machine starts."""
        for hub in self.hubs:
            yield from hub.warnings()
        for client in self.clients:
            if client.peer is None:
                what = "nic" if isinstance(client, Nic) else "netdev"
                yield f"{what} {client.name} has no peer"


def describe_client(client: NetClient) -> Sequence[str]:
    """A client's line in ``info network``, and those of its filters."""
    lines = [f"{client.name}: index=0,type={client.kind},{client.info}"]
    if client.filters:
        lines.append("filters:")
        lines += [f"  - {each.id}: type={each.describe()}" for each in client.filters]
    return lines


def format_mac(mac: bytes) -> str:
    return mac.hex(":")


def parse_mac(text: str) -> bytes | None:
    """``52:54:00:12:34:56``, with dashes too; None for anything else."""
    digits = text[0:2] + text[3:5] + text[6:8] + text[9:11] + text[12:14] + text[15:17]
    marks = {text[at : at + 1] for at in (2, 5, 8, 11, 14)}
    if len(text) != 17 or len(marks) != 1 or not marks & {":", "-"}:
        return None
    try:
        return bytes.fromhex(digits) if " " not in digits else None
    except ValueError:
        return None
