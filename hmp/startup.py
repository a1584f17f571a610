"""From the command line to a machine: what each option means, in QEMU's order.

QEMU first takes all options apart, then opens disks, then greets on its monitor, then makes the
machine and its devices; what is said of a wrong option and whether the greeting stands before
it follows from that.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.console_options import ConsoleOptions, MonitorOption
from hmp.log_options import LogOptions
from hmp.option_list import BadIdentifier, is_identifier, parse_options
from hmp.option_values import Blame, HelpAnswer, about, from_json, read_date
from hmp.options import FIRMWARE_OPTIONS, HOST_OPTIONS, Option
from hmp.plug_options import PlugOptions
from hmp.scanner import Scanner
from hmp.size import SIZE_HINT, read_size
from machine.assembly import add_default_drives, build
from machine.boards import BOARDS, Board, find_board
from machine.drive_options import NO_NODE
from machine.machine import Machine
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from hmp.firmware_options import FirmwareOptions
    from hmp.frontend.faulty_line import LineFaults
    from hmp.host_options import HostOptions

_SHORT_DRIVES = {
    "": ("ide", 0, "disk"),
    "hda": ("ide", 0, "disk"),
    "hdb": ("ide", 1, "disk"),
    "hdc": ("ide", 2, "disk"),
    "hdd": ("ide", 3, "disk"),
    "cdrom": ("ide", 2, "cdrom"),
    "fda": ("floppy", 0, "disk"),
    "fdb": ("floppy", 1, "disk"),
    "pflash": ("pflash", None, "disk"),
    "mtdblock": ("mtd", None, "disk"),
    "sd": ("sd", None, "disk"),
}
_MAX_RAM = 1 << 63


class Startup:
    """The meaning of a command line.

    Args:
        options: the options in order.
        program: what begins a message on stderr.
        complain: takes a line for stderr, such as a warning.
        tell: takes a line for stdout; None gives them to `complain`.

    Attributes:
        consoles: character devices, and the monitors and ports on them.
        loadvm: the snapshot to begin with; None for none.
        incoming: where the machine comes from; None for a machine that begins here.
        is_paused: ``-S``.
        is_daemon: ``-daemonize``.
        pid_file: where the number of the process is to be written; None for nowhere.

    Raises:
        QemuError: an option's value can't be; the message begins with the option's text where
            QEMU's does.
    """

    def __init__(
        self,
        options: Sequence[Option],
        *,
        program: str,
        complain: Callable[[str], object],
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self.program = program
        self._complain = complain
        self._machine_options: dict[str, Any] = {}
        self._has_usb = False
        self.ram_size: int | None = None
        self._smp: dict[str, Any] = {}
        self.cpu_model = ""
        self.name = ""
        self.uuid = "00000000-0000-0000-0000-000000000000"
        self.is_paused = False
        self.loadvm: str | None = None
        self.incoming: str | None = None
        self.has_defaults = True
        self.snapshot = False
        self.is_deterministic = False
        self.faults: list[str] = []
        self.line_faults: LineFaults | None = None
        self.switches: dict[str, bool] = {}
        self._rtc_base: int | None = None
        self._rtc_is_local = False
        self._rtc_follows_guest = False
        self._migration_globals: list[tuple[str, str]] = []
        self._nodes: list[tuple[dict[str, str], str]] = []
        self._drives: list[tuple[dict[str, str], str]] = []
        self.consoles = ConsoleOptions(program, complain, tell or complain)
        self.is_daemon = False
        self.pid_file: str | None = None
        self._plugs = PlugOptions(program, complain, tell or complain)
        self._host: HostOptions | None = None
        self._firmware: FirmwareOptions | None = None
        self._log = LogOptions(program, complain)
        take = {
            "M": self._take_machine,
            "machine": self._take_machine,
            "m": self._take_memory,
            "smp": self._take_smp,
            "name": self._take_name,
            "uuid": self._take_uuid,
            "drive": self._take_drive,
            "blockdev": self._take_node,
            "global": self._take_global,
            "accel": self._take_accelerator,
            "display": self._take_display,
            "rtc": self._take_rtc,
            **self.consoles.takers,
            **self._plugs.takers,
            **dict.fromkeys(HOST_OPTIONS, self._take_host_option),
            **dict.fromkeys(FIRMWARE_OPTIONS, self._take_firmware_option),
            **self._log.takers,
        }
        for option in options:
            if option.name in take:
                take[option.name](option)
            elif option.name in _SHORT_DRIVES:
                self._take_short_drive(option)
            else:
                self._take_simple(option)
        if self.loadvm is not None and self.incoming is not None:
            raise QemuError("'incoming' and 'loadvm' options are mutually exclusive")
        if self._firmware is not None:
            self._firmware.check()

    # --- options, one by one

    def _options(self, option: Option, first: str = "") -> dict[str, str]:
        """An option's list of values; of one given twice the later counts."""

        def warn(text: str) -> None:
            self._complain(f"{self.program}: {option.text}: warning: {text}")

        pairs = parse_options(option.value, first, warn)
        found = dict(pairs)
        ids = [value for key, value in pairs if key == "id"]
        if ids:
            found["id"] = ids[0]  # of ids the first counts
        if "id" in found and not is_identifier(found["id"]):
            raise about(option, BadIdentifier())
        return found

    def _take_simple(self, option: Option) -> None:
        match option.name:
            case "deterministic":
                self.is_deterministic = True
            case "fault":
                self._take_fault(option)
            case "S":
                self.is_paused = True
            case "usb":
                self._has_usb = True
            case "snapshot":
                self.snapshot = True
            case "nodefaults":
                self.has_defaults = False
            case "loadvm":
                self.loadvm = option.value
            case "incoming":
                self.incoming = option.value
            case "only-migratable":
                self.switches["only-migratable"] = True
            case "daemonize":
                self.is_daemon = True
            case "pidfile":
                self.pid_file = option.value
            case "cpu":
                self.cpu_model = option.value.split(",")[0]

    def _take_host_option(self, option: Option) -> None:
        if self._host is None:
            from hmp.host_options import HostOptions

            self._host = HostOptions(self.program, self._complain)
        self._host.takers[option.name](option)

    def _take_firmware_option(self, option: Option) -> None:
        if self._firmware is None:
            from hmp.firmware_options import FirmwareOptions

            self._firmware = FirmwareOptions(self.program, self._complain)
        self._firmware.takers[option.name](option)

    def _take_fault(self, option: Option) -> None:
        from hmp.frontend.faulty_line import FAULTS, LineFaults
        from machine.faults import describe_faults

        if option.value in ("help", "?"):
            raise HelpAnswer("\n".join(describe_faults(FAULTS)))
        faults = self.line_faults or LineFaults()
        with Blame(option.text):
            if faults.take(option.value):
                self.line_faults = faults
            else:
                self.faults.append(option.value)

    def _take_machine(self, option: Option) -> None:
        from machine.keyval import parse_keyval

        words = option.value.split(",")
        asks_for_help = "help" in words or "?" in words
        with Blame(option.text):
            text = ",".join(word for word in words if word not in ("help", "?"))
            self._machine_options.update(parse_keyval(text, "type"))
        if asks_for_help:
            self._explain_machine()

    def _explain_machine(self) -> None:
        """Raises: HelpAnswer: the options of the machine type, if that is known by now."""
        name = self._machine_options.get("type")
        board = None if name is None else find_board(name)
        if board is None:
            from machine.board_list import describe_boards

            raise HelpAnswer("\n".join(describe_boards()))
        from machine.board_options import describe_options

        raise HelpAnswer("\n".join(describe_options(board)))

    def _configure_board(self, machine: Machine) -> None:
        """Make the board what the options of ``-M`` and ``-smp`` want it to be.

        Raises:
            QemuError: it has no such option, or it can't have this value.
        """
        board = machine.board
        options = {key: value for key, value in self._machine_options.items() if key != "type"}
        topology = None
        if self._smp or "smp" in options:
            from machine.topology import Topology

            numbers = options.get("smp", {})
            if not isinstance(numbers, dict):
                raise QemuError("Invalid parameter type for 'smp', expected: object")
            topology = Topology(board, {**numbers, **self._smp})
            for warning in topology.warnings:
                self._complain(f"{self.program}: {warning}")
        if self._has_usb:
            options.setdefault("usb", "on")
        kind = options.pop("accel", None)
        if options:
            from machine.board_options import configured

            board = configured(board, options)
            memory = options.get("memory", {})
            if "size" in memory and self.ram_size is None:
                machine.ram_size = _read_memory(memory["size"])
        if "suppress-vmdesc" in options:
            machine.switches["suppress-vmdesc"] = options["suppress-vmdesc"] == "on"
        if kind is not None:
            _check_accelerator(kind)
        if topology is not None or board is not machine.board:
            machine.fit(board, topology)

    def _take_memory(self, option: Option) -> None:
        options = self._options(option, "size")
        text = options.get("size", "")
        if "slots" in options or "maxmem" in options:
            raise QemuError("slots specified but no max-size")
        scanner = Scanner(text)
        size = read_size(scanner, "M")
        bare_fraction = "." in text and text[-1:].isdigit()
        if size is None or not scanner.at_end or bare_fraction:
            raise about(option, QemuError(f"Parameter 'size' {SIZE_HINT}"))
        if size.value >= _MAX_RAM:
            raise QemuError("Parameter 'memory.size' expects size")
        self.ram_size = size.value

    def _take_smp(self, option: Option) -> None:
        from machine.keyval import parse_keyval
        from machine.topology import HELP

        if option.value in ("help", "?"):
            raise HelpAnswer("\n".join(HELP))
        with Blame(option.text):
            self._smp.update(parse_keyval(option.value, "cpus"))

    def _take_name(self, option: Option) -> None:
        for key, value in self._options(option, "guest").items():
            if key == "guest":
                self.name = value
            elif key not in ("process", "debug-threads"):
                raise about(option, QemuError(f"Invalid parameter '{key}'"))

    def _take_uuid(self, option: Option) -> None:
        digits = option.value.lower()
        groups = digits.split("-")
        hexadecimal = all(c in "0123456789abcdef-" for c in digits)
        if [len(group) for group in groups] != [8, 4, 4, 4, 12] or not hexadecimal:
            raise about(option, QemuError("failed to parse UUID string: wrong format"))
        self.uuid = digits

    def _take_drive(self, option: Option) -> None:
        self._drives.append((self._options(option), option.text))

    def _take_short_drive(self, option: Option) -> None:
        interface, index, media = _SHORT_DRIVES[option.name]
        options = {"if": interface, "media": media, "file": option.value}
        if index is not None:
            options["index"] = str(index)
        # These ask for the board's usual interface, whatever that is.
        if interface == "ide":
            del options["if"]
        self._drives.append((options, option.text))

    def _take_node(self, option: Option) -> None:
        if option.value.startswith("{"):
            options = from_json(option)
        else:
            options = self._options(option, "driver")
        if options.get("backing") == "":
            self._complain(
                f'{self.program}: {option.text}: warning: Use of "backing": "" is deprecated; '
                'use "backing": null instead'
            )
            options["backing"] = NO_NODE
        self._nodes.append((options, option.text))

    def _take_global(self, option: Option) -> None:
        head, equals, value = option.value.partition("=")
        driver, dot, name = head.partition(".")
        if not (equals and dot):
            found = self._options(option)
            if {"driver", "property", "value"} - set(found):
                unknown = next(iter(found), "")
                raise about(option, QemuError(f"Invalid parameter '{unknown}'"))
            driver, name, value = found["driver"], found["property"], found["value"]
        if driver != "migration":
            return  # settings of devices that aren't simulated
        self._migration_globals.append((name, value))

    def _take_accelerator(self, option: Option) -> None:
        kind = self._options(option, "accel").get("accel", "tcg")
        with Blame(option.text):
            _check_accelerator(kind)

    def _take_display(self, option: Option) -> None:
        kind = option.value.split(",")[0]
        known = "default none gtk sdl egl-headless curses dbus cocoa spice-app vnc".split()
        if kind not in known and not kind.startswith("vnc="):
            text = f"Parameter 'type' does not accept value '{kind}'"
            raise about(option, QemuError(text))

    def _take_rtc(self, option: Option) -> None:
        for key, value in self._options(option).items():
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
            elif key != "driftfix":
                raise about(option, QemuError(f"Invalid parameter '{key}'"))

    # --- the machine, in three steps

    def make_machine(self) -> Machine:
        """A machine with nothing in it.

        Raises:
            QemuError: there is no such board, or a migration can't have such settings.
        """
        name = self._machine_options.get("type")
        board = _default_board() if name is None else find_board(name)
        if board is None:
            raise QemuError(
                "unsupported machine type\nUse -machine help to list supported machines"
            )
        if board.is_deprecated:
            self._complain(
                f"{self.program}: warning: Machine type '{board.name}' is deprecated: old and "
                "unattended - use a newer version instead"
            )
        machine = Machine(
            board,
            ram_size=self.ram_size,
            name=self.name,
            uuid=self.uuid,
            program=self.program,
        )
        self._log.apply(machine)
        if self.is_deterministic:
            machine.follow_virtual_time(self._rtc_base)
        machine.switches.update(self.switches)
        machine.set_rtc(
            base=self._rtc_base,
            is_local=self._rtc_is_local,
            follows_guest=self._rtc_follows_guest,
        )
        if self._migration_globals:
            from hmp.migration_globals import apply

            for name, value in self._migration_globals:
                apply(machine, name, value)
        return machine

    def open_drives(self, machine: Machine) -> None:
        """Nodes, drives and other back ends, before the monitor greets.

        Raises:
            QemuError: one can't be opened.
        """
        if self.incoming is not None:
            machine.set_runstate(RunState.INMIGRATE)
            machine.graph.opens_inactive = True
        machine.autostart = not self.is_paused
        if self._host is not None:
            self._host.apply(machine)
        self._plugs.make_objects(machine)
        self.consoles.open_chardevs(machine)
        for options, text in self._nodes:
            with Blame(text):
                machine.drives.add_node(options)
        for options, text in self._drives:
            with Blame(text):
                machine.drives.add(options, text=text, snapshot=self.snapshot)
        self._configure_board(machine)
        if self.has_defaults:
            models = [options["driver"] for options, _ in self._plugs.device_options]
            add_default_drives(machine, models)
        if any(node.has_snapshots for node in machine.graph.nodes.values()):
            _load_what_saves()
        self._plugs.connect_network(machine, has_defaults=self.has_defaults)

    def build_machine(self, machine: Machine, serve: Callable[[MonitorOption], object]) -> None:
        """Memory, processors and devices, after the monitor has greeted.

        Args:
            serve: takes a monitor that comes with a port.

        Raises:
            QemuError: the board can't be made, or a device doesn't fit.
        """
        self.consoles.open_ports(machine, serve)
        self._check_processors(machine)
        build(machine)
        if self._firmware is not None:
            self._firmware.apply(machine)
        self._plugs.plug(machine, has_defaults=self.has_defaults)
        machine.reset_devices()
        if self.faults:
            from machine.faults import apply_fault

            for fault in self.faults:
                with Blame(f"--fault {fault}"):
                    apply_fault(machine, fault)

    def _check_processors(self, machine: Machine) -> None:
        """What is found out only when they are made.

        Raises:
            QemuError: they are too many.
        """
        topology = machine.topology
        if topology is None or not machine.board.has_apic:
            return
        topology.check_apics()
        if topology.threads > 1:
            self._complain(
                f"{self.program}: warning: This family of AMD CPU doesn't support "
                f"hyperthreading({topology.threads})\n"
                "Please configure -smp options properly or try enabling topoext feature."
            )


def _load_what_saves() -> None:
    """A machine that can be saved mostly will be; nobody has to wait for the modules then."""
    import machine.migration.migrate
    import machine.migration.savevm
    import machine.snapshot  # noqa: F401


def _default_board() -> Board:
    return BOARDS[-1]


def _read_memory(text: str) -> int:
    from machine.memory import PAGE_SIZE
    from machine.schema import read_size

    size = read_size(text)
    if size is None or size >= _MAX_RAM:
        raise QemuError("Parameter 'memory.size' expects size")
    return -(-size // PAGE_SIZE) * PAGE_SIZE


def _check_accelerator(name: str) -> None:
    if name not in ("tcg", "kvm", "xen", "hax", "hvf", "nvmm", "whpx"):
        raise QemuError(f"invalid accelerator {name}")
