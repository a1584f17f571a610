"""Plugging devices in and out: ``-device``, `device_add` and `device_del`."""

from __future__ import annotations

import time

from blockdev.errors import DeviceNotFound, QemuError
from machine.devices.bus import fill, find_bus, takes_without_bus
from machine.devices.pci import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from blockdev.backend import Backend
    from machine.devices.bus import Bus
    from machine.devices.usb import UsbDevice
    from machine.machine import Machine
    from machine.vmstate.description import VMStateDescription
    from machine.vmstate.registry import Registry

    Realize = Callable[[Machine, "Device"], object]

# What QEMU needs until a device that was unplugged at once is gone.
_UNPLUG_NS = 10_000_000
_LEFT_AT_ONCE = frozenset(("usb-bus", "virtio-serial-bus"))


class DeviceModel:
    """A model of devices.

    Args:
        name: of the model.
        bus: the kind of bus it is plugged into; "" for none.
        properties: what it takes besides those of its bus.
        realize: makes a device of it work; raises QemuError when it can't.

    Attributes:
        is_bridge: it brings a PCI bus, and stays if the machine began with it.
    """

    is_bridge = False
    __slots__ = ("bus", "name", "properties", "realize")

    def __init__(self, name: str, bus: str, properties: str, realize: Realize) -> None:
        self.name = name
        self.bus = bus
        self.properties = frozenset(properties.split()) | _COMMON | _OF_BUS.get(bus, frozenset())
        self.realize = realize

    def check(self, options: Mapping[str, str]) -> None:
        """See whether devices have these options.

        Raises:
            QemuError: there is no such property, or it can't have this value.
        """
        for name in options:
            if name not in self.properties:
                raise QemuError(f"Property '{self.name}.{name}' not found")


_COMMON = frozenset("driver id bus".split())
_OF_BUS = {
    "PCI": frozenset(
        "addr acpi-index failover_pair_id multifunction rombar romfile romsize".split()
    )
}


class Device:
    """A device that is plugged in.

    Attributes:
        id: what the user calls it; "" for nothing.
        path: its place in the object tree.
        options: as the user gave them.
        bus: where it is plugged in; None where the board takes it.
        pci_place: slot and function, on a PCI bus.
        told_by_bus: what its bus says of it on `info qtree`; None for nothing.
        undo: what takes it away again, in the order in which it was put there.
        states: what is saved of it: the description, and who has the attributes.
        is_hotplugged: the machine was there before it.
        is_going: the guest was asked to let it go.
        is_of_board: it is none of the user's devices.
        shown: properties whose values it chose itself.
        backend: the disk that it has; None for none.
        usb: its port, on a USB; None on another bus.
    """

    __slots__ = (
        "backend",
        "bus",
        "id",
        "is_going",
        "is_hotplugged",
        "is_of_board",
        "model",
        "options",
        "path",
        "pci_place",
        "shown",
        "states",
        "told_by_bus",
        "undo",
        "usb",
    )

    def __init__(
        self, model: DeviceModel, options: Mapping[str, str], path: str, bus: Bus | None
    ) -> None:
        self.model = model
        self.options = options
        self.id = options.get("id", "")
        self.path = path
        self.bus = bus
        self.pci_place: tuple[int, int] | None = None
        self.undo: list[Callable[[], object]] = []
        self.states: list[tuple[VMStateDescription, Any]] = []
        self.is_hotplugged = False
        self.is_going = False
        self.is_of_board = False
        self.shown: dict[str, str] = {}
        self.backend: Backend | None = None
        self.usb: UsbDevice | None = None
        self.told_by_bus: Callable[[], str] | None = None

    @property
    def bus_path(self) -> str:
        """What tells it from its like in a stream; "" for nothing."""
        if self.usb is not None:
            return self.usb.bus_path
        if self.pci_place is None:
            return ""
        slot, function = self.pci_place
        above = self.bus.owner.bus_path if self.bus is not None and self.bus.owner else "0000:00"
        return f"{above}:{slot:02x}.{function}"

    def register(self, registry: Registry) -> None:
        """Let its state be saved."""
        for description, state in self.states:
            registry.register(description, state, path=self.bus_path)


class Plugs:
    """The devices of a machine, those of the user; what the board has by itself is its own.

    Attributes:
        devices: in the order in which they were plugged in.
        usb_bus_count: how many USBs there were, where devices brought any.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.devices: list[Device] = []
        self._boot_indexes: dict[str, Device] = {}
        self._anonymous = 0
        self.usb_bus_count = 0

    def find(self, id_or_path: str) -> Device | None:
        """The device of an id, or of a path that begins with a slash."""
        for device in self.devices:
            if id_or_path and id_or_path in (device.id, device.path):
                return device
        return None

    def plug(
        self, options: Mapping[str, str], *, is_hotplug: bool = False, is_of_board: bool = False
    ) -> Device:
        """Plug a device in.

        Args:
            options: as in ``-device``.
            is_hotplug: the machine is there already.
            is_of_board: it is none of the user's devices.

        Raises:
            QemuError: in QEMU's words, in the order in which it looks at the options.
        """
        model, bus = self._place(options, is_hotplug=is_hotplug)
        id = options.get("id", "")
        if id and self.find(id) is not None:
            raise QemuError(f"Duplicate device ID '{id}'")
        path = f"/machine/unattached/{model.name}" if is_of_board else self._next_path(id)
        model.check(options)
        device = Device(model, options, path, bus)
        device.is_of_board = is_of_board
        device.is_hotplugged = is_hotplug
        place = len(self.devices)  # what it plugs in itself comes after it
        try:
            self._take_places(device, is_hotplug=is_hotplug)
            model.realize(self._machine, device)
        except QemuError:
            _undo(device)
            raise
        self.devices.insert(place, device)
        if self._machine.has_saved_state:
            device.register(self._machine.saved_state.registry)
        return device

    def unplug(self, id_or_path: str) -> None:
        """Ask for a device to be taken out.

        A SCSI disk goes at once, more or less; a PCI card when the guest lets it go, which none
        of ours does, or at the next reset.

        Raises:
            QemuError: there is no such device, or it stays.
        """
        device = self.find(id_or_path)
        if device is None:
            if id_or_path in ("", "/", "/machine") or self._is_part_of_board(id_or_path):
                raise QemuError(f"{id_or_path} is not a hotpluggable device")
            if id_or_path.startswith("/"):
                from machine.qom.removal import check_removal

                check_removal(self._machine, id_or_path)
            raise DeviceNotFound(id_or_path)
        if device.bus is None and device.model.name.endswith("-cpu"):
            raise QemuError(
                f"acpi: device unplug request for not supported device type: {device.model.name}"
            )
        from machine.devices.models import NO_HOTPLUG

        if device.bus is not None and not device.bus.is_hotpluggable:
            raise QemuError(f"Bus '{device.bus.name}' does not support hotplugging")
        if device.model.name in NO_HOTPLUG:
            raise QemuError(f"Device '{device.model.name}' does not support hotplugging")
        if device.bus is None:
            raise QemuError(f"Device '{device.model.name}' can not be hotplugged on this machine")
        if device.is_going:
            raise QemuError(f"Device {id_or_path} is already in the process of unplug")
        device.is_going = True
        if device.bus.slots is not None:
            return
        if device.bus.kind in _LEFT_AT_ONCE:
            self._remove(device)
            return
        self.devices.remove(device)
        loop = self._machine.loop
        loop.call_at(time.monotonic_ns() + _UNPLUG_NS, lambda: self._finish(device))

    def reset(self) -> None:
        """The machine's reset lets those go that were asked to."""
        for device in tuple(self.devices):
            if device.is_going and not (device.model.is_bridge and not device.is_hotplugged):
                self._remove(device)

    def _remove(self, device: Device) -> None:
        """Take a device away, with all that is plugged into it."""
        if device not in self.devices:
            return  # it went with what it was plugged into
        for other in tuple(self.devices):
            is_behind = other.usb is not None and device.usb and other.usb.is_behind(device.usb)
            if is_behind or (other.bus is not None and other.bus.owner is device):
                self._remove(other)
        self.devices.remove(device)
        self._finish(device)

    def _finish(self, device: Device) -> None:
        _undo(device)
        if self._machine.has_saved_state:
            for _, state in device.states:
                self._machine.saved_state.registry.unregister(state)
        self._machine.events.emit("DEVICE_DELETED", device=device.id, path=device.path)

    def _is_part_of_board(self, path: str) -> bool:
        return path in ("/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon")

    def _place(
        self, options: Mapping[str, str], *, is_hotplug: bool
    ) -> tuple[DeviceModel, Bus | None]:
        """The model, and the bus that a device of it goes to."""
        from machine.devices.models import find_model, full_name, kind_of_bus

        if "driver" not in options:
            raise QemuError("Parameter 'driver' is missing")
        name = full_name(options["driver"])
        kind = kind_of_bus(name, given=options["driver"], is_hotplug=is_hotplug)
        buses = self._machine.buses
        bus = None
        if "bus" in options:
            bus = find_bus(buses, name=options["bus"])
            if bus is None:
                raise QemuError(f"Bus '{options['bus']}' not found")
            if not bus.takes(kind):
                raise QemuError(f"Device '{name}' can't go on {bus.kind} bus")
        elif kind:
            bus = find_bus(buses, kind=kind)
            if bus is None:
                raise QemuError(f"No '{kind}' bus found for device '{name}'")
        if bus is not None and bus.is_full:
            raise QemuError(f"Bus '{bus.name}' is full")
        if is_hotplug and bus is not None and not bus.is_hotpluggable:
            raise QemuError(f"Bus '{bus.name}' does not support hotplugging")
        has_no_place = bus is None and not takes_without_bus(self._machine.board, name)
        if is_hotplug and has_no_place:
            raise QemuError(f"Device '{name}' can not be hotplugged on this machine")
        model = find_model(name)
        if model is None:
            raise QemuError(f"device model '{name}' is not simulated yet")
        return model, bus

    def _next_path(self, id: str) -> str:
        if id:
            return f"/machine/peripheral/{id}"
        self._anonymous += 1
        return f"/machine/peripheral-anon/device[{self._anonymous - 1}]"

    def _take_places(self, device: Device, *, is_hotplug: bool) -> None:
        """Its slot on the bus, and its turn when the machine boots."""
        options, model = device.options, device.model.name
        index = options.get("bootindex")
        if index is not None:
            if index in self._boot_indexes:
                raise QemuError(f"The bootindex {index} has already been used")
            self._boot_indexes[index] = device
            device.undo.append(lambda: self._boot_indexes.pop(index))
        bus = device.bus
        if bus is None:
            return
        fill(bus)
        if bus.kind == "IDE":
            unit = bus.take_unit(options.get("unit"))
            device.shown["unit"] = str(unit)
            device.undo.append(lambda: bus.units.discard(unit))
        slots = bus.slots
        if slots is not None:
            wanted = None
            if "addr" in options:
                wanted = parse_address(options["addr"])
                if wanted is None:
                    text = f"Property '{model}.addr' doesn't take value '{options['addr']}'"
                    raise QemuError(text)
            place = slots.take(model, options, wanted, is_hotplug=is_hotplug)
            owner = bus.owner
            if not place[0] and owner is not None and owner.is_hotplugged and bus.kind == "PCI":
                slots.give_back(place)
                raise QemuError(
                    "Unsupported PCI slot 0 for standard hotplug controller. "
                    "Valid slots are between 1 and 31."
                )
            device.pci_place = place
            device.undo.append(lambda: slots.give_back(place))


def _undo(device: Device) -> None:
    while device.undo:
        device.undo.pop()()
