"""The machine types: what a board brings along before anything is plugged into it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Board:
    """A machine type.

    Args:
        name: as the migration stream has it.
        aliases: what ``-M`` also takes.
        default_ram: bytes without ``-m``.
        ram_name: of the RAM block.
        default_interface: the ``if=`` of a ``-drive`` without one.
        default_drives: (interface, index, media) of the empty drives it has without -nodefaults.
        buses: where devices can be plugged in.
        has_cpu: whether it has processors.
        has_apic: whether their interrupts go by APICs.
        max_cpus: how many, 1 for a board without any too.
        firmware: bytes of its BIOS; 0 for none.
        pci_functions: (slot, function, model) of what it has on its PCI bus.
        nic_model: of its network cards; "" where it has none.
        vga_model: of its display; "" where it has none.
        cpu_signature: what a processor says of itself after a reset: family, model, stepping.
        low_ram: bytes of the RAM below 4 GiB, where there is more of it than fits.
        first_paths: the numbers in the object tree of the first IDE and the first floppy drive.
    """

    __slots__ = (
        "aliases",
        "buses",
        "cpu_signature",
        "default_drives",
        "default_interface",
        "default_ram",
        "firmware",
        "first_paths",
        "has_apic",
        "has_cpu",
        "low_ram",
        "max_cpus",
        "name",
        "nic_model",
        "pci_functions",
        "ram_name",
        "vga_model",
    )

    def __init__(
        self,
        name: str,
        *,
        aliases: Sequence[str] = (),
        default_ram: int = 0,
        ram_name: str = "ram",
        default_interface: str = "none",
        default_drives: Sequence[tuple[str, int, str]] = (),
        buses: Sequence[str] = (),
        has_cpu: bool = False,
        has_apic: bool = False,
        max_cpus: int = 1,
        firmware: int = 0,
        pci_functions: Sequence[tuple[int, int, str]] = (),
        nic_model: str = "",
        vga_model: str = "",
        cpu_signature: int = 0,
        low_ram: int = 0xE0000000,
        first_paths: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.aliases = aliases
        self.default_ram = default_ram
        self.ram_name = ram_name
        self.default_interface = default_interface
        self.default_drives = default_drives
        self.buses = buses
        self.has_cpu = has_cpu
        self.has_apic = has_apic
        self.max_cpus = max_cpus
        self.firmware = firmware
        self.pci_functions = pci_functions
        self.nic_model = nic_model
        self.vga_model = vga_model
        self.cpu_signature = cpu_signature
        self.low_ram = low_ram
        self.first_paths = first_paths


_DEFAULT_DRIVES = (("ide", 2, "cdrom"), ("floppy", 0, "disk"), ("sd", 0, "disk"))
BOARDS = (
    Board("none"),
    Board(
        "isapc",
        default_ram=128 << 20,
        ram_name="pc.ram",
        default_interface="ide",
        default_drives=_DEFAULT_DRIVES,
        buses=("ISA", "IDE", "floppy-bus"),
        has_cpu=True,
        firmware=128 << 10,
        nic_model="ne2k_isa",
        vga_model="isa-vga",  # QEMU's is a Cirrus, whose text screen is the same
        cpu_signature=0x480,  # a 486's
        first_paths=(20, 13),
    ),
    Board(
        "pc-i440fx-7.2",
        aliases=("pc",),
        default_ram=128 << 20,
        ram_name="pc.ram",
        default_interface="ide",
        default_drives=_DEFAULT_DRIVES,
        buses=("PCI", "ISA", "IDE", "floppy-bus"),
        has_cpu=True,
        has_apic=True,
        max_cpus=255,
        firmware=256 << 10,
        pci_functions=((0, 0, "i440FX"), (1, 0, "PIIX3"), (1, 1, "piix3-ide"), (1, 3, "PIIX4_PM")),
        nic_model="e1000",
        vga_model="VGA",
        cpu_signature=0x60FB1,  # of QEMU's own model qemu64
        low_ram=0xC0000000,
        first_paths=(23, 16),
    ),
)


# A device of one of these models stands for the default drive of an interface.
REPLACED_DRIVES = {
    "ide-cd": "ide",
    "ide-hd": "ide",
    "scsi-cd": "ide",
    "scsi-hd": "ide",
    "floppy": "floppy",
    "isa-fdc": "floppy",
}


def find_board(name: str) -> Board | None:
    """The machine type of this name or alias."""
    return next((board for board in BOARDS if name == board.name or name in board.aliases), None)


def bootable_letters_fault(devices: str) -> str:
    """What is wrong with an order in which a machine looks for a system, a letter for each device.

    Returns:
        A sentence; "" for an order that some machine might have.
    """
    for index, letter in enumerate(devices):
        if not "a" <= letter <= "p":
            return f"Invalid boot device '{letter}'"
        if letter in devices[:index]:
            return f"Boot device '{letter}' was given twice"
    return ""


def boot_order_fault(devices: str) -> str:
    """Likewise of a PC; "" for an order that it can have."""
    fault = bootable_letters_fault(devices)
    if fault:
        return fault
    if len(devices) > 3:
        return "Too many boot devices for PC"
    for letter in devices:
        if letter not in "abcdn":
            return f"Invalid boot device for PC: '{letter}'"
    return ""


def firmware_image(size: int) -> bytes:
    """A BIOS that is only its last 16 bytes: where every PC starts, the date, the model byte.

    The jump goes to F000:E05B, where the first PC's firmware began.
    """
    tail = bytes.fromhex("ea5be000f0") + b"06/23/99\0\xfc\0"
    return tail.rjust(size, b"\0")
