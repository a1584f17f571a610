"""I/O ports: what a processor, or the monitor in its stead, reads from them and writes to them.

A port belongs to the region that the address space of the ports has there; the region's name says
by what rule it is answered. Devices that are simulated answer themselves. The rest have what a
reset leaves in their registers; of some that can be written, what was written last.
"""

from __future__ import annotations

import os

from machine.devices.i8257 import DmaController
from machine.devices.pckbd import DATA, STATUS_OR_COMMAND
from machine.flatview import flatten
from machine.qom.composition import compose
from machine.qom.part import DevicePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.devices.i8259 import I8259
    from machine.devices.isa import IsaDevices
    from machine.devices.qdev import Device
    from machine.devices.serial import Serial16550
    from machine.flatview import FlatRange
    from machine.machine import Machine
    from machine.qom.part import RegionPart

    Bytes = Callable[[RegionPart, int], int]

PORT_COUNT = 0x10000
_LARGEST_ACCESS = 4
_NO_ANSWER = 0xFF
_ROOT = "io"
# Those that QEMU makes of single ports: they know no wide accesses.
_OF_SINGLE_PORTS = frozenset(("dma-page", "fdc", "ide", "vbe", "vga"))
# What registers have that nothing here changes; by what their region is called, and where in it.
_FIXED: dict[str, dict[int, int]] = {
    "acpi-cpu-hotplug": {0: 0x01},
    "fdc": {0: 0xC0, 1: 0x0C, 3: 0x80},
    "ne2000": {7: 0x80, 10: 0x50, 11: 0x43, 16: 0x52, **dict.fromkeys(range(17, 31), 0xFF)},
    "pm-smbus": {13: 0x02},
}
_SILENT = frozenset(("ioport80", "ioportF0", "kvmvapic", "vbe"))
_LATCHES = frozenset(("apm-io", "dma-page", "piix3-reset-control", "port92"))
_CONFIG_TABLE = "pci_config.txt"
_CONFIG_ENABLE = 1 << 31
_WRITABLE_CONFIG = frozenset((0x04, 0x05, 0x0C, 0x3C))  # command, cache line, interrupt line
_IDE_AFTER_RESET = {
    "disk": bytes((0, 0, 1, 1, 0, 0, 0xA0, 0x50)),
    "cdrom": bytes((0, 0, 1, 1, 0x14, 0xEB, 0xA0, 0x50)),
}
_IDE_STATUS = 7
_VGA_STATUS, _VGA_RETRACE = 0x3BA, 0x09  # while the card is in its monochrome mode, as at first
_PANIC_EVENTS = 0x03
_VBE_VERSION = 0xB0C5
_NE2000_DATA = 16


class Ports:
    """The ports of a machine.

    Args:
        machine: whose.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._latches: dict[tuple[str, int], int] = {}
        self._dma = DmaController(0), DmaController(1)
        self._config_address = 0
        self._config: dict[tuple[int, int], bytearray] = {}
        self._firmware_data = iter(self._firmware_item(0))
        self._refresh = 0
        self._speaker = 0
        self._retrace = 0
        self._devices: list[Device] = []
        self._parts: list[DevicePart] = []
        self._ranges: list[FlatRange] = []
        self._readers: dict[str, Bytes] = {
            "acpi-cpu-hotplug": self._read_present_cpus,
            "dma-chan": lambda region, at: self._dma_of(region).read_channel(at),
            "dma-cont": lambda region, at: self._dma_of(region).read_control(at),
            "elcr": lambda region, at: self._chip(region).elcr,
            "fwcfg": lambda region, at: next(self._firmware_data, 0),
            "fwcfg.dma": lambda region, at: b"QEMU CFG"[at],
            "i8042-cmd": lambda region, at: self._isa.controller.read(STATUS_OR_COMMAND),
            "i8042-data": lambda region, at: self._isa.controller.read(DATA),
            "ide": self._read_ide,
            "pci-conf-data": lambda region, at: self._config_byte(at),
            "pcspk": lambda region, at: self._read_speaker(),
            "pic": lambda region, at: self._chip(region).read(at & 1),
            "pit": lambda region, at: self._isa.timer.read(at),
            "pvpanic": lambda region, at: _PANIC_EVENTS,
            "rtc": lambda region, at: self._isa.rtc.read(at & 1),
            "rtc-index": lambda region, at: self._isa.rtc.read(at & 1),
            "serial": self._read_serial,
        }

    @property
    def _isa(self) -> IsaDevices:
        assert self._machine.isa is not None, "a board with such ports has these devices"
        return self._machine.isa

    def _find(self, port: int) -> FlatRange:
        return next(each for each in self._ranges if each.first <= port < each.end)

    def _look(self) -> None:
        """See what is where, if devices have come or gone since the last time."""
        machine = self._machine
        devices = list(machine.plugs.devices) if machine.has_plugs else []
        if not self._ranges or devices != self._devices:
            whole = compose(machine)
            root = next(region for name, region in whole.spaces if name == "I/O")
            self._ranges = flatten(root).ranges
            self._parts = whole.in_order
            self._devices = devices

    def _pieces(self, port: int, size: int) -> list[tuple[FlatRange, int, int, int]]:
        """An access in the pieces that regions take.

        Returns:
            Of each the range, where in its region, how many bytes, and how many came before.
        """
        self._look()
        pieces = []
        done = 0
        while done < size and port + done < PORT_COUNT:
            found = self._find(port + done)
            at = found.offset + port + done - found.first
            count = size - done
            if found.region.label not in _OF_SINGLE_PORTS:  # others take aligned accesses only
                count = 1 << (min(count, at & -at or count).bit_length() - 1)
            pieces.append((found, at, count, done))
            done += count
        return pieces

    def read(self, port: int, size: int) -> int:
        """The value of 1, 2 or 4 bytes at a port; beyond the last port there are zeros."""
        value = 0
        for found, at, count, done in self._pieces(port, size):
            value |= self._read_piece(found.region, at, count) << 8 * done
        return value

    def _read_piece(self, region: RegionPart, at: int, count: int) -> int:
        nothing = (1 << 8 * count) - 1
        label = region.label
        if label == "pci-conf-idx":
            return self._config_address & nothing
        if label == "fwcfg" and count > 1:
            return 0
        if label == "ide" and at == 0 and region.size > 1 and count > 1:
            return 0  # the data, of which no drive has any to give
        if label == "vbe" and count == 2:
            return (0, _VBE_VERSION, _VBE_VERSION, nothing)[at]
        if label == "ne2000" and count > 1 and at != _NE2000_DATA:
            return nothing
        is_single = label in _OF_SINGLE_PORTS
        if label == _ROOT or (is_single and count == _LARGEST_ACCESS):
            return nothing
        data = bytes(
            self._read_byte(region, at + index)
            if at + index < region.size or not is_single
            else _NO_ANSWER
            for index in range(count)
        )
        return int.from_bytes(data, "little")

    def _read_byte(self, region: RegionPart, at: int) -> int:
        label = region.label
        if label in self._readers:
            return self._readers[label](region, at)
        if label in _SILENT or (label == "vga" and region.container and region.address >= 0x3D0):
            return _NO_ANSWER
        if label in _LATCHES:
            return self._latches.get(_latch(region, at), 0)
        if label == "vga" and region.address == _VGA_STATUS:
            self._retrace ^= _VGA_RETRACE
            return self._retrace
        if label == "fdc" and region.address == 0x3F7:
            return 0x80
        return _FIXED.get(label, {}).get(at, 0)

    def write(self, port: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes to a port."""
        for found, at, count, done in self._pieces(port, size):
            part = value >> 8 * done & (1 << 8 * count) - 1
            label = found.region.label
            if label == "pci-conf-idx":
                if count == _LARGEST_ACCESS:
                    self._config_address = part
            elif label == "fwcfg":
                if count == 2:
                    self._firmware_data = iter(self._firmware_item(part))
            else:
                for index in range(count):
                    self._write_byte(found.region, at + index, part >> 8 * index & 0xFF)

    def _write_byte(self, region: RegionPart, at: int, value: int) -> None:
        label = region.label
        if label == "pic":
            self._isa.interrupts.write(self._chip(region), at & 1, value)
        elif label == "elcr":
            owner = region.owner
            mask = int(owner.properties["elcr_mask"]) if isinstance(owner, DevicePart) else 0
            self._chip(region).elcr = value & mask
        elif label == "pit":
            self._isa.timer.write(at, value)
        elif label in ("rtc", "rtc-index"):
            self._isa.rtc.write(at & 1, value)
        elif label in ("i8042-data", "i8042-cmd"):
            self._isa.controller.write(DATA if label == "i8042-data" else STATUS_OR_COMMAND, value)
        elif label == "serial":
            serial = self._serial(region)
            if serial is not None:
                serial.write(at & 7, value)
        elif label == "pcspk":
            self._speaker = value & 3
            self._isa.timer.channels[2].gate = value & 1
        elif label == "dma-chan":
            self._dma_of(region).write_channel(at, value)
        elif label == "dma-cont":
            self._dma_of(region).write_control(at, value)
        elif label == "pci-conf-data":
            self._write_config(at, value)
        elif label in _LATCHES:
            self._latches[_latch(region, at)] = value

    # --- devices that answer themselves

    def _chip(self, region: RegionPart) -> I8259:
        owner = region.owner
        is_first = isinstance(owner, DevicePart) and owner.properties["master"] == "true"
        return self._isa.interrupts.first if is_first else self._isa.interrupts.second

    def _serial(self, region: RegionPart) -> Serial16550 | None:
        owner = region.owner
        assert isinstance(owner, DevicePart), "a port is a device's"
        if owner.plugged is not None:
            serial: Serial16550 = owner.plugged.states[0][1]
            return serial
        wanted = int(owner.properties["index"])
        made = [index for index, each in enumerate(self._machine.serials) if each is not None]
        return self._isa.serials[made.index(wanted)] if wanted in made else None

    def _read_serial(self, region: RegionPart, at: int) -> int:
        serial = self._serial(region)
        return _NO_ANSWER if serial is None else serial.read(at & 7)

    def _dma_of(self, region: RegionPart) -> DmaController:
        owner = region.owner
        assert isinstance(owner, DevicePart), "a controller is a device"
        return self._dma[int(owner.properties["dshift"])]

    def _read_speaker(self) -> int:
        """Bit 4 changes at each look, as memory's refresh would make it."""
        self._refresh ^= 0x10
        channel = self._isa.timer.channels[2]
        out = 0x20 if channel.output(self._isa.timer.now_ns()) else 0
        return self._speaker | self._refresh | out

    def _read_present_cpus(self, region: RegionPart, at: int) -> int:
        return ((1 << self._machine.cpu_count) - 1) >> 8 * at & 0xFF

    def _read_ide(self, region: RegionPart, at: int) -> int:
        """The first drive's registers, where a bus has one; the status alone by the other port."""
        bus = 0 if region.address in (0x1F0, 0x3F6) else 1
        part = next((each for each in self._parts if _is_first_disk(each, bus)), None)
        if part is None:
            return 0
        registers = _IDE_AFTER_RESET["cdrom" if part.type == "ide-cd" else "disk"]
        return registers[_IDE_STATUS if region.size == 1 else at & 7]

    # --- the configuration of PCI devices

    def _device_config(self) -> bytearray | None:
        """The space of the device that the address names; None for none."""
        place = self._config_address >> 11 & 0x1F, self._config_address >> 8 & 7
        if not self._config_address & _CONFIG_ENABLE or self._config_address >> 16 & 0xFF:
            return None
        devices = (each for each in self._parts if each.pci_place == place)
        device = next(devices, None)
        if device is None:
            return None
        if place not in self._config:
            self._config[place] = _config_of(device.type)
        return self._config[place]

    def _config_byte(self, at: int) -> int:
        config = self._device_config()
        return _NO_ANSWER if config is None else config[self._config_address & 0xFC | at & 3]

    def _write_config(self, at: int, value: int) -> None:
        config = self._device_config()
        place = self._config_address & 0xFC | at & 3
        if config is not None and place in _WRITABLE_CONFIG:
            masks = {0x04: 0x47, 0x05: 0x05}
            config[place] = value & masks.get(place, 0xFF)

    # --- what the firmware is told

    def _firmware_item(self, key: int) -> bytes:
        machine = self._machine
        items = {
            0x00: b"QEMU",
            0x01: bytes((3, 0, 0, 0)),
            0x02: bytes.fromhex(machine.uuid.replace("-", "")),
            0x03: machine.ram_size.to_bytes(8, "little"),
            0x05: machine.cpu_count.to_bytes(2, "little"),
        }
        return items.get(key, b"")


def _latch(region: RegionPart, at: int) -> tuple[str, int]:
    """Which latch a byte is: a region of one port has one, however wide the access."""
    return region.path, at if region.size > 1 else 0


def _is_first_disk(device: DevicePart, bus: int) -> bool:
    return (
        device.bus is not None
        and device.bus.type == "IDE"
        and device.bus.name == f"ide.{bus}"
        and device.properties["unit"] == "0"
    )


def _config_of(model: str) -> bytearray:
    """A model's configuration space as a reset leaves it."""
    config = bytearray(256)
    path = os.path.join(os.path.dirname(__file__), _CONFIG_TABLE)
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            name, _, entries = line.partition(" ")
            if name == model:
                for entry in entries.split():
                    offset, _, value = entry.partition(":")
                    start = int(offset, 16)
                    config[start : start + 4] = int(value, 16).to_bytes(4, "little")
    return config
