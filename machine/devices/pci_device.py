"""What every PCI device saves of itself: its configuration space, and its interrupt lines.

Source: PCI Local Bus Specification 3.0, chapter 6.
"""

from __future__ import annotations

import errno

from machine.devices.pci import MODELS
from machine.migration.qemufile import StreamError
from machine.vmstate.buffers import Buffer
from machine.vmstate.description import VMStateDescription
from machine.vmstate.field import Field
from machine.vmstate.integers import Int32LessEqual

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.field import Foreseen, Report
    from machine.vmstate.vmdesc import Entry

CONFIG_SIZE = 256
EXPRESS_CONFIG_SIZE = 4096
PINS = 4
VENDOR, DEVICE, REVISION, CLASS = 0x00, 0x02, 0x08, 0x0A
FIRST_BAR, SUBSYSTEM, INTERRUPT_PIN = 0x10, 0x2C, 0x3D
# What a driver can't change and a device is known by: ids, revision, class and header type.
_IDENTITY = (0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0A, 0x0B, 0x0E)
_BAR_BITS = {"io": 0x1, "mem": 0x0, "mem64": 0x4, "pref": 0x8, "pref64": 0xC}
_ROM_BAR = 6


class PciDevice:
    """The configuration space after a reset, and the state of the interrupt lines.

    Args:
        model: one of `MODELS`.
        class_code: what kind of device it is.
        revision: of the chip.

    Attributes:
        version_id: of the space's layout: 2.
        config: all of the space.
        irq_state: 1 for each line that is raised.
    """

    def __init__(self, model: str, class_code: int, revision: int = 0) -> None:
        self.version_id = 2
        self.irq_state = [0] * PINS
        about = MODELS[model]
        config = bytearray(CONFIG_SIZE)

        def put(offset: int, *numbers: int) -> None:
            for index, number in enumerate(numbers):
                config[offset + 2 * index : offset + 2 * index + 2] = number.to_bytes(2, "little")

        put(VENDOR, *[int(number, 16) for number in about.ids.split(":")])
        put(CLASS, class_code)
        put(SUBSYSTEM, *[int(number, 16) for number in about.subsystem.split(":")])
        config[REVISION] = revision
        for number, space, _ in about.bars:
            if int(number) != _ROM_BAR:
                config[FIRST_BAR + 4 * int(number)] = _BAR_BITS[space]
        config[INTERRUPT_PIN] = about.pin
        self.config = bytes(config)


class PciConfig(Buffer):
    """The configuration space; one of another device is refused."""

    type_name = "pci config"
    needs_local = True
    __slots__ = ()

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> bytes:
        read = file.get_buffer(self.size)
        if not file.error:
            for place in _IDENTITY:
                if read[place] != local[place]:
                    report(
                        f"get_pci_config_device: Bad config data: i={place:#x} "
                        f"read: {read[place]:x} device: {local[place]:x} "
                        "cmask: ff wmask: 0 w1cmask:0"
                    )
                    raise StreamError(errno.EINVAL)
        return read


class PciIrqState(Field):
    """The interrupt lines, four bytes each."""

    type_name = "pci irq state"
    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: list[int], device: Any) -> list[Entry]:
        for state in value:
            file.put_be32(state)
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> Any:
        states = [file.get_be32() for _ in range(PINS)]
        for state in states:
            if state not in (0, 1):
                report(f"irq state {state}: must be 0 or 1.")
                raise StreamError(errno.EINVAL)
        return states


def _is_conventional(device: PciDevice, version_id: int) -> bool:
    return True


def _is_express(device: PciDevice, version_id: int) -> bool:
    return False  # none of ours is


PCI_DEVICE = VMStateDescription(
    name="PCIDevice",
    version_id=2,
    fields=(
        Int32LessEqual("version_id"),
        PciConfig("config", CONFIG_SIZE, exists=_is_conventional),
        PciConfig("config", EXPRESS_CONFIG_SIZE, exists=_is_express),
        PciIrqState("irq_state", since_version=2),
    ),
)
