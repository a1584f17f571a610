"""The ``loader`` device: puts a file's bytes into memory, again at every reset."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from machine.devices.qdev import DeviceModel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.devices.qdev import Device
    from machine.machine import Machine
    from machine.memory import Memory

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


def realize(machine: Machine, device: Device) -> None:
    """Read the file and keep its bytes for the resets to come, the first of which is near.

    Raises:
        QemuError: in QEMU's words, as its device looks at its properties.
    """
    options = device.options
    is_raw = options.get("force-raw", "off")
    if is_raw not in ("on", "off"):
        raise QemuError("Parameter 'force-raw' expects 'on' or 'off'")
    address = _number(options, "addr")
    _number(options, "data")
    _number(options, "data-len")
    if "data" in options or "data-len" in options:
        if not ("data" in options and "data-len" in options):
            raise QemuError("Both data and data-len must be specified")
        raise QemuError("data of the loader device is not simulated yet")
    if "file" not in options:
        if "addr" in options:
            raise QemuError("cpu_num must be specified when setting a program counter")
        raise QemuError("please include valid arguments")
    filename = options["file"]
    # A file that isn't forced raw may be an ELF image; only raw bytes are loaded here.
    data = _read(filename, limit=machine.ram_size)
    machine.roms.append(Rom(os.path.basename(filename), address, data))


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
