"""What options and commands plug in, as the tree of the machine takes it.

A plan is what QEMU's own code works out when it realizes a device: the bus, the place on it, and
the values of properties that nobody gave.
"""

from __future__ import annotations

from machine.devices.pci import MODELS, ROM_BAR
from machine.schema import read_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.backend import Backend
    from machine.devices.qdev import Device
    from machine.machine import Machine

_SECTOR = 512
_HEADS, _SECTORS = 16, 63
_MOST_CYLINDERS, _LEAST_CYLINDERS = 16383, 2
_MOST_UNTRANSLATED = 1024  # cylinders that the first firmwares could count to
_UNITS_OF_IDE = 2
# The property that says how many queues a disk has, and the interrupts that it has besides.
_QUEUES = {"virtio-blk-pci": ("num-queues", 1), "virtio-scsi-pci": ("num_queues", 3)}
_NO_ROM = str((1 << 32) - 1)
_INTERNAL = "/machine/unattached/"


class Plan:
    """A device to be.

    Attributes:
        type: its model.
        id: of the user; "" for none.
        path: where in the object tree; "" for the next place among those that have no name.
        bus: the name of the bus; "" for none.
        values: properties that differ from the model's own.
        pci_place: slot and function.
        device: what it is in the machine; None for a part of the board.
    """

    __slots__ = ("bus", "device", "id", "path", "pci_place", "type", "values")

    def __init__(
        self, type: str, bus: str, values: dict[str, str], device: Device | None = None
    ) -> None:
        self.type = type
        self.bus = bus
        self.values = values
        self.device = device
        self.id = device.id if device is not None else ""
        self.path = ""
        self.pci_place = device.pci_place if device is not None else None

    @property
    def is_hotplugged(self) -> bool:
        """Whether the board was complete before it came."""
        return self.device is not None and self.device.is_hotplugged


def plugged_devices(machine: Machine) -> list[Device]:
    """The user's devices; where the board takes one, that is said in its text."""
    devices = machine.plugs.devices if machine.has_plugs else []
    return [each for each in devices if not each.path.startswith(_INTERNAL)]


def plugged_device(machine: Machine, device: Device) -> Plan:
    """A device of the user."""
    plan = _plan(machine, device)
    plan.path = device.path
    plan.values = {**_queue_values(machine, device), **plan.values}
    return plan


def _queue_values(machine: Machine, device: Device) -> dict[str, str]:
    """How many queues and interrupts a virtio disk has by itself: a queue for each processor."""
    if device.model.name == "virtio-blk-device":
        return {"any_layout": "false"}  # QEMU's legacy transport takes it away from disks alone
    if device.model.name not in _QUEUES:
        return {}
    name, more = _QUEUES[device.model.name]
    number = device.options.get(name, str(machine.cpu_count))
    vectors = read_integer(number)
    return {name: number, "vectors": str((vectors or 0) + more)}


def plugged_on_board(machine: Machine, kind: str, bus: str = "") -> Iterator[Plan]:
    """What the options put on a board itself.

    Args:
        kind: ``serial``, ``parallel``, ``floppy``, ``ide``, ``vga`` or ``nic``.
        bus: which, where there are several.
    """
    if kind == "serial":
        from machine.devices.isa import room_for_ports
        from machine.devices.serial import port_values

        for index, chardev in enumerate(machine.serials[: room_for_ports(machine.board)]):
            if chardev is not None:
                yield Plan("isa-serial", "isa.0", port_values(index))
    elif kind == "parallel":
        for index in range(machine.parallel_count):
            values = {"index": str(index), "iobase": str(_PARALLEL_PORTS[index])}
            yield Plan("isa-parallel", "isa.0", {**values, "chardev": f"parallel{index}"})
    elif kind in ("floppy", "ide"):
        yield from _drives(machine, kind, int(bus or "0"))
    else:
        from machine.devices import nic, vga_models

        models = nic.MODELS if kind == "nic" else vga_models.MODELS
        for device in machine.plugs.devices if machine.has_plugs else ():
            if device.path.startswith(_INTERNAL) and device.model.name in models:
                yield _plan(machine, device)


def _drives(machine: Machine, interface: str, bus: int) -> Iterator[Plan]:
    """The drives on a bus of the board, which it has devices for."""
    drives = [
        each
        for each in machine.drives.drives
        if (each.interface, each.bus) == (interface, bus) and each.backend.device is not None
    ]
    for drive in sorted(drives, key=lambda each: each.unit):
        model = "floppy" if interface == "floppy" else _IDE_MODELS[drive.media == "cdrom"]
        name = "floppy-bus.0" if interface == "floppy" else f"ide.{bus}"
        values = {"unit": str(drive.unit), **disk_values(drive.backend)}
        if interface == "ide":
            values["serial"] = _ide_serial(machine, name, drive.unit)
        yield Plan(model, name, values)


_PARALLEL_PORTS = (0x378, 0x278, 0x3BC)
_IDE_MODELS = {False: "ide-hd", True: "ide-cd"}


def _ide_serial(machine: Machine, bus_name: str, unit: int) -> str:
    """A disk's serial number: QEMU counts two places on each bus, in the order of their making."""
    buses = [bus for bus in machine.buses if bus.kind == "IDE"]
    order = [*reversed([bus for bus in buses if bus.owner is None])]
    order += [bus for bus in buses if bus.owner is not None]
    number = [bus.name for bus in order].index(bus_name)
    return f"QM{_UNITS_OF_IDE * number + unit + 1:05}"


def _plan(machine: Machine, device: Device) -> Plan:
    options = {
        name: value
        for name, value in device.options.items()
        if name not in ("driver", "id", "bus", "addr")
    }
    values = dict(device.shown)
    if device.backend is not None:
        values.update(disk_values(device.backend))
        options.pop("drive", None)
    if device.model.bus == "PCI":
        bars = MODELS[device.model.name].bars_of(device.options)
        if ROM_BAR not in (bar[0] for bar in bars):
            values["romsize"] = _NO_ROM
    bus = device.bus.name if device.bus is not None else ""
    if device.model.bus == "IDE":
        values["serial"] = _ide_serial(machine, bus, int(device.shown["unit"]))
    return Plan(device.model.name, bus, {**values, **options}, device)


def disk_values(backend: Backend) -> dict[str, str]:
    """What a disk's device takes from the disk: its name, and cylinders as firmwares count."""
    node = backend.node
    name = backend.name
    values = {"drive": name or (node.node_name if node is not None else ""), "device_id": name}
    if node is not None:
        cylinders = node.size // _SECTOR // (_HEADS * _SECTORS)
        cylinders = min(max(cylinders, _LEAST_CYLINDERS), _MOST_CYLINDERS)
        translation = "lba" if cylinders > _MOST_UNTRANSLATED else "none"
        values |= {"cyls": str(cylinders), "bios-chs-trans": translation}
    return values
