"""Disk, CD and floppy drives of the board: how media get to a guest device, and its name.

The controllers' registers aren't simulated; what a device does for a drive is: it takes the
image's locks, says whether the medium can be taken out, and gives the drive its place in the
device tree.
"""

from __future__ import annotations

from blockdev.backend import Backend
from blockdev.errors import QemuError
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.machine import Machine

# The state of a drive's tray, which the drive's own section will hold one day.
TRAY = VMStateDescription(name="tray", fields=(Bool("tray_open"), Bool("is_locked")))

_COMMON = frozenset("driver id bus drive".split())


class StorageModel:
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

    __slots__ = (
        "bus",
        "child",
        "name",
        "properties",
        "removable",
        "takes_read_only",
        "without_drive",
    )

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
        self.name = name
        self.bus = bus
        self.removable = removable
        self.without_drive = without_drive
        self.child = child
        self.takes_read_only = takes_read_only
        self.properties = _COMMON | frozenset(properties.split())


_DISK = "logical_block_size physical_block_size serial bootindex share-rw write-cache"
MODELS = {
    model.name: model
    for model in (
        StorageModel(
            "virtio-blk-pci",
            "PCI",
            without_drive="drive property not set",
            child="virtio-backend",
            properties=_DISK + " addr scsi num-queues iothread disable-legacy disable-modern",
        ),
        StorageModel(
            "ide-hd",
            "IDE",
            without_drive="No drive specified",
            takes_read_only=False,
            properties=_DISK + " unit model ver wwn",
        ),
        StorageModel("ide-cd", "IDE", removable=True, properties=_DISK + " unit model ver wwn"),
        StorageModel(
            "scsi-hd",
            "SCSI",
            without_drive="drive property not set",
            properties=_DISK + " scsi-id lun channel vendor product",
        ),
        StorageModel("scsi-cd", "SCSI", removable=True, properties=_DISK + " scsi-id lun channel"),
        StorageModel("floppy", "floppy-bus", removable=True, properties=_DISK + " unit drive-type"),
    )
}

# Other names of models.
ALIASES = {
    "lsi": "lsi53c895a",
    "virtio-blk": "virtio-blk-pci",
    "virtio-scsi": "virtio-scsi-pci",
}

# Controllers that bring a bus of their own.
CONTROLLERS = {"lsi53c895a": "SCSI", "lsi53c810": "SCSI", "virtio-scsi-pci": "SCSI"}

_UNITS_ON_IDE_BUSES = 4


def realize(machine: Machine, options: Mapping[str, str], path: str) -> None:
    """Plug a storage device in.

    Args:
        options: as in ``-device``; "driver" is one of `MODELS` or `CONTROLLERS`.
        path: the device's place in the object tree.

    Raises:
        QemuError: no such bus, drive or property, or the drive can't be used; QEMU's words.
    """
    driver = options["driver"]
    if driver in CONTROLLERS:
        _check_bus(machine, "PCI", driver)
        machine.buses.add(CONTROLLERS[driver])
        return
    model = MODELS[driver]
    _check_bus(machine, model.bus, driver)
    for name in options:
        if name not in model.properties:
            raise QemuError(f"Property '{driver}.{name}' not found")
    if model.bus == "IDE":
        if machine.ide_units_used >= _UNITS_ON_IDE_BUSES:
            raise QemuError("IDE unit 1 is in use")
        machine.ide_units_used += 1
    shown = f"{path}/{model.child}" if model.child else options.get("id", path)
    backend = _drive(machine, model, options)
    if backend is None:
        backend = Backend("", None)
        machine.drives.backends.append(backend)
    elif not model.removable:
        if backend.node is None:
            raise QemuError("Device needs media, but drive is empty")
        if backend.is_read_only and not model.takes_read_only:
            raise QemuError("Block node is read-only")
    has_tray = model.removable and model.bus != "floppy-bus"
    backend.attach(shown, removable=model.removable, has_tray=has_tray)


def _check_bus(machine: Machine, bus: str, driver: str) -> None:
    if bus not in machine.buses:
        raise QemuError(f"No '{bus}' bus found for device '{driver}'")


def _drive(machine: Machine, model: StorageModel, options: Mapping[str, str]) -> Backend | None:
    name = options.get("drive")
    if not name:
        if model.without_drive:
            raise QemuError(model.without_drive)
        return None
    backend = machine.drives.backend(name)
    if backend is None:
        node = machine.graph.find(name)
        if node is None:
            owner = "virtio-blk-device" if model.child else model.name
            raise QemuError(f"Property '{owner}.drive' can't find value '{name}'")
        # A node given by name gets a backend without one of its own.
        backend = Backend("", node)
        machine.drives.backends.append(backend)
    return backend
