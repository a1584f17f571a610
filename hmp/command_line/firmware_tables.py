"""Tables that the command line gives the firmware: SMBIOS and ACPI."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_groups import read_number
from hmp.command_line.option_list import parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WORD_LIMIT = 0xFFFF
_BYTE_LIMIT = 0xFF
_ACPI_HEADER = 36  # bytes
_ACPI_TEXTS = ("sig", "oem_id", "oem_table_id", "asl_compiler_id")
_ACPI_NUMBERS = {"rev": ("uint8_t", 1 << 8), "oem_rev": ("uint32_t", 1 << 32),
    "asl_compiler_rev": ("uint32_t", 1 << 32)}  # fmt: skip
_ACPI_SOURCES = ("data", "file")
# The keys of each type of structure; those that take numbers.
_SMBIOS_KEYS = {
    0: "vendor version date release uefi",
    1: "manufacturer product version serial uuid sku family",
    2: "manufacturer product version serial asset location",
    3: "manufacturer version serial asset sku",
    4: "sock_pfx manufacturer version max-speed current-speed serial asset part processor-id",
    8: "internal_reference external_reference connector_type port_type",
    11: "value path",
    17: "loc_pfx bank manufacturer serial asset part speed",
    41: "designation kind instance pcidev",
}
_SMBIOS_NUMBERS = (
    "max-speed current-speed processor-id connector_type port_type speed instance".split()
)


def check_smbios(text: str, warn: Callable[[str], object]) -> None:
    """Whether an SMBIOS option can be.

    Args:
        text: the option's value.
        warn: takes what is to be warned of.

    Raises:
        QemuError: it can't.
    """
    pairs = parse_options(text, "", warn)
    options = dict(pairs)
    if options.get("file"):
        _check_smbios_file(options)
        return
    if "type" not in options:
        raise QemuError("Must specify type= or file=")
    number = read_number(options["type"])
    if number is None:
        raise QemuError("Parameter 'type' expects a number")
    if number > _BYTE_LIMIT:
        raise QemuError("out of range!")
    if number not in _SMBIOS_KEYS:
        raise QemuError(f"Don't know how to build fields for SMBIOS type {number}")
    known = _SMBIOS_KEYS[number].split()
    for key, value in pairs:
        if key != "type" and key not in known:
            raise QemuError(f"Invalid parameter '{key}'")
        if key in _SMBIOS_NUMBERS and read_number(value) is None:
            raise QemuError(f"Parameter '{key}' expects a number")
        if key == "uefi" and value not in ("on", "off"):
            raise QemuError(f"Parameter '{key}' expects 'on' or 'off'")
    if "release" in options and not _is_release(options["release"]):
        raise QemuError("Invalid release")
    if "uuid" in options and not _is_uuid(options["uuid"]):
        raise QemuError("Invalid UUID")
    for key in ("max-speed", "current-speed"):
        if (read_number(options.get(key, "0")) or 0) > _WORD_LIMIT:
            raise QemuError(f"SMBIOS CPU speed is too large (> {_WORD_LIMIT})")
    if "path" in options:
        try:
            os.close(os.open(options["path"], os.O_RDONLY))
        except OSError as error:
            path = options["path"]
            raise QemuError(f"Could not open '{path}': {error.strerror}") from error


def _check_smbios_file(options: dict[str, str]) -> None:
    for key in options:
        if key != "file":
            raise QemuError(f"Invalid parameter '{key}'")
    try:
        size = os.stat(options["file"]).st_size
    except OSError:
        size = 0
    if not size:
        raise QemuError(f"Cannot read SMBIOS file {options['file']}")


def _is_release(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 2 and all(part.isdigit() and int(part) <= _BYTE_LIMIT for part in parts)


def _is_uuid(text: str) -> bool:
    groups = text.lower().split("-")
    digits = set("0123456789abcdef")
    return [len(group) for group in groups] == [8, 4, 4, 4, 12] and set("".join(groups)) <= digits


def check_acpi(text: str, warn: Callable[[str], object]) -> None:
    """Whether an ACPI table can be.

    Args:
        text: the option's value.
        warn: takes what is to be warned of.

    Raises:
        QemuError: it can't.
    """
    options = dict(parse_options(text, "data", warn))
    for key, value in options.items():
        if key in _ACPI_NUMBERS:
            kind, limit = _ACPI_NUMBERS[key]
            number = read_number(value)
            if number is None:
                raise QemuError(f"Parameter '{key}' expects a uint64 value")
            if number >= limit:
                raise QemuError(f"Parameter '{key}' expects {kind}")
        elif key not in (*_ACPI_TEXTS, *_ACPI_SOURCES):
            raise QemuError(f"Invalid parameter '{key}'")
    sources = [key for key in _ACPI_SOURCES if key in options]
    if len(sources) != 1:
        raise QemuError("'-acpitable' requires one of 'data' or 'file'")
    has_header = sources == ["file"]
    size = 0
    for path in options[sources[0]].split(":"):
        try:
            size += os.stat(path).st_size
        except OSError as error:
            raise QemuError(f"can't open file {path}: {error.strerror}") from error
    if has_header and size < _ACPI_HEADER:
        raise QemuError(
            "ACPI table claiming to have header is too short, "
            f"available: {size}, expected: {_ACPI_HEADER}"
        )
    whole = size if has_header else size + _ACPI_HEADER
    if whole > _WORD_LIMIT:
        raise QemuError(f"ACPI table too big, requested: {whole}, max: {_WORD_LIMIT}")
    if len(options) == 1 and not has_header:
        warn("ACPI table: no headers are specified")
