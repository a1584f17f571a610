"""Processors that are plugged in beside those that a machine starts with."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.cpu.x86 import X86Cpu
from machine.devices.qdev import DeviceModel
from machine.schema import read_integer
from machine.topology import Topology

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.devices.qdev import Device
    from machine.machine import Machine


def realize(machine: Machine, device: Device) -> None:
    """Give the machine another processor, at the place that the options say.

    Raises:
        QemuError: there is no such place, or it is taken.
    """
    board = machine.board
    if not board.has_cpu:
        raise QemuError("apic-id property was not initialized properly")
    own = f"{board.cpu_model}-x86_64-cpu"
    if device.model.name != own:
        raise QemuError(f"Invalid CPU type, expected cpu type: '{own}'")
    topology = machine.topology or Topology(board, {"cpus": str(machine.cpu_count)})
    place = _place(topology, device.options)
    index, apic = topology.find(place)
    if any(cpu.index == index for cpu in machine.cpus):
        raise QemuError(f"CPU[{index}] with APIC ID {apic} exists")
    if not board.has_cpu_slots:
        name = device.model.name
        raise QemuError(f"virt: device plug request for unsupported device type: {name}")
    cpu = X86Cpu(index, machine.memory, board.cpu_signature)
    device.shown["cpu"] = str(index)
    machine.cpus.append(cpu)
    device.undo.append(lambda: machine.cpus.remove(cpu))


def _place(topology: Topology, options: Mapping[str, str]) -> dict[str, int]:
    """The ids that the options give, checked in QEMU's order."""
    counts = {
        "socket-id": topology.sockets,
        "die-id": topology.dies,
        "core-id": topology.cores,
        "thread-id": topology.threads,
    }
    numbers = {}
    for name in counts:
        number = read_integer(options.get(name, "0" if name == "die-id" else "-1"))
        if number is None:
            raise QemuError(f"Parameter '{name}' expects integer")
        numbers[name] = number
    for name, count in counts.items():
        if numbers[name] < 0:
            raise QemuError(f"CPU {name} is not set")
        if numbers[name] >= count:
            last = count - 1
            raise QemuError(f"Invalid CPU {name}: {numbers[name]} must be in range 0:{last}")
    return numbers


def _model(name: str) -> DeviceModel:
    return DeviceModel(name, "", "socket-id die-id core-id thread-id apic-id", realize)


def find_processor(name: str) -> DeviceModel | None:
    """The model of a processor, of whatever make; None for another name."""
    return _model(name) if name.endswith(_PROCESSOR) else None


_PROCESSOR = "-x86_64-cpu"
MODELS = {name: _model(name) for name in (f"qemu64{_PROCESSOR}", f"486{_PROCESSOR}")}
