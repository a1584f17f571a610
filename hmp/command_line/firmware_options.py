"""What the command line gives the guest's firmware: a kernel, tables, files, an order to boot in.

No firmware of ours runs, so nothing is made of it; what can't be is refused as QEMU does, where
QEMU does: some of it while the options are read, the rest when the board is made.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import BareError, Blame, HelpAnswer, on_off
from hmp.command_line.options import Option
from machine.boards import boot_order_fault, bootable_letters_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.machine import Machine

_FILE_NAME_LIMIT = 55  # bytes of a fw_cfg file's name
_BIOS_UNIT = 64 << 10  # bytes
_OWN_BIOSES = ("bios.bin", "bios-256k.bin", "bios-microvm.bin", "qboot.rom")  # come with QEMU
_SETUP_SIZE = 8192  # bytes of a kernel that are looked at
_WORD_LIMIT = 0xFFFF
_BOOT_BOOLEANS = ("menu", "strict")
_BOOT_NUMBERS = ("splash-time", "reboot-timeout")
_BOOT_KEYS = ("order", "once", "splash", *_BOOT_BOOLEANS, *_BOOT_NUMBERS)


class FirmwareOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._boot: dict[str, str] = {}
        self._files: list[tuple[dict[str, str], str]] = []
        self._roms: list[str] = []
        self._words: dict[str, str] = {}
        self.takers: dict[str, Callable[[Option], None]] = {
            "boot": self._take_boot,
            "fw_cfg": lambda option: self._files.append((self._read_group(option), option.text)),
            "option-rom": self._take_rom,
            "smbios": self._take_table,
            "acpitable": self._take_table,
            **dict.fromkeys(("kernel", "append", "initrd", "dtb", "bios"), self._take_word),
        }

    def _take_word(self, option: Option) -> None:
        self.set_word("firmware" if option.name == "bios" else option.name, option.value)

    def set_word(self, name: str, value: str) -> None:
        """Set ``kernel``, ``append``, ``initrd``, ``dtb`` or ``firmware``."""
        self._words[name] = value

    def _take_boot(self, option: Option) -> None:
        from machine.keyval import parse_keyval

        if option.value in ("help", "?"):
            from hmp.command_line.option_groups import option_groups

            raise HelpAnswer(option_groups()["boot-opts"].describe())
        with Blame(option.text):
            self._boot.update(parse_keyval(option.value, "order"))

    def _take_rom(self, option: Option) -> None:
        options = self._read_group(option)
        with Blame(option.text):
            if not options.get("romfile"):
                raise QemuError("Option ROM file is not specified")
        self._roms.append(options["romfile"])

    def _take_table(self, option: Option) -> None:
        from hmp.command_line import firmware_tables

        smbios, acpi = firmware_tables.check_smbios, firmware_tables.check_acpi
        check = smbios if option.name == "smbios" else acpi
        with Blame(option.text):
            check(option.value, lambda text: self._warn(f"{option.text}: warning: {text}"))

    # --- once all options are there

    def check(self) -> None:
        """What needs no board.

        Raises:
            QemuError: a value can't be, or something makes no sense without a kernel.
        """
        for name in ("append", "initrd"):
            if name in self._words and "kernel" not in self._words:
                raise QemuError(f"-{name} only allowed with -kernel option")
        for key, value in self._boot.items():
            name = f"boot.{key}"
            if key not in _BOOT_KEYS:
                raise QemuError(f"Parameter '{name}' is unexpected")
            if key in _BOOT_BOOLEANS:
                on_off(name, value)
            elif key in _BOOT_NUMBERS and _integer(value) is None:
                raise QemuError(f"Parameter '{name}' expects integer")
        for key in ("order", "once"):
            fault = bootable_letters_fault(self._boot.get(key, ""))
            if fault:
                raise QemuError(fault)

    def apply(self, machine: Machine) -> None:
        """What a board makes of it.

        Raises:
            QemuError: something can't be read, or the board has no place for it.
        """
        if not machine.board.firmware:
            if "kernel" in self._words:
                raise QemuError(
                    "The -kernel parameter is not supported "
                    "(use the generic 'loader' device instead)."
                )
            if "once" in self._boot:
                raise QemuError("no function defined to set boot device list for this architecture")
        else:
            self._start_firmware(machine)
        names: set[str] = set()
        for options, text in self._files:
            with Blame(text):
                self._add_file(machine, options, names, text)

    def _start_firmware(self, machine: Machine) -> None:
        has_flash = machine.has_flash and machine.flash.chips
        bios = None if has_flash else self._words.get("firmware")
        if bios is not None and bios not in _OWN_BIOSES and not _is_bios(bios):
            raise BareError(f"qemu: could not load PC BIOS '{bios}'")
        if "kernel" in self._words:
            _check_kernel(self._words)
        for path in self._roms:
            if not os.path.exists(path):
                self._complain(f"Could not open option rom '{path}': No such file or directory")
        for key in ("order", "once"):
            fault = boot_order_fault(self._boot.get(key, ""))
            if fault:
                raise QemuError(fault)
        splash_time = _integer(self._boot.get("splash-time", "0"))
        if splash_time is not None and not 0 <= splash_time <= _WORD_LIMIT:
            raise QemuError("splash-time is invalid,it should be a value between 0 and 65535")
        timeout = _integer(self._boot.get("reboot-timeout", "0"))
        if timeout is not None and not -1 <= timeout <= _WORD_LIMIT:
            raise QemuError("reboot timeout is invalid,it should be a value between -1 and 65535")
        if "splash" in self._boot:
            self._check_splash(self._boot["splash"])

    def _check_splash(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                head = file.read(30)
        except OSError:
            self._warn(f"failed to find file '{path}'")
            return
        is_bitmap = head[:2] == b"BM" and head[28:30] == (24).to_bytes(2, "little")
        if head[:2] != b"\xff\xd8" and not is_bitmap:
            self._warn(f"splash file '{path}' format not recognized; must be JPEG or 24 bit BMP")

    def _add_file(
        self, machine: Machine, options: Mapping[str, str], names: set[str], text: str
    ) -> None:
        if not machine.board.firmware:
            raise QemuError("fw_cfg device not available")
        name = options.get("name", "")
        sources = [key for key in ("file", "string", "gen_id") if options.get(key)]
        if not name or len(sources) != 1:
            raise QemuError("name, plus exactly one of file, string and gen_id, are needed")
        if len(name.encode()) > _FILE_NAME_LIMIT:
            raise QemuError(f"name too long (max. {_FILE_NAME_LIMIT} char)")
        if not name.startswith("opt/"):
            self._warn(
                f"{text}: warning: externally provided fw_cfg item names should be prefixed "
                'with "opt/"'
            )
        if "gen_id" in sources:
            raise QemuError(f"Cannot find object ID '{options['gen_id']}'")
        if "file" in sources:
            try:
                with open(options["file"], "rb"):
                    pass
            except OSError as error:
                path = options["file"]
                raise QemuError(
                    f"can't load {path}: Failed to open file “{path}”: {error.strerror}"
                ) from error
        if name in names:
            raise QemuError(f"duplicate fw_cfg file name: {name}")
        names.add(name)


def _integer(text: str) -> int | None:
    """A whole number of 64 bits, or None for anything else."""
    try:
        number = int(text, 0)
    except ValueError:
        return None
    return number if -(1 << 63) <= number < 1 << 63 else None


def _is_bios(path: str) -> bool:
    try:
        size = os.stat(path).st_size
    except OSError:
        return False
    return size > 0 and size % _BIOS_UNIT == 0


def _check_kernel(words: Mapping[str, str]) -> None:
    """Whether there is something that a PC could start: Linux's boot protocol, or what came before.

    Raises:
        BareError: there is not.
    """
    path = words["kernel"]
    try:
        with open(path, "rb") as file:
            head = file.read(_SETUP_SIZE)
    except OSError as error:
        raise BareError(f"qemu: could not open kernel file '{path}': {error.strerror}") from error
    if not head:
        raise BareError(f"qemu: could not load kernel '{path}': No such file or directory")
    has_protocol = head[0x202:0x206] == b"HdrS"
    protocol = int.from_bytes(head[0x206:0x208], "little") if has_protocol else 0
    if "initrd" in words:
        if protocol < 0x200:
            raise BareError("qemu: linux kernel too old to load a ram disk")
        initrd = words["initrd"]
        try:
            with open(initrd, "rb"):
                pass
        except OSError as error:
            raise BareError(
                f"qemu: error reading initrd {initrd}: Failed to open file “{initrd}”: "
                f"{error.strerror}"
            ) from error
    if "dtb" in words and protocol < 0x209:
        raise BareError("qemu: Linux kernel too old to load a dtb")
