"""Buses whose places have numbers: ports of virtio's serial device, codecs of Intel's HDA."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.schema import read_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine

CONSOLE = "virtconsole"
_MOST_PORTS = "31"
_MOST_CODECS = 15
_WHERE = "virtio-serial-bus:"


def _others(machine: Machine, device: Device) -> list[Device]:
    """Those on the same bus, in the order in which they came."""
    return [each for each in machine.plugs.devices if each.bus is device.bus]


def take_port(machine: Machine, device: Device) -> None:
    """Number a serial port: the first is for a console.

    Raises:
        QemuError: its number or name is another's, or there is no such number.
    """
    options, bus = device.options, device.bus
    others = _others(machine, device)
    taken = {int(each.shown["nr"]) for each in others}
    name = options.get("name", "")
    if name and any(each.options.get("name") == name for each in others):
        raise QemuError(f"{_WHERE} A port already exists by name {name}")
    owner = bus.owner if bus is not None else None
    most = read_integer(owner.options.get("max_ports", _MOST_PORTS) if owner else _MOST_PORTS) or 0
    number = read_integer(options["nr"]) if "nr" in options else None
    is_console = device.model.name == CONSOLE
    if number in taken:
        raise QemuError(f"{_WHERE} A port already exists at id {number}")
    if number == 0 and not is_console:
        raise QemuError(
            "Port number 0 on virtio-serial devices reserved for virtconsole devices for "
            "backward compatibility."
        )
    if number is None:
        first = 0 if is_console else 1
        number = next((each for each in range(first, most) if each not in taken), None)
        if number is None:
            raise QemuError(f"{_WHERE} Maximum port limit for this device reached")
    if number >= most:
        raise QemuError(f"{_WHERE} Out-of-range port id specified, max. allowed: {most - 1}")
    device.shown["nr"] = str(number)
    chardev = machine.find_chardev(options.get("chardev", ""))

    def describe() -> str:
        host = "on" if chardev is not None and chardev.is_open else "off"
        return f"port {number}, guest off, host {host}, throttle off"

    device.told_by_bus = describe


def take_codec(machine: Machine, device: Device) -> None:
    """Number a codec.

    Raises:
        QemuError: there are too many.
    """
    others = _others(machine, device)
    following = int(others[-1].shown["cad"]) + 1 if others else 0
    number = read_integer(device.options["cad"]) if "cad" in device.options else following
    if number is None or number >= _MOST_CODECS:
        raise QemuError("HDA audio codec address is full")
    device.shown["cad"] = str(number)


NUMBERINGS = {"virtio-serial-bus": take_port, "HDA": take_codec}
