"""The devices as ``info qtree`` shows them: buses, and what is plugged into each."""

from __future__ import annotations

from machine.devices.pci import MODELS, UNMAPPED, bar_end
from machine.qom.composition import SYSTEM_BUS, compose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine
    from machine.qom.part import BusPart, DevicePart

_STEP = "  "
_NOWHERE = (1 << 64) - 1


def describe(machine: Machine) -> Iterator[str]:
    """The lines."""
    yield from _bus(compose(machine).buses[SYSTEM_BUS], SYSTEM_BUS, "")


def _bus(bus: BusPart, name: str, indent: str) -> Iterator[str]:
    """A bus, the device that came last first."""
    yield f"{indent}bus: {name}"
    indent += _STEP
    yield f"{indent}type {bus.type}"
    for device in reversed(bus.devices):
        yield f'{indent}dev: {device.type}, id "{device.id}"'
        yield from _device(device, indent + _STEP)


def _device(device: DevicePart, indent: str) -> Iterator[str]:
    for name, lines in reversed(device.gpios.items()):
        for kind in ("in", "out"):
            if kind in lines:
                yield f'{indent}gpio-{kind} "{name}" {lines[kind]}'
    for name, value in device.properties.items():
        yield f"{indent}{name} = {shown_value(value)}"
    for region in device.mapped:
        address = region.address if region.container is not None else _NOWHERE
        yield f"{indent}mmio {address:016x}/{min(region.size, _NOWHERE):016x}"
    if device.pci_place is not None:
        for line in _pci(device):
            yield indent + line
    if device.plugged is not None and device.plugged.told_by_bus is not None:
        yield indent + device.plugged.told_by_bus()
    for bus in reversed(device.buses):
        yield from _bus(bus, bus.name, indent)


def _pci(device: DevicePart) -> Iterator[str]:
    """What the PCI bus says of a device on it."""
    assert device.pci_place is not None, "it is on such a bus"
    model = MODELS[device.type]
    slot, function = device.pci_place
    place = f"00:{slot:02x}.{function}"
    ids = f"pci id {model.ids} (sub {model.subsystem})"
    yield f"class {model.class_text}, addr {place}, {ids}"
    options = device.plugged.options if device.plugged is not None else {}
    for number, space, size in model.bars_of(options):
        kind = "i/o" if space == "io" else "mem"
        yield f"bar {number}: {kind} at {UNMAPPED} [{bar_end(size):#x}]"


def shown_value(value: str) -> str:
    """A property's value: a number also in hexadecimal, a size also in larger units."""
    if value.endswith("B") and value[:-1].isdecimal():
        return f"{value[:-1]} ({_size_text(int(value[:-1]))})"
    if value.removeprefix("-").isdecimal():
        return f"{value} ({int(value) % (1 << 64):#x})"
    return value


def _size_text(size: int) -> str:
    units = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
    step = min(max((size - 1).bit_length(), 1) // 10, len(units) - 1)
    return f"{size / (1 << (10 * step)):.3g} {units[step]}B"
