"""Devices that stand in the way of a migration, as far as that goes: nothing else is simulated.

An NVMe controller can't be saved at all; shared memory can't be of a machine that is only one of
those that share it.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.qdev import DeviceModel
from machine.devices.storage import find_disk
from machine.vmstate.description import VMStateDescription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine
    from machine.qom.object_type import QomObject

NVME = VMStateDescription(name="nvme", unmigratable=True)
PEER_MODE = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"


def realize_nvme(machine: Machine, device: Device) -> None:
    """Raises: QemuError: a property can't be, or the machine must stay migratable."""
    name = device.options.get("drive", "")
    backend = find_disk(machine, name, "nvme") if name else None
    machine.blockers.check_device("nvme")
    if "serial" not in device.options:
        raise QemuError("serial property not set")
    if backend is not None:
        if backend.node is None:
            raise QemuError("Device needs media, but drive is empty")
        backend.attach(device.id or device.path, removable=False)
        if backend not in machine.drives.backends:
            machine.drives.backends.append(backend)
        device.undo.append(lambda: machine.drives.drop(backend))
        device.backend = backend
    device.states.append((NVME, device))


def realize_ivshmem(machine: Machine, device: Device) -> None:
    """Raises: QemuError: a property can't be, or the machine must stay migratable."""
    options = device.options
    master = options.get("master", "off")
    if master not in ("on", "off", "auto"):
        raise QemuError(f"Parameter 'master' does not accept value '{master}'")
    memory = _memory(machine, options.get("memdev", ""))
    if memory.users:
        raise QemuError(f"can't use already busy memdev: {memory.id}")
    if master != "on":
        blocker = machine.blockers.add(PEER_MODE, device)
        device.undo.append(lambda: machine.blockers.remove(blocker))
    memory.users += 1

    def give_back() -> None:
        memory.users -= 1

    device.undo.append(give_back)


def _memory(machine: Machine, id: str) -> QomObject:
    if not id:
        raise QemuError("You must specify a 'memdev'")
    found = machine.objects.find(id)
    if found is None:
        raise QemuError(f"Device '{id}' not found")
    if not found.type.name.startswith("memory-backend-"):
        raise QemuError("Invalid parameter type for 'memdev', expected: memory-backend")
    return found


def realize_pvpanic(machine: Machine, device: Device) -> None:
    """A device without any state.  Raises: QemuError: a property can't be."""
    ports = device.options
    try:
        int(ports.get("ioport", "0x505"), 0)
    except ValueError:
        raise QemuError("Parameter 'ioport' expects integer") from None
    if any(other.model.name == "pvpanic" for other in machine.plugs.devices):
        raise QemuError("duplicate fw_cfg file name: etc/pvpanic-port")


MODELS = {
    model.name: model
    for model in (
        DeviceModel(
            "nvme",
            "PCI",
            "drive serial bootindex logical_block_size physical_block_size share-rw write-cache "
            "cmb_size_mb num_queues max_ioqpairs msix_qsize mdts use-intel-id",
            realize_nvme,
        ),
        DeviceModel("ivshmem-plain", "PCI", "memdev master", realize_ivshmem),
        DeviceModel("pvpanic", "ISA", "ioport events", realize_pvpanic),
    )
}
