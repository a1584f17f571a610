"""What every PCI device has as a part of its saved state: configuration registers and pins."""

from __future__ import annotations

from machine.vmstate.buffers import Buffer
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Int32LessEqual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBSYSTEM = bytes.fromhex("f41a0011")


class ConfigSpace:
    """The configuration registers of a device, under the names that the stream has for them.

    Args:
        vendor, device, kind, revision: how it calls itself.
        bars: what kind each of its areas is of; none has got an address yet.
    """

    def __init__(
        self, *, vendor: int, device: int, kind: int, revision: int, bars: Sequence[int]
    ) -> None:
        config = bytearray(256)
        config[0:2] = vendor.to_bytes(2, "little")
        config[2:4] = device.to_bytes(2, "little")
        config[8] = revision
        config[10:12] = kind.to_bytes(2, "little")
        for number, bar in enumerate(bars):
            config[16 + 4 * number] = bar
        config[44:48] = _SUBSYSTEM
        self.version_id = 2
        self.config = bytes(config)
        self.irq_state = bytes(16)


class PciConfig(Buffer):
    """Configuration registers, as they are."""

    type_name = "pci config"
    __slots__ = ()


class PciIrqState(Buffer):
    """The levels of a device's four interrupt pins, four bytes each."""

    type_name = "pci irq state"
    __slots__ = ()


# Of the two sizes that the registers may have, ours are those of a conventional device.
PCI_DEVICE = VMStateDescription(
    name="PCIDevice",
    version_id=2,
    fields=(
        Int32LessEqual("version_id"),
        PciConfig("config", 256, exists=lambda device, version_id: True),
        PciConfig("config", 4096, exists=lambda device, version_id: False),
        PciIrqState("irq_state", 16, since_version=2),
    ),
)
