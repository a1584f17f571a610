"""What the machine is to be: ``-M``, ``-m``, ``-smp``, ``-cpu``, ``-accel``, ``-rtc``, names.

Each option is taken apart as it comes; what they mean together is found out when the machine is
made, and what only its devices can tell, when those are.
"""

from __future__ import annotations

from functools import partial

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_list import parse_options
from hmp.command_line.option_values import Blame, HelpAnswer, about, on_off, read_date
from hmp.command_line.options import Option
from hmp.scanner import Scanner
from hmp.size import SIZE_HINT, read_size
from machine.boards import BOARDS, Board, find_board
from machine.machine import Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hmp.command_line.accelerators import Accelerators
    from hmp.command_line.processor_option import ProcessorOption
    from machine.numa import Numa

_MAX_RAM = 1 << 63
_MOST_SLOTS = 256
FIRMWARE_WORDS = ("kernel", "append", "initrd", "dtb", "firmware")
# What was an option of machines once, and goes on to an accelerator that isn't here.
_OF_ACCELERATORS = (
    "kernel-irqchip",
    "kernel_irqchip",
    "kvm-shadow-mem",
    "kvm_shadow_mem",
    "igd-passthru",
)
_SWITCHES = {
    "usb": ("usb", "on"),
    "no-acpi": ("acpi", "off"),
    "no-hpet": ("hpet", "off"),
    "enable-kvm": ("accel", "kvm"),
}


class MachineOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.

    Attributes:
        only_migratable: ``-only-migratable``.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._options: dict[str, Any] = {}
        self._switches: dict[str, str] = {}
        self._smp: dict[str, Any] = {}
        self._ram_size: int | None = None
        self._memory_limits: tuple[int, int] | None = None  # slots, bytes
        self._processor: ProcessorOption | None = None
        self._nodes: list[tuple[list[tuple[str, str]], str]] = []
        self._accelerators: Accelerators | None = None
        self._name = ""
        self._uuid = "00000000-0000-0000-0000-000000000000"
        self._rtc_base: int | None = None
        self._rtc_is_local = False
        self._rtc_follows_guest = False
        self._migration_globals: list[tuple[str, str]] = []
        self._globals: list[tuple[str, str]] = []  # of devices
        self.only_migratable = False
        self.takers: dict[str, Callable[[Option], None]] = {
            "M": self._take_machine,
            "machine": self._take_machine,
            "m": self._take_memory,
            "smp": self._take_smp,
            "cpu": self._take_processor,
            "numa": self._take_nodes,
            "accel": self._take_accelerator,
            "name": self._take_name,
            "uuid": self._take_uuid,
            "rtc": self._take_rtc,
            "global": self._take_global,
            **dict.fromkeys(_SWITCHES, self._take_switch),
        }

    def _take_machine(self, option: Option) -> None:
        from machine.keyval import parse_keyval

        words = option.value.split(",")
        asks_for_help = "help" in words or "?" in words
        with Blame(option.text):
            text = ",".join(word for word in words if word not in ("help", "?"))
            self._options.update(parse_keyval(text, "type"))
        for name in _OF_ACCELERATORS:
            self._options.pop(name, None)
        if asks_for_help:
            self._explain_machine()

    def _explain_machine(self) -> None:
        """Raises: HelpAnswer: the options of the machine type, if that is known by now."""
        name = self._options.get("type")
        board = None if name is None else find_board(name)
        if board is None:
            from machine.board_list import describe_boards

            raise HelpAnswer("\n".join(describe_boards()))
        from machine.board_options import describe_options

        raise HelpAnswer("\n".join(describe_options(board)))

    def _take_switch(self, option: Option) -> None:
        name, value = _SWITCHES[option.name]
        self._switches[name] = value

    def _take_memory(self, option: Option) -> None:
        from hmp.command_line.option_groups import option_groups, read_number

        options = self._read(option, "size")
        known = {key.name: key for key in option_groups()["memory"].keys}
        for name, value in options.items():
            if name not in known:
                raise about(option, QemuError(f"Invalid parameter '{name}'"))
            if name != "size":
                with Blame(option.text):
                    known[name].check(value)
        text = options.get("size", "")
        if text:
            scanner = Scanner(text)
            size = read_size(scanner, "M")
            bare_fraction = "." in text and text[-1:].isdigit()
            if size is None or not scanner.at_end or bare_fraction:
                raise about(option, QemuError(f"Parameter 'size' {SIZE_HINT}"))
            if size.value >= _MAX_RAM:
                raise QemuError("Parameter 'memory.size' expects size")
            self._ram_size = size.value
        slots = read_number(options.get("slots", "0")) or 0
        if "maxmem" in options:
            most = read_size(Scanner(options["maxmem"]), "b")
            assert most is not None, "it was checked"
            self._memory_limits = slots, most.value
        elif slots:
            raise QemuError("slots specified but no max-size")

    def _take_smp(self, option: Option) -> None:
        from machine.keyval import parse_keyval
        from machine.topology import HELP

        if option.value in ("help", "?"):
            raise HelpAnswer("\n".join(HELP))
        with Blame(option.text):
            self._smp.update(parse_keyval(option.value, "cpus"))

    def _take_processor(self, option: Option) -> None:
        from hmp.command_line.processor_option import ProcessorOption

        self._processor = ProcessorOption(option.value)

    def _take_nodes(self, option: Option) -> None:
        warn = partial(self._warn_of, option.text)
        self._nodes.append((parse_options(option.value, "type", warn), option.text))

    def _warn_of(self, option_text: str, text: str) -> None:
        self._warn(f"{option_text}: warning: {text}")

    def _take_accelerator(self, option: Option) -> None:
        if self._accelerators is None:
            from hmp.command_line.accelerators import Accelerators

            self._accelerators = Accelerators(self._program, self._complain)
        self._accelerators.take(option)

    def _take_name(self, option: Option) -> None:
        for key, value in self._read(option, "guest").items():
            if key == "guest":
                self._name = value
            elif key == "debug-threads":
                with Blame(option.text):
                    on_off(key, value)
            elif key != "process":
                raise about(option, QemuError(f"Invalid parameter '{key}'"))

    def _take_uuid(self, option: Option) -> None:
        digits = option.value.lower()
        groups = digits.split("-")
        hexadecimal = all(c in "0123456789abcdef-" for c in digits)
        if [len(group) for group in groups] != [8, 4, 4, 4, 12] or not hexadecimal:
            raise about(option, QemuError("failed to parse UUID string: wrong format"))
        self._uuid = digits

    def _take_rtc(self, option: Option) -> None:
        for key, value in self._read(option).items():
            if key == "base":
                self._rtc_is_local = value == "localtime"
                self._rtc_base = None
                if value not in ("utc", "localtime"):
                    self._rtc_base = read_date(value)
                    if self._rtc_base is None:
                        raise QemuError(
                            "invalid datetime format\n"
                            "valid formats: '2006-06-17T16:01:21' or '2006-06-17'"
                        )
            elif key == "clock":
                if value not in ("host", "rt", "vm"):
                    raise QemuError(f"invalid option value '{value}'")
                self._rtc_follows_guest = value == "vm"
            elif key == "driftfix":
                if value not in ("none", "slew"):
                    raise QemuError(f"invalid option value '{value}'")
            else:
                raise about(option, QemuError(f"Invalid parameter '{key}'"))

    def _take_global(self, option: Option) -> None:
        head, equals, value = option.value.partition("=")
        driver, dot, name = head.partition(".")
        if not (equals and dot):
            found = self._read_group(option)
            if {"driver", "property", "value"} - set(found):
                text = "options 'driver', 'property', and 'value' are required"
                raise about(option, QemuError(text))
            driver, name, value = found["driver"], found["property"], found["value"]
        if driver == "migration":
            self._migration_globals.append((name, value))
        else:
            self._globals.append((driver, name))

    def take_firmware_words(self) -> dict[str, str]:
        """What ``-M`` says of the firmware, which others make something of."""
        given = [name for name in FIRMWARE_WORDS if isinstance(self._options.get(name), str)]
        return {name: self._options.pop(name) for name in given}

    # --- the machine

    def make(self) -> Machine:
        """A machine with nothing in it.

        Raises:
            QemuError: there is no such board, or it can't be as the options want it.
        """
        name = self._options.get("type")
        board = _default_board() if name is None else find_board(name)
        if board is None:
            raise QemuError(
                "unsupported machine type\nUse -machine help to list supported machines"
            )
        if board.is_deprecated:
            self._warn(
                f"warning: Machine type '{board.name}' is deprecated: old and "
                "unattended - use a newer version instead"
            )
        machine = Machine(
            board,
            ram_size=self._ram_size,
            name=self._name,
            uuid=self._uuid,
            program=self._program,
        )
        machine.switches["only-migratable"] = self.only_migratable
        machine.set_rtc(
            base=self._rtc_base,
            is_local=self._rtc_is_local,
            follows_guest=self._rtc_follows_guest,
        )
        if self._migration_globals:
            from hmp.command_line.migration_globals import apply

            for setting, value in self._migration_globals:
                apply(machine, setting, value)
        return machine

    def follow_virtual_time(self, machine: Machine) -> None:
        """Let no clock of the host be seen; the date begins where ``-rtc`` says."""
        machine.follow_virtual_time(self._rtc_base)

    def configure(self, machine: Machine) -> None:
        """Make the board what the options of ``-M`` and ``-smp`` want it to be.

        Raises:
            QemuError: it has no such option, or it can't have this value.
        """
        board = machine.board
        options = {key: value for key, value in self._options.items() if key != "type"}
        topology = None
        if self._smp or "smp" in options:
            from machine.topology import Topology

            numbers = options.get("smp", {})
            if not isinstance(numbers, dict):
                raise QemuError("Invalid parameter type for 'smp', expected: object")
            topology = Topology(board, {**numbers, **self._smp})
            for warning in topology.warnings:
                self._warn(warning)
        options = {**self._switches, **options}
        accelerators = options.pop("accel", None)
        if options:
            from machine.board_options import FLASH_OPTIONS, configured

            board = configured(board, options)
            for place, name in enumerate(FLASH_OPTIONS):
                if options.get(name):
                    machine.flash.take_disk(place, options[name])
            memory = options.get("memory", {})
            if "size" in memory and self._ram_size is None:
                machine.ram_size = _read_memory(memory["size"])
        if "suppress-vmdesc" in options:
            machine.switches["suppress-vmdesc"] = options["suppress-vmdesc"] == "on"
        if self._accelerators is not None or accelerators is not None:
            from hmp.command_line.accelerators import Accelerators

            chosen = self._accelerators or Accelerators(self._program, self._complain)
            chosen.choose(accelerators)
        if topology is not None or board is not machine.board:
            machine.fit(board, topology)
        if self._memory_limits is not None:
            _check_memory_limits(*self._memory_limits, machine.ram_size)

    def check_globals(self) -> None:
        """Warn of properties whose class is none of a device."""
        if not self._globals:
            return
        from machine.qom.known_types import known_types

        types = known_types()
        for driver, name in self._globals:
            known = types.find(driver)
            if known is None or not types.is_a(known, "device"):
                self._warn(f"warning: global {driver}.{name} has invalid class name")

    def check_processors(self, machine: Machine) -> None:
        """What is found out only when they are made.

        Raises:
            QemuError: they are too many, or can't be as ``-cpu`` wants them.
        """
        numa = self._make_nodes(machine) if self._nodes else None
        if self._processor is not None:
            self._processor.apply(machine)
        if numa is not None:
            numa.complete(lambda text: self._warn(f"warning: {text}"))
        if self._memory_limits is not None and machine.board.has_cpu:
            slots = self._memory_limits[0]
            if slots > _MOST_SLOTS:
                raise QemuError(f"unsupported amount of memory slots: {slots}")
        topology = machine.topology
        if topology is None or not machine.board.has_apic:
            return
        topology.check_apics()
        if topology.threads > 1:
            self._warn(
                f"warning: This family of AMD CPU doesn't support "
                f"hyperthreading({topology.threads})\n"
                "Please configure -smp options properly or try enabling topoext feature."
            )

    def _make_nodes(self, machine: Machine) -> Numa:
        from machine.numa import Numa

        machine.numa = Numa(machine)
        for pairs, text in self._nodes:
            with Blame(text):
                machine.numa.take(pairs, partial(self._warn_of, text))
        return machine.numa


def _check_memory_limits(slots: int, most: int, ram_size: int) -> None:
    """Raises: QemuError: the most memory that there may be is less than there is."""
    if most < ram_size:
        raise QemuError(
            f"invalid value of maxmem: maximum memory size ({most:#x}) must be at least the "
            f"initial memory size ({ram_size:#x})"
        )
    if slots and most == ram_size:
        raise QemuError(
            "invalid value of maxmem: memory slots were specified but maximum memory size "
            f"({most:#x}) is equal to the initial memory size ({ram_size:#x})"
        )


def _default_board() -> Board:
    return BOARDS[-1]


def _read_memory(text: str) -> int:
    from machine.memory import PAGE_SIZE
    from machine.schema import read_size

    size = read_size(text)
    if size is None or size >= _MAX_RAM:
        raise QemuError("Parameter 'memory.size' expects size")
    return -(-size // PAGE_SIZE) * PAGE_SIZE
