"""The values of properties of what the machine is made of."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.known_types import known_types
from machine.qom.part import BusPart, DevicePart, RegionPart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.machine import Machine
    from machine.qom.part import Part

_NO_VALUE = {"bool": False, "str": "", "string": ""}
_LEGACY = "legacy-"


def value_of(machine: Machine, part: Part, name: str) -> Any:
    """The value of a property that there is, as JSON has it.

    Raises:
        QemuError: it isn't simulated.
    """
    if isinstance(part, RegionPart):
        return _of_region(part, name)
    if isinstance(part, BusPart):
        return _of_bus(part, name)
    if isinstance(part, DevicePart):
        return _of_device(part, name)
    if part.name == "machine" and name in _OF_MACHINE:
        return _OF_MACHINE[name](machine)
    raise QemuError(f"{part.type}.{name}: not simulated yet")


def _of_region(region: RegionPart, name: str) -> Any:
    container = region.container
    values = {
        "addr": region.address,
        "container": "" if container is None else container.path,
        "priority": region.priority % (1 << 32),
        "size": min(region.size, (1 << 64) - 1),
    }
    return values[name]


def _of_bus(bus: BusPart, name: str) -> Any:
    if name.startswith("child["):
        return bus.numbered[name].path
    if name == "realized":
        return True
    raise QemuError(f"{bus.type}.{name}: not simulated yet")


def _of_device(device: DevicePart, name: str) -> Any:
    if name == "parent_bus":
        return "" if device.bus is None else device.bus.path
    if name == "realized":
        return True
    if name == "hotplugged":
        return device.plugged is not None and device.plugged.is_hotplugged
    if name == "hotpluggable":
        types = known_types()
        known = types.find(device.type)
        return known is not None and types.is_a(known, "pci-device")
    if name.startswith(_LEGACY):
        return device.properties[name.removeprefix(_LEGACY)]
    if name == "addr" and device.pci_place is not None:
        slot, function = device.pci_place
        return slot << 3 | function
    for part in (device, *device.parts.values()):
        if isinstance(part, DevicePart) and name in part.properties:
            return _json(part.properties[name])
    types = known_types()
    known = types.find(device.type)
    for each in types.properties(known) if known is not None else ():
        if each.name == name and (each.has_default or each.kind in _NO_VALUE):
            return each.default if each.has_default else _NO_VALUE[each.kind]
    raise QemuError(f"{device.type}.{name}: not simulated yet")


def _json(value: str) -> Any:
    """A value that `info qtree` shows in its own way."""
    if value in ("true", "false"):
        return value == "true"
    if value.startswith('"'):
        return value.strip('"')
    number = value.removesuffix("B")
    return int(number) if number.removeprefix("-").isdecimal() else value


def _memory(machine: Machine) -> dict[str, int]:
    return {"size": machine.ram_size}


def _processors(machine: Machine) -> dict[str, int]:
    count = max(machine.cpu_count, 1)
    numbers = {"cpus": count, "sockets": count, "maxcpus": count}
    return numbers | dict.fromkeys(("dies", "clusters", "cores", "threads"), 1)


_OF_MACHINE = {"memory": _memory, "smp": _processors}
