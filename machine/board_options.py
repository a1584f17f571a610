"""The options of machine types, ``-M q35,smm=off,usb=on``: what there is, and what it changes.

Each is looked at as QEMU looks at it.  Those that take a part of the board away or give it one
do; of the rest only the value is checked.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.boards import Board, boot_order_fault
from machine.schema import read_integer, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

BOOL, AUTO = "bool", "OnOffAuto"
INTEGER, UNSIGNED, SIZE = "int", "uint64_t", "size"
ENTRY_POINT = "str"
# What options of several values have; of processors `machine.topology` knows.
_STRUCTS = {
    "BootConfiguration": "order once menu splash splash-time reboot-timeout strict".split(),
    "MemorySizeConfiguration": "size max-size slots".split(),
    "SMPConfiguration": None,
    "SgxEPC": None,
}
# What a PC takes besides, and tells nobody of.
_UNTOLD = {"hmat": BOOL, "nvdimm": BOOL, "nvdimm-persistence": "string"}
# What a board takes that can have flash chips.
FLASH_OPTIONS = ("pflash0", "pflash1")
# A property a line, by the boards that have it: name, type, and what QEMU says of it.
_PROPERTIES = {
    "": """
        append|string|Linux kernel command line
        boot|BootConfiguration|Boot configuration
        confidential-guest-support|link<confidential-guest-support>|Set confidential guest scheme \
to support
        dt-compatible|string|Overrides the "compatible" property of the dt root node
        dtb|string|Linux kernel device tree file
        dump-guest-core|bool|Include guest memory in a core dump
        dumpdtb|string|Dump current dtb to a file and quit
        firmware|string|Firmware image
        graphics|bool|Set on/off to enable/disable graphics emulation
        initrd|string|Linux initial ramdisk file
        kernel|string|Linux kernel image file
        mem-merge|bool|Enable/disable memory merge support
        memory|MemorySizeConfiguration|Memory size configuration
        memory-backend|link<memory-backend>|Set RAM backendValid value is ID of hostmem based \
backend
        memory-encryption|string|Set memory encryption object to use
        phandle-start|int|The first phandle ID we may generate dynamically
        smp|SMPConfiguration|CPU topology
        suppress-vmdesc|bool|Set on to disable self-describing migration
        usb|bool|Set on/off to enable/disable usb
    """,
    "x86": """
        acpi|OnOffAuto|Enable ACPI
        bus-lock-ratelimit|uint64_t|Set the ratelimit for the bus locks acquired in VMs
        pic|OnOffAuto|Enable i8259 PIC
        pit|OnOffAuto|Enable i8254 PIT
        sgx-epc|SgxEPC|SGX EPC device
        smm|OnOffAuto|Enable SMM
        x-oem-id|string|Override the default value of field OEMID in ACPI table header.The string \
may be up to 6 bytes in size
        x-oem-table-id|string|Override the default value of field OEM Table ID in ACPI table \
header.The string may be up to 8 bytes in size
    """,
    "pc": """
        default-bus-bypass-iommu|bool|
        hpet|bool|Enable/disable high precision event timer emulation
        i8042|bool|
        max-fw-size|size|Maximum combined firmware size
        max-ram-below-4g|size|Maximum ram below the 4G boundary (32bit boundary)
        sata|bool|Enable/disable Serial ATA bus
        smbios-entry-point-type|str|SMBIOS Entry Point type [32, 64]
        smbus|bool|Enable/disable system management bus
        vmport|OnOffAuto|Enable vmport (pc & q35)
    """,
    "microvm": """
        auto-kernel-cmdline|bool|Set off to disable adding virtio-mmio devices to the kernel \
cmdline
        ioapic2|OnOffAuto|Enable second IO-APIC
        isa-serial|bool|Set off to disable the instantiation an ISA serial port
        pcie|OnOffAuto|Enable PCIe
        rtc|OnOffAuto|Enable MC146818 RTC
        x-option-roms|bool|Set off to disable loading option ROMs
    """,
}
# Parts of a board that an option of the same name gives it or takes away.
_PARTS = frozenset(
    "acpi hpet i8042 ioapic2 isa-serial pcie pic pit rtc sata smbus usb vmport".split()
)
_LONGEST = {"x-oem-id": 6, "x-oem-table-id": 8}  # bytes
_LARGEST_FIRMWARE = 16 << 20
_GIB = 1 << 30
_MISSING_OBJECTS = {
    "confidential-guest-support": "Device '{}' not found",
    "memory-backend": "Memory backend '{}' not found",
    "memory-encryption": "No such memory encryption object '{}'",
}


class Property:
    """One option.

    Attributes:
        type: as QEMU calls it.
        help: what it does; may be empty.
    """

    __slots__ = ("help", "name", "type")

    def __init__(self, row: str) -> None:
        self.name, self.type, self.help = row.strip().split("|")


def properties(board: Board) -> dict[str, Property]:
    """The options of a board, by name."""
    texts = [_PROPERTIES[""]]
    if board.properties:
        texts += [_PROPERTIES["x86"], _PROPERTIES[board.properties]]
    rows = [Property(row) for text in texts for row in text.strip().splitlines()]
    return {row.name: row for row in rows}


def describe_options(board: Board) -> Iterator[str]:
    """The lines that answer ``-M TYPE,help``."""
    yield f"{board.name}-machine options:"
    # QEMU sorts the lines themselves, not the names.
    yield from sorted(_help_line(row) for row in properties(board).values())


def _help_line(row: Property) -> str:
    line = f"  {row.name}=<{row.type}>"
    return f"{line:24} - {row.help}" if row.help else line


def configured(board: Board, options: Mapping[str, Any]) -> Board:
    """The board as its options want it.

    Args:
        options: values by name, nested where a key has dots.

    Raises:
        QemuError: there is no such option, or its value can't be.
    """
    known = properties(board)
    parts = set(board.parts)
    for name, value in options.items():
        row = known.get(name)
        if row is None and board.properties and name in _UNTOLD:
            row = Property(f"{name}|{_UNTOLD[name]}|")
        if row is None and board.has_flash and name in FLASH_OPTIONS:
            row = Property(f"{name}|string|")
        if row is None:
            raise QemuError(f"Property '{board.name}-machine.{name}' not found")
        if row.type in _STRUCTS:
            _check_struct(row, value)
            continue
        if not isinstance(value, str):
            raise QemuError(f"Parameters '{name}.*' are unexpected")
        _check(row, value)
        if name in _PARTS and value in ("on", "off"):
            (parts.add if value == "on" else parts.discard)(name)
    if "max-fw-size" in options:
        board = board.but(max_firmware=read_size(options["max-fw-size"]))
    return _with_parts(board, frozenset(parts)) if parts != board.parts else board


def _with_parts(board: Board, parts: frozenset[str]) -> Board:
    """The board with these devices, and what follows from that."""
    changes: dict[str, Any] = {"parts": parts}
    buses = dict(board.buses)
    if "usb" in parts and board.has_cpu and board.has_apic:
        buses["usb-bus"] = 1
    if "acpi" not in parts:
        changes["tables"] = ()
        if board.properties == "microvm":
            changes["firmware_name"] = "qboot.rom"
    if board.properties == "microvm":
        if not {"acpi", "ioapic2"} <= parts:
            changes["parts"] = parts - {"ioapic2"}
            buses["virtio-mmio-bus"] = 8
        if "pcie" in parts:
            buses = {"PCIE": 1, **buses}
    if "sata" in board.parts - parts:
        del buses["IDE"]
    gone = board.parts - parts
    if "i8042" in gone:
        gone |= {"vmport"}  # which goes with it
    before_floppies = sum(_BEFORE_FLOPPIES.get(part, 0) for part in gone)
    before_disks = before_floppies + sum(_BEFORE_DISKS.get(part, 0) for part in gone)
    first_disk, first_floppy = board.first_paths
    changes["first_paths"] = (first_disk - before_disks, first_floppy - before_floppies)
    return board.but(buses=buses, **changes)


# How many numbers in the object tree a part has before the floppy drives', and before the disks'.
_BEFORE_FLOPPIES = {"hpet": 1, "pic": 2, "pit": 2}
_BEFORE_DISKS = {"i8042": 2, "vmport": 2}


def _check(row: Property, value: str) -> None:
    """Raises: QemuError: an option can't have this value."""
    name, kind = row.name, row.type
    if kind == BOOL:
        if value not in ("on", "off", "yes", "no", "y", "n", "true", "false"):
            raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    elif kind == AUTO:
        if value not in ("on", "off", "auto"):
            raise QemuError(f"Parameter '{name}' does not accept value '{value}'")
    elif kind in (INTEGER, UNSIGNED):
        if read_integer(value) is None:
            raise QemuError(f"Parameter '{name}' expects integer")
    elif kind == SIZE:
        _check_size(name, value)
    elif kind == ENTRY_POINT:
        if value not in ("32", "64"):
            raise QemuError(f"Parameter '{name}' does not accept value '{value}'")
    elif name in _MISSING_OBJECTS:
        raise QemuError(_MISSING_OBJECTS[name].format(value))
    elif name in _LONGEST and len(value.encode()) > _LONGEST[name]:
        raise QemuError(
            f"User specified {name} value is bigger than {_LONGEST[name]} bytes in size"
        )


def _check_struct(row: Property, value: object) -> None:
    """Raises: QemuError: an option of several values can't have these."""
    kind = "array" if row.type == "SgxEPC" else "object"
    if not isinstance(value, list if kind == "array" else dict):
        raise QemuError(f"Invalid parameter type for '{row.name}', expected: {kind}")
    known = _STRUCTS[row.type]
    if known is None or not isinstance(value, dict):
        return
    for name in value:
        if name not in known:
            raise QemuError(f"Parameter '{row.name}.{name}' is unexpected")
    if row.name == "boot":
        for name in ("order", "once"):
            fault = boot_order_fault(value.get(name, ""))
            if fault:
                raise QemuError(fault)


def _check_size(name: str, text: str) -> None:
    size = read_size(text)
    if size is None:
        raise QemuError(f"Parameter '{name}' expects size")
    if name == "max-fw-size" and size > _LARGEST_FIRMWARE:
        raise QemuError(
            f"User specified max allowed firmware size {size} is greater than 16MiB. If combined "
            "firwmare size exceeds 16MiB the system may not boot, or experience "
            "intermittentstability issues."
        )
    if name == "max-ram-below-4g" and size > 4 * _GIB:
        text = f"Machine option '{name}={size}' expects size less than or equal to 4G"
        raise QemuError(text)
