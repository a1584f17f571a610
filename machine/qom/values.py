"""The values of properties of what the machine is made of."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.known_types import known_types
from machine.qom.part import BusPart, DevicePart, RegionPart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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
    if part.name == "machine" and _kind(part, name).startswith(("string", "link<")):
        return ""
    if part.type == "memory-backend-ram":  # the board's RAM; others have their own values
        return {**_OF_RAM, "size": machine.ram_size}[name]
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
        return bus.type != "System"
    if name == "hotplug-handler" and bus.type != "PCI":
        return ""
    raise QemuError(f"{bus.type}.{name}: not simulated yet")


def _of_device(device: DevicePart, name: str) -> Any:
    if name == "parent_bus":
        return "" if device.bus is None else device.bus.path
    if name == "realized":
        return True
    if name == "hotplugged":
        return device.plugged is not None and device.plugged.is_hotplugged
    if name == "hotpluggable":
        is_fixed = device.plugged is None or device.type in _FIXED
        return not is_fixed or device.type in _HOTPLUGGABLE
    if name.startswith(_LEGACY):
        shown = device.properties.get(name.removeprefix(_LEGACY))
        if shown is None:
            raise QemuError(f"Property '{device.type}.{name}' is not readable")
        return shown
    if name.startswith("bootindex"):
        given = device.plugged.options.get(name) if device.plugged is not None else None
        return -1 if given is None else int(given)
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
    inner = dict.fromkeys(("dies", "clusters", "cores", "threads"), 1)
    return {"cpus": count, "sockets": count, **inner, "maxcpus": count}


def _kind(part: Part, name: str) -> str:
    """The type of a property of a class; "" where it has none of this name."""
    types = known_types()
    known = types.find(part.type)
    kinds = (each.kind for each in types.properties(known) if each.name == name) if known else ()
    return next(iter(kinds), "")


_HOTPLUGGABLE = frozenset(("apic", "serial"))
_FIXED = frozenset(("VGA",))
_OF_RAM = {
    "dump": True,
    "host-nodes": [],
    "merge": True,
    "policy": "default",
    "prealloc": False,
    "prealloc-context": "",
    "prealloc-threads": 1,
    "reserve": True,
    "share": False,
    "x-use-canonical-path-for-ramblock-id": False,
}


def _firmware(machine: Machine) -> str:
    return "bios-256k.bin" if machine.board.has_apic else ""


def _ram_path(machine: Machine) -> str:
    return f"/objects/{machine.board.ram_name}" if machine.ram_size else ""


def _flash_disk(machine: Machine, place: int) -> str:
    chips = machine.flash.chips if machine.has_flash else []
    return chips[place].disk_name if place < len(chips) else ""


_OF_MACHINE: dict[str, Callable[[Machine], Any]] = {
    "firmware": _firmware,
    "graphics": lambda _machine: True,
    "memory": _memory,
    "memory-backend": _ram_path,
    "pflash0": lambda machine: _flash_disk(machine, 0),
    "pflash1": lambda machine: _flash_disk(machine, 1),
    "smp": _processors,
}
