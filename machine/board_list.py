"""The machine types that are there, in the order in which QEMU lists them.

Source: what a QEMU 7.2 of each type shows at its monitor.
"""

from __future__ import annotations

from machine.boards import BOARDS, PC, TABLES, Board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_Q35 = PC.but(
    "pc-q35-7.2",
    description="Standard PC (Q35 + ICH9, 2009)",
    aliases=("q35",),
    units_per_bus=1,
    default_drives=(("ide", 2, "cdrom"), ("sd", 0, "disk")),
    buses={"PCIE": 1, "ISA": 1, "IDE": 6},
    parts=frozenset("pit pic hpet rtc i8042 vmport acpi sata smbus".split()),
    max_cpus=288,
    pci_functions=(
        (0, 0, "mch", ""),
        (29, 0, "ich9-usb-uhci1", "usb"),
        (29, 1, "ich9-usb-uhci2", "usb"),
        (29, 2, "ich9-usb-uhci3", "usb"),
        (29, 7, "ich9-usb-ehci1", "usb"),
        (31, 0, "ICH9-LPC", ""),
        (31, 2, "ich9-ahci", "sata"),
        (31, 3, "ICH9-SMB", "smbus"),
    ),
    nic_model="e1000e",
    ram_limit=0xB0000000,
    low_ram=0x80000000,
    first_paths=(16, 12),
    blueprint="q35",
)
_MICROVM = Board(
    "microvm",
    description="microvm (i386)",
    default_ram=128 << 20,
    ram_name="microvm.ram",
    units_per_bus=1,
    default_drives=(("none", 2, "cdrom"), ("sd", 0, "disk")),
    buses={"virtio-mmio-bus": 24, "ISA": 1},
    parts=frozenset("pit pic rtc acpi isa-serial ioapic2".split()),
    has_cpu=True,
    has_apic=True,
    max_cpus=288,
    firmware=64 << 10,
    firmware_name="bios-microvm.bin",
    tables=(("etc/acpi/tables", 0x200000, 0x1000), *TABLES[1:]),
    pci_functions=((0, 0, "gpex-root", "pcie"),),
    cpu_model="qemu64",
    cpu_signature=0x60FB1,
    ram_limit=0xC0000001,
    low_ram=0xC0000000,
    properties="microvm",
    blueprint="microvm",
)
_REMOTE = Board(
    "x-remote",
    description="Experimental remote machine",
    ram_name="",
    default_drives=(("none", 2, "cdrom"), ("floppy", 0, "disk"), ("sd", 0, "disk")),
    buses={"remote-pci": 1},
    blueprint="x-remote",
)
_PC_VERSIONS = (
    "7.1 7.0 6.2 6.1 6.0 5.2 5.1 5.0 4.2 4.1 4.0 3.1 3.0 2.9 2.8 2.7 2.6 2.5 2.4 2.3 2.2 "
    "2.12 2.11 2.10 2.1 2.0 1.7 1.6 1.5 1.4"
).split()
_Q35_VERSIONS = (
    "7.1 7.0 6.2 6.1 6.0 5.2 5.1 5.0 4.2 4.1 4.0.1 4.0 3.1 3.0 2.9 2.8 2.7 2.6 2.5 2.4 "
    "2.12 2.11 2.10"
).split()


def boards() -> Iterator[Board]:
    """All machine types."""
    none, isa_pc, pc = BOARDS
    yield _MICROVM
    yield pc
    for version in _PC_VERSIONS:
        yield _older(pc, version)
    yield _Q35
    for version in _Q35_VERSIONS:
        yield _older(_Q35, version)
    yield isa_pc
    yield none
    yield _REMOTE


def find(name: str) -> Board | None:
    """The machine type of a name or alias."""
    return next((each for each in boards() if name == each.name or name in each.aliases), None)


def describe_boards() -> Iterator[str]:
    """The lines that list the machine types."""
    yield "Supported machines are:"
    for board in boards():
        for alias in board.aliases:
            yield f"{alias:20} {board.description} (alias of {board.name})"
        mark = " (default)" if board is PC else " (deprecated)" if board.is_deprecated else ""
        yield f"{board.name:20} {board.description}{mark}"


def _older(board: Board, version: str) -> Board:
    """A board as an earlier version of QEMU had it."""
    number = tuple(int(part) for part in version.split("."))
    changes: dict[str, Any] = {"aliases": (), "has_numa_memory": number < (5, 1)}
    if number < (6, 2):
        changes["prefers_sockets"] = True
    if number < (6, 1):
        changes["cpu_signature"] = 0x663
    if board is _Q35 and number < (2, 12):
        changes["nic_model"] = "e1000"
    if board is _Q35 and number < (2, 8):
        changes["max_cpus"] = 255
    if number < (2, 8):
        changes["io_apic_version"] = 0x11
    if number < (2, 3):
        changes["tables"] = TABLES[:2]
    if number < (2, 1):
        changes["tables"] = (("etc/acpi/tables", 0x200000, 0x2000), TABLES[1])
    if number < (2, 2):
        changes["vga_model"] = "cirrus-vga"
    if number < (2, 0):
        changes.update(is_deprecated=True, firmware=128 << 10, firmware_name="bios.bin")
    if number < (1, 7):
        changes.update(cpu_signature=0x623, tables=())
    return board.but(f"{board.name.rpartition('-')[0]}-{version}", **changes)
