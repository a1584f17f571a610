"""The ``hmp-guest`` device, which QEMU hasn't got: gives the machine a guest that does things."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from machine.cpu.scripted import BLOCK_SIZE, ScriptedCpu
from machine.cpu.slices import GuestSlices
from machine.devices.qdev import DeviceModel
from machine.memory import PAGE_SIZE, RamBlock
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockdev.backend import Backend
    from machine.devices.qdev import Device
    from machine.machine import Machine
    from machine.memory import Region

DRIVER = "hmp-guest"
_NUMBERS = frozenset("base size pages-rate disk-rate disk-size".split())
_ADDRESS_BITS = 64


def realize(machine: Machine, device: Device) -> None:
    """Plug it in; it begins when the machine runs.

    Its properties `base` and `size` name a part of RAM, all of it if missing; `pages-rate` is in
    pages a second and `disk-rate` in bytes, 0 for as fast as it can; without `pages-rate` no
    pages are written, and without `disk-rate` no blocks of `disk`, a drive's id.  On a board with
    a PC's devices it uses them too, and then its count goes to the disk's first block.

    Raises:
        QemuError: there is one already, or it can't have what it is to write to.
    """
    options = device.options
    numbers = {name: _number(name, options[name]) for name in _NUMBERS if name in options}
    if machine.guest is not None:
        raise QemuError(f"at most one {DRIVER} device is permitted")
    base, size = _part_of_ram(machine, numbers)
    disk = _disk(machine, options["disk"]) if "disk" in options else None
    if disk is not None and disk.device is None:
        disk.attach(device.path, removable=False)

    def disk_failed(error: QemuError) -> bool:
        # QEMU's ``werror=enospc``: the user can make room; the guest hears of all the rest.
        if error.errno_value == errno.ENOSPC:
            machine.stop(RunState.IO_ERROR)
            return False
        machine.complain(f"{machine.program}: {DRIVER}: {error}")
        return True

    def slice_failed() -> None:
        machine.log_exception()
        machine.complain(f"{machine.program}: {DRIVER}: internal error")
        machine.stop(RunState.INTERNAL_ERROR)

    program = None
    if machine.isa is not None:
        from machine.cpu.program import Program

        program = Program(
            machine.memory, machine.isa, lambda: machine.network.nics if machine.has_network else ()
        )
    cpu = ScriptedCpu(
        machine.memory,
        base=base,
        size=size,
        pages_rate=numbers.get("pages-rate"),
        disk=disk,
        disk_rate=numbers.get("disk-rate"),
        disk_size=numbers.get("disk-size"),
        disk_failed=disk_failed,
        program=program,
    )
    machine.guest = GuestSlices(machine.loop, machine.clock, cpu, failed=slice_failed)
    for each in machine.cpus[:1]:
        each.follow = machine.guest.registers
    machine.guest.set_running(machine.is_running)


def _number(name: str, text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << _ADDRESS_BITS:
        raise QemuError(f"Parameter '{name}' expects integer")
    return value


def _part_of_ram(machine: Machine, numbers: Mapping[str, int]) -> tuple[int, int]:
    """Where the guest's part of RAM begins, and its bytes."""
    regions = [
        region
        for region in machine.memory.regions
        if isinstance(region.block, RamBlock) and not region.readonly
    ]
    base = numbers.get("base")
    if base is None:
        region = max(regions, key=_size, default=None)
    else:
        region = next((each for each in regions if each.base <= base < each.end), None)
    if region is None:
        raise QemuError(f"{DRIVER} needs RAM")
    base = region.base if base is None else base
    size = numbers.get("size", region.end - base)
    if size > region.end - base or size < 2 * PAGE_SIZE or (base | size) % PAGE_SIZE:
        raise QemuError("base and size must be two pages or more of the machine's RAM")
    return base, size


def _size(region: Region) -> int:
    return region.size


def _disk(machine: Machine, name: str) -> Backend:
    backend = machine.drives.backend(name)
    if backend is None:
        raise QemuError(f"Property '{DRIVER}.disk' can't find value '{name}'")
    if backend.node is None:
        raise QemuError("Device needs media, but drive is empty")
    if backend.is_read_only:
        raise QemuError("Block node is read-only")
    if backend.node.size < BLOCK_SIZE:
        raise QemuError(f"the disk has less than {BLOCK_SIZE} bytes")
    return backend


MODELS = {DRIVER: DeviceModel(DRIVER, "", "disk " + " ".join(_NUMBERS), realize)}
