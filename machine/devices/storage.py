"""Disk, CD and floppy drives of the board: how media get to a guest device, and its name.

The controllers' registers aren't simulated; what a device does for a drive is: it takes the
image's locks, says whether the medium can be taken out, and gives the drive its place in the
device tree.
"""

from __future__ import annotations

from functools import partial

from blockdev.backend import Backend
from blockdev.errors import QemuError
from machine.devices.bus import Bus
from machine.devices.qdev import DeviceModel
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine

# The state of a drive's tray, which the drive's own section will hold one day.
TRAY = VMStateDescription(name="tray", fields=(Bool("tray_open"), Bool("is_locked")))


class StorageModel(DeviceModel):
    """A device model that holds a medium.

    Args:
        name: of the model.
        bus: the kind of bus it is plugged into.
        removable: whether the medium can be taken out, and so may be missing or read-only.
        without_drive: what is said when no drive is named; "" when that is fine.
        child: the part of the device that the drive belongs to; "" for the device itself.
        takes_read_only: whether a read-only medium will do.
        properties: further properties that are accepted.
    """

    __slots__ = ("child", "removable", "takes_read_only", "without_drive")

    def __init__(
        self,
        name: str,
        bus: str,
        *,
        removable: bool = False,
        without_drive: str = "",
        child: str = "",
        takes_read_only: bool = True,
        properties: str = "",
    ) -> None:
        super().__init__(name, bus, f"drive {_DISK} {properties}", self.plug_in)
        self.removable = removable
        self.without_drive = without_drive
        self.child = child
        self.takes_read_only = takes_read_only

    def plug_in(self, machine: Machine, device: Device) -> None:
        """Attach the drive that the options name.

        Raises:
            QemuError: there is no such drive, or it can't be used; QEMU's words.
        """
        _take_unit(machine, device)
        path = device.path
        shown = f"{path}/{self.child}" if self.child else device.id or path
        backend = self._backend(machine, device.options.get("drive"))
        if backend is None:
            backend = Backend("", None)
        elif not self.removable:
            if backend.node is None:
                raise QemuError("Device needs media, but drive is empty")
            if backend.is_read_only and not self.takes_read_only:
                raise QemuError("Block node is read-only")
        has_tray = self.removable and self.bus != "floppy-bus"
        backend.attach(shown, removable=self.removable, has_tray=has_tray)
        if backend not in machine.drives.backends:
            machine.drives.backends.append(backend)
        device.undo.append(lambda: machine.drives.drop(backend))
        device.backend = backend

    def _backend(self, machine: Machine, name: str | None) -> Backend | None:
        if not name:
            if self.without_drive:
                raise QemuError(self.without_drive)
            return None
        return find_disk(machine, name, "virtio-blk-device" if self.child else self.name)


def _take_unit(machine: Machine, device: Device) -> None:
    """Give a disk its number on a bus that has room for all; an IDE bus gives its own."""
    bus = device.bus
    if bus is None:
        return
    name = "scsi-id" if bus.kind == "SCSI" else "unit"
    others = {each.shown.get(name) for each in machine.plugs.devices if each.bus is bus}
    if bus.kind == "floppy-bus":
        drives = [each for each in machine.drives.drives if each.interface == "floppy"]
        others |= {str(each.unit) for each in drives}
    if bus.kind in ("SCSI", "floppy-bus"):
        numbers = (str(number) for number in range(len(others) + 1))
        free_number = next(number for number in numbers if number not in others)
        device.shown[name] = device.options.get(name, free_number)


def find_disk(machine: Machine, name: str, owner: str) -> Backend:
    """The disk that a ``drive=`` names: a drive, or a node.

    Args:
        owner: the type of the device whose property it is.

    Raises:
        QemuError: there is none of this name, or the board has taken it.
    """
    backend = machine.drives.backend(name)
    if backend is None:
        node = machine.graph.find(name)
        if node is None:
            raise QemuError(f"Property '{owner}.drive' can't find value '{name}'")
        # A node given by name gets a backend without one of its own.
        backend = Backend("", node)
    elif backend.device is not None and machine.drives.is_placed(backend):
        raise QemuError(
            f"Drive '{name}' is already in use because it has been automatically connected to "
            "another device (did you need 'if=none' in the drive options?)"
        )
    return backend


def add_bus(
    machine: Machine,
    device: Device,
    kind: str,
    prefix: str,
    *,
    count: int = 1,
    max_units: int = 2,
) -> None:
    """Give a device buses of its own, for as long as it is there.

    Args:
        prefix: of their names where the device has none.
        max_units: drives on each, if they are IDE buses.
    """
    first = sum(bus.kind == kind for bus in machine.buses)
    for number in range(count):
        name = f"{device.id}.{number}" if device.id else f"{prefix}.{first + number}"
        bus = Bus(name, kind, device, max_units=max_units)
        machine.buses.append(bus)
        device.undo.append(partial(machine.buses.remove, bus))


def plug_inner_disk(machine: Machine, device: Device) -> None:
    """Attach a drive to the disk that a device has on its own bus.

    Raises:
        QemuError: there is no such drive, or it can't be used.
    """
    name = device.options.get("drive", "")
    if not name:
        raise QemuError("drive property not set")
    backend = find_disk(machine, name, device.model.name)
    if backend.node is None:
        raise QemuError("Device needs media, but drive is empty")
    is_removable = device.options.get("removable", "off") in ("on", "yes", "true", "y")
    bus = machine.buses[-1]
    shown = f"{device.path}/{bus.name}/legacy[0]"
    backend.attach(shown, removable=is_removable, has_tray=is_removable)
    if backend not in machine.drives.backends:
        machine.drives.backends.append(backend)
    device.undo.append(lambda: machine.drives.drop(backend))
    device.backend = backend


def _plug_controller(machine: Machine, device: Device) -> None:
    add_bus(machine, device, "SCSI", "scsi")


def plug_ahci(machine: Machine, device: Device) -> None:
    """A SATA controller brings six buses of a single drive each."""
    add_bus(machine, device, "IDE", "ide", count=6, max_units=1)


def plug_floppy_controller(machine: Machine, device: Device) -> None:
    add_bus(machine, device, "floppy-bus", "floppy-bus")


_DISK = "bootindex logical_block_size physical_block_size serial share-rw write-cache"
_CONTROLLER = "iothread num_queues max_sectors cmd_per_lun disable-legacy disable-modern"
MODELS: dict[str, DeviceModel] = {
    model.name: model
    for model in (
        StorageModel(
            "virtio-blk-pci",
            "PCI",
            without_drive="drive property not set",
            child="virtio-backend",
            properties="scsi num-queues iothread disable-legacy disable-modern",
        ),
        StorageModel(
            "ide-hd",
            "IDE",
            without_drive="No drive specified",
            takes_read_only=False,
            properties="unit model ver wwn",
        ),
        StorageModel("ide-cd", "IDE", removable=True, properties="unit model ver wwn"),
        StorageModel(
            "scsi-hd",
            "SCSI",
            without_drive="drive property not set",
            properties="scsi-id lun channel vendor product",
        ),
        StorageModel("scsi-cd", "SCSI", removable=True, properties="scsi-id lun channel"),
        StorageModel("floppy", "floppy-bus", removable=True, properties="unit drive-type"),
        *(
            DeviceModel(name, "PCI", _CONTROLLER, _plug_controller)
            for name in ("lsi53c895a", "lsi53c810", "virtio-scsi-pci")
        ),
        StorageModel(
            "virtio-blk-device",
            "virtio-bus",
            without_drive="drive property not set",
            properties="scsi num-queues iothread",
        ),
        DeviceModel("virtio-scsi-device", "virtio-bus", _CONTROLLER, _plug_controller),
        DeviceModel("ich9-ahci", "PCI", "", plug_ahci),
        DeviceModel(
            "isa-fdc", "ISA", "dma fallback fdtypeA fdtypeB iobase irq", plug_floppy_controller
        ),
    )
}
