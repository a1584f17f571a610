"""The USB: ports, who is in which, and how fast.

Source: what QEMU 7.2 shows on `info usb`; Universal Serial Bus Specification 2.0, chapter 7.
"""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.devices.bus import Bus
    from machine.devices.qdev import Device
    from machine.machine import Machine

HUB = "usb-hub"
KIND = "usb-bus"
# In the order of their speed: Mb/s, as shown.
_SPEEDS = {"low": "1.5", "full": "12", "high": "480", "super": "5000"}
_OF_HUBS = ("low", "full")
_HUB_PORTS = "8"
_MOST_HUB_PORTS = 8
_DEEPEST = 5  # hubs one behind the other
# The controllers that boards have: how many ports, and of which speeds; slot and function.
_OF_BOARDS = {
    "pc": (2, _OF_HUBS, "0000:00:01.2"),
    "q35": (6, ("low", "full", "high"), "0000:00:1d.7"),
    "microvm": (8, tuple(_SPEEDS), ""),
}


class UsbPort:
    """A place for a device.

    Attributes:
        path: the numbers of the ports that lead to it, between dots.
        speeds: that it knows.
    """

    __slots__ = ("path", "speeds")

    def __init__(self, path: str, speeds: tuple[str, ...]) -> None:
        self.path = path
        self.speeds = speeds


class UsbPorts:
    """The ports of a bus.

    Args:
        number: of the bus.
        place: of its controller.

    Attributes:
        free: those that are free, the next first.
        used: the devices in the others, in the order in which they came.
    """

    __slots__ = ("free", "number", "place", "used")

    def __init__(self, number: int, place: str, count: int, speeds: tuple[str, ...]) -> None:
        self.number = number
        self.place = place
        self.free = [UsbPort(str(index + 1), speeds) for index in range(count)]
        self.used: list[UsbDevice] = []

    def take(self, name: str | None, bus: Bus) -> UsbPort:
        """A free port.

        Args:
            name: its path; None for the next.

        Raises:
            QemuError: there is none.
        """
        found = next((port for port in self.free if name in (None, port.path)), None)
        if found is None:
            raise QemuError(
                f"tried to attach usb device to a bus with no free ports ({bus.name})"
                if name is None
                else f"usb port {name} (bus {bus.name}) not found (in use?)"
            )
        self.free.remove(found)
        return found


class UsbDevice:
    """A device in its port.

    Attributes:
        product: as users see it.
        speed: Mb/s, as shown.
        is_attached: the guest may see it.
    """

    __slots__ = ("device", "is_attached", "port", "ports", "product", "speed")

    def __init__(self, device: Device, port: UsbPort, ports: UsbPorts, product: str) -> None:
        self.device = device
        self.port = port
        self.ports = ports
        self.product = product
        self.speed = ""
        self.is_attached = True

    @property
    def bus_path(self) -> str:
        """What tells it from its like in a stream."""
        return f"{self.ports.place}/{self.port.path}".lstrip("/")

    def describe(self) -> str:
        """Its line on `info qtree`."""
        return (
            f"addr {self.ports.number}.0, port {self.port.path}, speed {self.speed}, "
            f"name {self.product}{', attached' if self.is_attached else ''}"
        )

    def is_behind(self, hub: UsbDevice) -> bool:
        return self.ports is hub.ports and self.port.path.startswith(f"{hub.port.path}.")


def add_ports(machine: Machine, bus: Bus, count: int, speeds: tuple[str, ...]) -> None:
    """Give a new bus its ports."""
    plugs = machine.plugs
    plugs.usb_bus_count = max(plugs.usb_bus_count, _board_count(machine)) + 1
    place = bus.owner.bus_path if bus.owner is not None else ""
    bus.usb = UsbPorts(plugs.usb_bus_count - 1, place, count, speeds)


def _board_count(machine: Machine) -> int:
    return sum(bus.kind == KIND for bus in machine.buses if bus.owner is None)


def ports_of(machine: Machine, bus: Bus) -> UsbPorts:
    """The ports of a bus; those of the board's are made when they are first asked for."""
    if bus.usb is None:
        count, speeds, place = _OF_BOARDS[machine.board.blueprint]
        bus.usb = UsbPorts(0, place, count, speeds)
    return bus.usb


def claim(machine: Machine, device: Device, product: str) -> UsbDevice:
    """Find a port for a device; where a single one is left, QEMU puts a hub in between.

    Raises:
        QemuError: there is no such port.
    """
    bus = device.bus
    assert bus is not None, "a device of such a bus"
    ports = ports_of(machine, bus)
    name = device.options.get("port") or None
    if name is None and len(ports.free) == 1 and device.model.name != HUB:
        options = {"driver": HUB, "bus": bus.name}
        hub = machine.plugs.plug(options, is_hotplug=device.is_hotplugged, is_of_board=True)
        hub.path = ""  # one of those without a name
    port = ports.take(name, bus)
    usb = UsbDevice(device, port, ports, product)

    def give_back() -> None:
        ports.free.append(port)
        if usb in ports.used:
            ports.used.remove(usb)
        device.usb = None

    device.undo.insert(0, give_back)
    return usb


def attach(usb: UsbDevice, speeds: tuple[str, ...]) -> None:
    """Put a device into the port that it has claimed.

    Raises:
        QemuError: the port is too slow or too fast.
    """
    device, port, bus = usb.device, usb.port, usb.device.bus
    assert bus is not None, "a device of such a bus"
    common = [speed for speed in _SPEEDS if speed in speeds and speed in port.speeds]
    if not common:
        raise QemuError(
            f'Warning: speed mismatch trying to attach usb device "{usb.product}" '
            f'({"+".join(speeds)} speed) to bus "{bus.name}", port "{port.path}" '
            f"({'+'.join(port.speeds)} speed)"
        )
    usb.speed = _SPEEDS[common[-1]]
    device.usb = usb
    device.told_by_bus = usb.describe
    usb.ports.used.append(usb)
    if device.model.name == HUB:
        _add_hub_ports(device, usb)


def _add_hub_ports(device: Device, hub: UsbDevice) -> None:
    if hub.port.path.count(".") >= _DEEPEST - 1:
        raise QemuError("usb hub chain too deep")
    count = int(device.options.get("ports", _HUB_PORTS), 0)
    if not 1 <= count <= _MOST_HUB_PORTS:
        raise QemuError(f"num_ports ({count}) out of range (1..{_MOST_HUB_PORTS})")
    ports = hub.ports
    ports.free += [UsbPort(f"{hub.port.path}.{index + 1}", _OF_HUBS) for index in range(count)]

    def take_away() -> None:
        inner = f"{hub.port.path}."
        ports.free = [port for port in ports.free if not port.path.startswith(inner)]

    device.undo.insert(0, take_away)


def describe(machine: Machine) -> Iterator[str]:
    """The lines of ``info usb``."""
    for bus in machine.buses:
        if bus.kind == KIND and bus.usb is not None:
            for usb in bus.usb.used:
                id = f", ID: {usb.device.id}" if usb.device.id else ""
                yield (
                    f"  Device {bus.usb.number}.0, Port {usb.port.path}, Speed {usb.speed} Mb/s, "
                    f"Product {usb.product}{id}"
                )
