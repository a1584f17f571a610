"""Buses: where devices are plugged in."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.boards import Board
    from machine.devices.pci import PciSlots
    from machine.devices.qdev import Device
    from machine.devices.usb import UsbPorts

# What a board calls its first bus of a kind, up to the number.
_NAMES = {"PCI": "pci", "PCIE": "pcie", "ISA": "isa", "IDE": "ide"}
_REMOTE = "remote-pci"  # the one that is called otherwise than its kind
# What a kind of bus takes besides devices that look for this very kind.
_STANDS_FOR = {"PCIE": "PCI", "virtio-mmio-bus": "virtio-bus"}
_HOTPLUG_KINDS = frozenset(("PCI", "SCSI", "usb-bus", "virtio-serial-bus"))
_PCI_KINDS = frozenset(("PCI", "PCIE"))
_OF_ONE_DEVICE = frozenset(("virtio-mmio-bus",))


class Bus:
    """A bus.

    Args:
        functions: (slot, function, model) of what a PCI bus of the board has by itself.
        is_hotpluggable: whether devices come and go while the machine is there; None for what
            is usual with its kind.

    Attributes:
        name: what ``bus=`` takes.
        kind: what its devices look for.
        owner: the device that brought it along; None for the board.
        units: the places on an IDE bus that are taken.
        max_units: how many it has.
        is_full: it takes no more devices.
        usb: the ports of a USB; None where nobody looked at them yet.
    """

    __slots__ = (
        "_functions",
        "_slots",
        "is_full",
        "is_hotpluggable",
        "kind",
        "max_units",
        "name",
        "owner",
        "units",
        "usb",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        owner: Device | None = None,
        *,
        functions: Sequence[tuple[int, int, str]] = (),
        max_units: int = 2,
        is_hotpluggable: bool | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.owner = owner
        self._functions = functions
        self._slots: PciSlots | None = None
        self.units: set[int] = set()
        self.max_units = max_units
        self.is_full = False
        self.usb: UsbPorts | None = None
        usual = kind in _HOTPLUG_KINDS
        self.is_hotpluggable = usual if is_hotpluggable is None else is_hotpluggable

    @property
    def slots(self) -> PciSlots | None:
        """The places on a PCI bus; None on another."""
        if self._slots is None and self.kind in _PCI_KINDS:
            from machine.devices.pci import PciSlots

            self._slots = PciSlots(self._functions)
        return self._slots

    def takes(self, kind: str) -> bool:
        """Whether a device that looks for this kind can be plugged in."""
        return kind in (self.kind, _STANDS_FOR.get(self.kind))

    def take_unit(self, text: str | None) -> int:
        """A place for an IDE drive.

        Args:
            text: the number wanted; None for the next.

        Raises:
            QemuError: there is no such place, or it is taken.
        """
        unit = int(0 in self.units)
        if text is not None:
            if not text.isdecimal():
                raise QemuError("Parameter 'unit' expects uint32_t")
            unit = int(text)
        if unit >= self.max_units:
            only = self.max_units
            raise QemuError(f"Can't create IDE unit {unit}, bus supports only {only} units")
        if unit in self.units:
            raise QemuError(f"IDE unit {unit} is in use")
        self.units.add(unit)
        return unit


def board_buses(board: Board) -> list[Bus]:
    """The buses of a board, the one looked at first first."""
    functions = [
        (slot, function, model)
        for slot, function, model, part in board.pci_functions
        if not part or part in board.parts
    ]
    found = []
    for kind, count in board.buses.items():
        if kind == _REMOTE:
            found.append(Bus(_REMOTE, "PCIE", is_hotpluggable=True))
            continue
        for number in reversed(range(count)):
            name = f"{_NAMES.get(kind, kind)}.{number}"
            bus = Bus(name, kind, functions=functions, max_units=board.units_per_bus)
            if kind == "PCI" and "acpi" not in board.parts:
                bus.is_hotpluggable = False
            found.append(bus)
    return found


def find_bus(buses: Sequence[Bus], *, kind: str = "", name: str | None = None) -> Bus | None:
    """The bus of a name, or the first that takes a kind; one that isn't full, if there is one.

    QEMU looks at a bus before what is on it, and there at the device that came last first.
    """
    if name is not None:
        return next((bus for bus in buses if bus.name == name), None)
    board = [bus for bus in buses if bus.owner is None]
    order = [
        *(bus for bus in board if bus.kind in _PCI_KINDS),
        *(bus for bus in reversed(buses) if bus.owner is not None),
        *(bus for bus in board if bus.kind not in _PCI_KINDS),
    ]
    fitting = [bus for bus in order if bus.takes(kind)]
    return next((bus for bus in fitting if not bus.is_full), fitting[0] if fitting else None)


def root_bus(buses: Sequence[Bus]) -> Bus | None:
    """The PCI bus of the board; None where it has none that is looked at."""
    return next((bus for bus in buses if bus.kind in _PCI_KINDS and bus.name != _REMOTE), None)


def fill(bus: Bus) -> None:
    """A device is plugged in."""
    bus.is_full = bus.kind in _OF_ONE_DEVICE


def takes_without_bus(board: Board, model: str) -> bool:
    """Whether a board has places beside its buses for this model: those of processors.

    Raises:
        QemuError: it is memory, for which the board has no room.
    """
    if model.endswith("-x86_64-cpu") and board.has_cpu:
        return True
    if model in ("pc-dimm", "nvdimm") and board.has_cpu_slots:
        if "acpi" not in board.parts:
            raise QemuError("memory hotplug is not enabled: missing acpi device or acpi disabled")
        if model == "nvdimm":
            raise QemuError("nvdimm is not enabled: missing 'nvdimm' in '-M'")
        raise QemuError("no slots where allocated, please specify the 'slots' option")
    return False
