"""The machine types: what a board brings along before anything is plugged into it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Board:
    """A machine type: its name, and what it has other than a board without anything.

    Attributes:
        name: as the migration stream has it.
        description: what it stands for, a few words.
        aliases: what ``-M`` also takes.
        is_deprecated: QEMU means to drop it.
        default_ram: bytes without ``-m``.
        ram_name: of the RAM block; "" where there is no RAM.
        default_interface: the ``if=`` of a ``-drive`` without one.
        units_per_bus: drives on a bus of that interface; 0 for as many as one likes.
        default_drives: (interface, index, media) of the empty drives it has without -nodefaults.
        buses: kinds of buses where devices can be plugged in, with the number of each.
        parts: devices that it has beside others, and that its options can take away.
        has_cpu: whether it has processors.
        has_apic: whether their interrupts go by APICs.
        has_cpu_slots: whether processors can be plugged in.
        max_cpus: how many, 1 for a board without any too.
        prefers_sockets: processors that aren't grouped are sockets, not cores of one.
        has_numa_memory: whether nodes can be told their memory as a number.
        firmware: bytes of its BIOS; 0 for none.
        firmware_name: of the BIOS.
        has_flash: whether flash chips can be in its BIOS's place.
        max_firmware: bytes that they may have together.
        tables: what firmware is given to describe the board to a system: name, most bytes, and
            how many it has.
        io_apic_version: what its I/O APICs say of themselves.
        pci_functions: (slot, function, model, part) of what it has on its PCI bus, if it has the
            part, which may be "".
        nic_model: of its network cards; "" where it has none.
        vga_model: of its display; "" where it has none.
        cpu_model: of its processors, without another.
        cpu_signature: what a processor says of itself after a reset: family, model, stepping.
        ram_limit: bytes of RAM from which on not all of it is below 4 GiB.
        low_ram: how much of it is there then.
        first_paths: the numbers in the object tree of the first IDE and the first floppy drive,
            on a board without cards, ports and further processors.
        properties: whose options it has beside those of all boards.
        blueprint: the name of the text that says what it is made of.
    """

    description = ""
    aliases: tuple[str, ...] = ()
    is_deprecated = False
    default_ram = 0
    ram_name = "ram"
    default_interface = "none"
    units_per_bus = 0
    default_drives: tuple[tuple[str, int, str], ...] = ()
    buses: Mapping[str, int] = {}
    parts: frozenset[str] = frozenset()
    has_cpu = False
    has_apic = False
    has_cpu_slots = False
    max_cpus = 1
    prefers_sockets = False
    has_numa_memory = False
    firmware = 0
    firmware_name = ""
    has_flash = False
    max_firmware = 8 << 20
    tables: tuple[tuple[str, int, int], ...] = ()
    io_apic_version = 0x20
    pci_functions: tuple[tuple[int, int, str, str], ...] = ()
    nic_model = ""
    vga_model = ""
    cpu_model = ""
    cpu_signature = 0
    ram_limit = 0xE0000000
    low_ram = 0xE0000000
    first_paths = (0, 0)
    properties = ""
    blueprint = ""

    def __init__(self, name: str, **differences: Any) -> None:
        self.name = name
        for key, value in differences.items():
            assert hasattr(Board, key), key
            setattr(self, key, value)

    def but(self, name: str = "", **differences: Any) -> Board:
        """A board like this one, except for what is given."""
        own = {key: value for key, value in vars(self).items() if key != "name"}
        return Board(name or self.name, **{**own, **differences})


DEFAULT_DRIVES = (("ide", 2, "cdrom"), ("floppy", 0, "disk"), ("sd", 0, "disk"))
TABLES = (
    ("etc/acpi/tables", 0x200000, 0x20000),
    ("etc/table-loader", 0x10000, 0x1000),
    ("etc/acpi/rsdp", 0x1000, 0x1000),
)
_NONE = Board("none", description="empty machine", blueprint="none")
_ISA_PC = Board(
    "isapc",
    description="ISA-only PC",
    default_ram=128 << 20,
    ram_name="pc.ram",
    default_interface="ide",
    units_per_bus=2,
    default_drives=DEFAULT_DRIVES,
    buses={"ISA": 1, "IDE": 2, "floppy-bus": 1},
    parts=frozenset("pit pic rtc i8042 vmport".split()),
    has_cpu=True,
    has_cpu_slots=True,
    firmware=128 << 10,
    firmware_name="bios.bin",
    nic_model="ne2k_isa",
    vga_model="isa-vga",  # QEMU's is a Cirrus, whose text screen is the same
    cpu_model="486",
    cpu_signature=0x480,
    first_paths=(15, 10),
    properties="pc",
    blueprint="isapc",
)
PC = Board(
    "pc-i440fx-7.2",
    description="Standard PC (i440FX + PIIX, 1996)",
    aliases=("pc",),
    default_ram=128 << 20,
    ram_name="pc.ram",
    default_interface="ide",
    units_per_bus=2,
    default_drives=DEFAULT_DRIVES,
    buses={"PCI": 1, "ISA": 1, "IDE": 2, "floppy-bus": 1},
    parts=frozenset("pit pic hpet rtc i8042 vmport acpi".split()),
    has_cpu=True,
    has_apic=True,
    has_cpu_slots=True,
    max_cpus=255,
    firmware=256 << 10,
    firmware_name="bios-256k.bin",
    has_flash=True,
    tables=TABLES,
    pci_functions=(
        (0, 0, "i440FX", ""),
        (1, 0, "PIIX3", ""),
        (1, 1, "piix3-ide", ""),
        (1, 2, "piix3-usb-uhci", "usb"),
        (1, 3, "PIIX4_PM", "acpi"),
    ),
    nic_model="e1000",
    vga_model="VGA",
    cpu_model="qemu64",
    cpu_signature=0x60FB1,
    low_ram=0xC0000000,
    first_paths=(18, 13),
    properties="pc",
    blueprint="pc",
)
# Those that most machines are of; the others are in `machine.board_list`.
BOARDS = (_NONE, _ISA_PC, PC)


VGA_CARDS = frozenset(("VGA", "cirrus-vga", "isa-vga"))
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
    for board in BOARDS:
        if name == board.name or name in board.aliases:
            return board
    from machine.board_list import find

    return find(name)


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
