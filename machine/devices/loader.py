"""The ``loader`` device: puts bytes into memory, or starts a processor, again at every reset."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.devices.qdev import DeviceModel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.cpu.x86 import X86Cpu
    from machine.devices.qdev import Device
    from machine.machine import Machine
    from machine.memory import Memory

_WIDEST = 8  # bytes of a number
_PROPERTIES = "file addr force-raw data data-len data-be cpu-num"


class Rom:
    """Bytes that a reset puts back into memory.

    Attributes:
        name: of the file they came from, without its folder.
        address: physical, bytes.
    """

    __slots__ = ("address", "data", "name")

    def __init__(self, name: str, address: int, data: bytes) -> None:
        self.name = name
        self.address = address
        self.data = data

    def load_into(self, memory: Memory) -> None:
        """Write the bytes where there is RAM for them; the others are lost."""
        for region in memory.regions:
            start = max(region.base, self.address)
            end = min(region.end, self.address + len(self.data))
            if start < end and not region.readonly:
                data = self.data[start - self.address : end - self.address]
                region.block.write(region.offset + start - region.base, data)


class StartAddress:
    """Where a processor begins after a reset."""

    __slots__ = ("_address", "_cpu")

    def __init__(self, cpu: X86Cpu, address: int) -> None:
        self._cpu = cpu
        self._address = address

    def load_into(self, _: Memory) -> None:
        """It is no part of memory, but it comes with what is."""
        self._cpu.write_register("eip", self._address)


def realize(machine: Machine, device: Device) -> None:
    """Read the file and keep its bytes for the resets to come, the first of which is near.

    Raises:
        QemuError: in QEMU's words, as its device looks at its properties.
    """
    options = device.options
    is_raw = options.get("force-raw", "off")
    if is_raw not in ("on", "off"):
        raise QemuError("Parameter 'force-raw' expects 'on' or 'off'")
    is_big_endian = options.get("data-be", "off")
    if is_big_endian not in ("on", "off"):
        raise QemuError("Parameter 'data-be' expects 'on' or 'off'")
    address = _number(options, "addr")
    data, size = _number(options, "data"), _number(options, "data-len")
    _number(options, "cpu-num")
    if data or size or is_big_endian == "on":
        if "file" in options:
            raise QemuError("Specifying a file is not supported when loading memory values")
        if is_raw == "on":
            raise QemuError("Specifying force-raw is not supported when loading memory values")
        if not size:
            raise QemuError("Both data and data-len must be specified")
        if size > _WIDEST:
            raise QemuError("data-len cannot be greater then 8 bytes")
        content = (data % (1 << 8 * _WIDEST)).to_bytes(_WIDEST, "little")
        if is_big_endian == "on":
            content = content[::-1]
        _boot_cpu(machine, options)
        machine.loads.append(Rom("", address, content[:size]))
        return
    if "file" not in options:
        if not address:
            raise QemuError("please include valid arguments")
        if "cpu-num" not in options:
            raise QemuError("cpu_num must be specified when setting a program counter")
        cpu = _boot_cpu(machine, options)
        assert cpu is not None
        machine.loads.append(StartAddress(cpu, address))
        return
    filename = options["file"]
    # A file that isn't forced raw may be an ELF image; only raw bytes are loaded here.
    image = _read(filename, limit=machine.ram_size)
    machine.roms.append(Rom(os.path.basename(filename), address, image))


def _boot_cpu(machine: Machine, options: Mapping[str, str]) -> X86Cpu | None:
    """The processor that is named; None where none is.

    Raises:
        QemuError: there is no such.
    """
    if "cpu-num" not in options:
        return None
    number = _number(options, "cpu-num")
    for cpu in machine.cpus:
        if cpu.index == number:
            return cpu
    raise QemuError(f"Specified boot CPU#{number} is nonexistent")


def _number(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, "0")
    try:
        return int(text, 0)
    except ValueError:
        raise QemuError(f"Parameter '{name}' expects integer") from None


def _read(filename: str, *, limit: int) -> bytes:
    try:
        with open(filename, "rb") as file:
            if os.fstat(file.fileno()).st_size <= limit:
                return file.read(limit)
    except OSError:
        pass  # QEMU has one sentence for all that can be wrong here
    raise QemuError(f"Cannot load specified image {filename}")


MODELS = {"loader": DeviceModel("loader", "", _PROPERTIES, realize)}
