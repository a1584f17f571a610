"""A machine is put together: memory, processors, the board's devices, and the drives' places."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.boards import REPLACED_DRIVES, firmware_image
from machine.memory import RamBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.drives import Drive
    from machine.machine import Machine

_GIB = 1 << 30
_RAM_LIMIT = 0xE0000000  # so much of a PC's RAM doesn't fit below the devices' addresses
_BIOS_IN_LOW_MEMORY = 128 << 10


def build(machine: Machine) -> None:
    """Make memory, processors and the board's own devices.

    Raises:
        QemuError: the host can't give so much memory.
    """
    board = machine.board
    if machine.ram_size:
        _map_ram(machine)
    if board.firmware:
        bios = RamBlock("pc.bios", board.firmware)
        bios.write(0, firmware_image(board.firmware))
        machine.memory.map((4 * _GIB) - board.firmware, bios, readonly=True)
        low = min(board.firmware, _BIOS_IN_LOW_MEMORY)
        machine.memory.map((1 << 20) - low, bios, board.firmware - low, low, readonly=True)
    if machine.cpu_count:
        from machine.cpu.x86 import X86Cpu

        machine.cpus = [
            X86Cpu(index, machine.memory, board.cpu_signature) for index in range(machine.cpu_count)
        ]
    if "ISA" in board.buses:
        _build_isa(machine)


def _build_isa(machine: Machine) -> None:
    """What every PC has, with the serial ports that the user asked for."""
    from machine.devices.isa import IsaDevices

    machine.isa = IsaDevices(machine)
    machine.board_states += machine.isa.states
    machine.serial_count += len(machine.isa.serials)


def _map_ram(machine: Machine) -> None:
    board = machine.board
    try:
        ram = RamBlock(board.ram_name, machine.ram_size)
    except (OSError, OverflowError) as error:
        text = os.strerror(errno.ENOMEM)
        raise QemuError(f"cannot set up guest memory '{board.ram_name}': {text}") from error
    below, above = split_ram(machine)
    machine.memory.map(0, ram, 0, below)
    if above:
        machine.memory.map(4 * _GIB, ram, below)


def split_ram(machine: Machine) -> tuple[int, int]:
    """How many bytes of RAM lie below the devices' addresses, and how many above 4 GiB."""
    board, size = machine.board, machine.ram_size
    if not board.has_cpu or size < _RAM_LIMIT:
        return size, 0
    low = board.low_ram
    return low, size - low


def add_default_drives(machine: Machine, models: Iterable[str] = ()) -> None:
    """Add the empty drives that the board has where the user put none.

    Args:
        models: of the devices that the user plugs in; some stand for a default drive.
    """
    replaced = {REPLACED_DRIVES.get(model) for model in models}
    for interface, index, media in machine.board.default_drives:
        if interface in replaced:
            continue
        per_bus = 2 if interface == "ide" else 0
        bus, unit = divmod(index, per_bus) if per_bus else (0, index)
        if machine.drives.place(interface, bus, unit) is None:
            options = {"if": interface, "index": str(index), "media": media}
            machine.drives.add(options)


def plug_board_drives(machine: Machine) -> None:
    """Give each drive with an interface to a device of the board.

    Raises:
        QemuError: of the first drive whose place the board doesn't have; its option's
            text stands before QEMU's words.
    """
    kinds = machine.board.buses
    for drive in sorted(machine.drives.drives, key=_board_order):
        place = (drive.interface, drive.bus, drive.unit)
        path = _unattached_path(machine, drive)
        if drive.interface == "ide" and "IDE" in kinds and drive.bus < 2:
            machine.ide_units.add((f"ide.{drive.bus}", drive.unit))
            is_cd = drive.media == "cdrom"
            drive.backend.attach(path, removable=is_cd, has_tray=is_cd)
        elif drive.interface == "floppy" and "floppy-bus" in kinds and drive.unit < 2:
            drive.backend.attach(path, removable=True)
        elif drive.interface not in ("none", "sd", "virtio") or (
            drive.interface == "sd" and drive.text
        ):
            where = "if={},bus={},unit={}".format(*place)
            raise QemuError(f"{drive.text}: machine type does not support {where}")


def plug_virtio_drives(machine: Machine) -> None:
    """Plug in a disk for each drive of that interface, which a ``-device`` stands for.

    Raises:
        QemuError: one doesn't fit; its option's text stands before QEMU's words.
    """
    for drive in machine.drives.drives:
        if drive.interface == "virtio":
            try:
                machine.plugs.plug({"driver": "virtio-blk-pci", "drive": drive.backend.name})
            except QemuError as error:
                raise QemuError(f"{drive.text}: {error}") from error


def _unattached_path(machine: Machine, drive: Drive) -> str:
    first = machine.board.first_paths[drive.interface != "ide"]
    return f"/machine/unattached/device[{first + 2 * drive.bus + drive.unit}]"


def _board_order(drive: Drive) -> int:
    # PCI devices are made before the interfaces' leftovers are looked at.
    return 0 if drive.interface in ("ide", "floppy") else 1
