"""Buses: where devices are plugged in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.devices.qdev import Device

# The buses that a kind of bus stands for on a board: their names, the one looked at first first.
_NAMES = {
    "PCI": ("pci.0",),
    "ISA": ("isa.0",),
    "IDE": ("ide.1", "ide.0"),
    "floppy-bus": ("floppy-bus.0",),
}
HOTPLUG_KINDS = frozenset(("PCI", "SCSI", "usb-bus", "virtio-serial-bus"))


class Bus:
    """A bus.

    Attributes:
        name: what ``bus=`` takes.
        kind: what its devices look for.
        owner: the device that brought it along; None for the board.
    """

    __slots__ = ("kind", "name", "owner")

    def __init__(self, name: str, kind: str, owner: Device | None = None) -> None:
        self.name = name
        self.kind = kind
        self.owner = owner

    @property
    def is_hotpluggable(self) -> bool:
        """Whether devices come and go while the machine is there."""
        return self.kind in HOTPLUG_KINDS


def board_buses(kinds: Sequence[str]) -> list[Bus]:
    """The buses of a board."""
    return [Bus(name, kind) for kind in kinds for name in _NAMES[kind]]


def find_bus(buses: Sequence[Bus], *, kind: str = "", name: str | None = None) -> Bus | None:
    """The bus of a name, or the first of a kind."""
    if name is not None:
        return next((bus for bus in buses if bus.name == name), None)
    return next((bus for bus in buses if bus.kind == kind), None)
