"""Displays that are plugged in: the VGA on the ISA bus, and the one on the PCI bus."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.pci_config import PCI_DEVICE, ConfigSpace
from machine.devices.qdev import DeviceModel
from machine.devices.vga import VGA_STATE, Vga
from machine.memory import RamBlock
from machine.schema import read_integer
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine

_MEGABYTES = {"isa-vga": 8, "VGA": 16, "cirrus-vga": 4}
_MOST_MEGABYTES = 512
_VGA_CLASS = 0x0300
_PREFETCHABLE = 0x08


class PciVga:
    """The card: a display, and the registers by which the PCI bus knows it.

    Args:
        ids: vendor and device.
    """

    def __init__(self, vga: Vga, ids: tuple[int, int]) -> None:
        self.vga = vga
        vendor, number = ids
        self.dev = ConfigSpace(
            vendor=vendor, device=number, kind=_VGA_CLASS, revision=2, bars=(_PREFETCHABLE,)
        )


def realize(machine: Machine, device: Device) -> None:
    """Plug in a display.

    Raises:
        QemuError: there is one of this kind already, or the host can't give it its memory.
    """
    model = device.model.name
    isa = machine.isa
    assert isa is not None, "a board with such a bus has these devices"
    if model == "isa-vga" and isa.vga is not None:
        raise QemuError("Only one global VGA device can be used at a time")
    megabytes = read_integer(device.options.get("vgamem_mb", str(_MEGABYTES[model])))
    if megabytes is None:
        raise QemuError("Parameter 'vgamem_mb' expects uint32_t")
    megabytes = min(1 << max(megabytes - 1, 0).bit_length(), _MOST_MEGABYTES)
    path = f"{device.bus_path}/" if device.bus_path else ""
    vga = Vga(RamBlock(f"{path}vga.vram", megabytes << 20))
    vga.map_into(machine.memory)
    isa.add_display(vga, device.id)
    if device.bus_path:
        description, ids = _CARDS[model]
        device.states.append((description, PciVga(vga, ids)))
    else:
        device.states.append((VGA_STATE, vga))


def _card_state(name: str) -> VMStateDescription:
    return VMStateDescription(
        name=name,
        version_id=2,
        minimum_version_id=2,
        fields=(Struct("dev", PCI_DEVICE), Struct("vga", VGA_STATE)),
    )


# Of the Cirrus only the VGA that is in it is simulated.
_CARDS = {
    "VGA": (_card_state("vga"), (0x1234, 0x1111)),
    "cirrus-vga": (_card_state("cirrus_vga"), (0x1013, 0x00B8)),
}
MODELS = {
    "isa-vga": DeviceModel("isa-vga", "ISA", "vgamem_mb", realize),
    "VGA": DeviceModel(
        "VGA",
        "PCI",
        "big-endian-framebuffer edid global-vmstate mmio qemu-extended-regs refresh_rate "
        "vgamem_mb xmax xres ymax yres",
        realize,
    ),
    "cirrus-vga": DeviceModel("cirrus-vga", "PCI", "blitter global-vmstate vgamem_mb", realize),
}
