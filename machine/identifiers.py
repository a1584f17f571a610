"""What the parts of a machine are called, so that a name can be chosen or completed.

None of these makes a room of the machine that isn't there yet.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


def option_ids(machine: Machine, group: str) -> list[str]:
    """The ids that options of a group have taken."""
    return netdev_ids(machine) if group == "netdev" else []


def device_ids(machine: Machine) -> list[str]:
    """The ids of the devices that were plugged in."""
    if not machine.has_plugs:
        return []
    return [device.id for device in machine.plugs.devices if device.id]


def object_ids(machine: Machine) -> list[str]:
    """The ids of the objects."""
    return [each.id for each in machine.objects] if machine.has_objects else []


def netdev_ids(machine: Machine) -> list[str]:
    """The ids of the network back ends."""
    return [each.name for each in machine.network.netdevs] if machine.has_network else []


def link_names(machine: Machine) -> list[str]:
    """What ``set_link`` takes: back ends and network devices."""
    return [each.name for each in machine.network.clients] if machine.has_network else []


def block_device_names(machine: Machine) -> list[str]:
    """The ids of all drives."""
    return [backend.name for backend in machine.drives.backends if backend.name]


def snapshot_names(machine: Machine) -> list[str]:
    """Ids and tags of the snapshots of all disks."""
    from machine.snapshot import disks

    snapshots = [s for disk in disks(machine) for s in disk.node.snapshots()]
    return [s.id for s in snapshots] + [s.name for s in snapshots]
