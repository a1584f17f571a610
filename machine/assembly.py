"""A machine is put together: memory, processors, the board's devices, and the drives' places."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from machine.boards import REPLACED_DRIVES, VGA_CARDS, firmware_image
from machine.devices.bus import Bus
from machine.memory import RamBlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from machine.drives import Drive
    from machine.machine import Machine

_GIB = 1 << 30
_FLOPPIES = 2  # on a controller
_BIOS_IN_LOW_MEMORY = 128 << 10


def build(machine: Machine) -> None:
    """Make memory, processors and the board's own devices.

    Raises:
        QemuError: the host can't give so much memory.
    """
    board = machine.board
    if machine.ram_size:
        _map_ram(machine)
    if board.firmware and not _build_flash(machine):
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


def _build_flash(machine: Machine) -> bool:
    """Flash chips in the firmware's place, if the user asked for any; whether there are some."""
    is_wanted = machine.has_flash or machine.drives.has_interface("pflash")
    if not machine.board.has_flash or not is_wanted or not machine.flash.build():
        return False
    machine.board_states += machine.flash.states
    return True


def _build_isa(machine: Machine) -> None:
    """What every PC has, with the serial ports that the user asked for."""
    from machine.devices.isa import IsaDevices

    if machine.board.properties == "microvm":
        from machine.devices.microvm import MicrovmDevices

        machine.microvm = MicrovmDevices(machine)
        machine.board_states += machine.microvm.states
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
    if not board.has_cpu or size < board.ram_limit:
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
        bus, unit = machine.drives.index_place(interface, index)
        if machine.drives.place(interface, bus, unit) is None:
            options = {"if": interface, "index": str(index), "media": media}
            machine.drives.add(options)


def plug_board_drives(machine: Machine) -> None:
    """Give each drive with an interface to a device of the board.

    Raises:
        QemuError: of the first drive whose place the board doesn't have; its option's
            text stands before QEMU's words.
    """
    floppies = [each for each in machine.drives.drives if each.interface == "floppy"]
    if machine.board.properties == "pc" and any(each.unit < _FLOPPIES for each in floppies):
        _add_floppy_controller(machine)
    paths = _Paths(machine)
    buses = {bus.name: bus for bus in machine.buses}
    for drive in sorted(machine.drives.drives, key=_board_order):
        backend, unit = drive.backend, drive.unit
        if drive.interface == "ide" and f"ide.{drive.bus}" in buses:
            buses[f"ide.{drive.bus}"].units.add(unit)
            is_cd = drive.media == "cdrom"
            if backend.node is None and not is_cd:
                raise QemuError("Device needs media, but drive is empty")
            if backend.is_read_only and not is_cd:
                raise QemuError("Block node is read-only")
            backend.attach(paths.next_disk(drive.bus), removable=is_cd, has_tray=is_cd)
        elif drive.interface == "floppy" and "floppy-bus.0" in buses and unit < _FLOPPIES:
            backend.attach(paths.next_floppy(), removable=True)
        elif drive.text and not drive.is_claimed and drive.interface not in ("none", "virtio"):
            place = f"if={drive.interface},bus={drive.bus},unit={unit}"
            raise QemuError(f"{drive.text}: machine type does not support {place}")


def _add_floppy_controller(machine: Machine) -> None:
    """A board without one gets one where the user has drives for it."""
    if not any(bus.kind == "floppy-bus" for bus in machine.buses):
        machine.buses.append(Bus("floppy-bus.0", "floppy-bus"))


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


class _Paths:
    """Places in the object tree for the board's drives, numbered as they are made."""

    def __init__(self, machine: Machine) -> None:
        ports = machine.parallel_count + (len(machine.isa.serials) if machine.isa else 0)
        before = ports + len(machine.cpus) - 1
        cards: list[bool] = []  # whether each is a display
        if "PCIE" not in machine.board.buses and machine.has_plugs:
            cards = [
                device.model.name in VGA_CARDS
                for device in machine.plugs.devices
                if device.is_of_board
            ]
        first_disk, first_floppy = machine.board.first_paths
        if "floppy-bus" not in machine.board.buses:
            first_disk += any(bus.kind == "floppy-bus" for bus in machine.buses)
        self._is_isa = not {"PCI", "PCIE"} & set(machine.board.buses)
        self._floppies = first_floppy + before + sum(cards)
        self._disks = first_disk + before + len(cards)

    def next_floppy(self) -> str:
        self._floppies += 1
        self._disks += 1
        return f"/machine/unattached/device[{self._floppies - 1}]"

    def next_disk(self, bus: int) -> str:
        self._disks += 1
        # On ISA each bus is a device of its own, which is made just before its disks.
        before = bus if self._is_isa else 0
        return f"/machine/unattached/device[{self._disks + before - 1}]"


def _board_order(drive: Drive) -> tuple[int, int, int]:
    """Floppy drives are made first, then disks, each by its place; the others follow as given."""
    order = ("floppy", "ide").index(drive.interface) if drive.interface in ("ide", "floppy") else 2
    return (order, drive.bus, drive.unit) if order < 2 else (order, 0, 0)
