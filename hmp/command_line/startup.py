"""From the command line to a machine: what each option means, in QEMU's order.

QEMU first takes all options apart, then opens disks, then greets on its monitor, then makes the
machine and its devices; what is said of a wrong option and whether the greeting stands before
it follows from that.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.console_options import ConsoleOptions, MonitorOption
from hmp.command_line.debugger import DebuggerOptions
from hmp.command_line.disk_options import DiskOptions
from hmp.command_line.log_options import LogOptions
from hmp.command_line.machine_options import MachineOptions
from hmp.command_line.option_values import Blame, HelpAnswer, about
from hmp.command_line.options import FIRMWARE_OPTIONS, HOST_OPTIONS, Option
from hmp.command_line.plug_options import PlugOptions
from machine.assembly import add_default_drives, build
from machine.machine import Machine
from machine.runstate import RunState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hmp.command_line.firmware_options import FirmwareOptions
    from hmp.command_line.host_options import HostOptions
    from hmp.frontend.faulty_line import LineFaults


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
        self._machine = MachineOptions(program, complain)
        self._disks = DiskOptions(program, complain)
        self.is_paused = False
        self.loadvm: str | None = None
        self.incoming: str | None = None
        self.has_defaults = True
        self.is_deterministic = False
        self.faults: list[str] = []
        self.line_faults: LineFaults | None = None
        self.consoles = ConsoleOptions(program, complain, tell or complain)
        self.is_daemon = False
        self.pid_file: str | None = None
        self._plugs = PlugOptions(program, complain, tell or complain)
        self._host: HostOptions | None = None
        self._firmware: FirmwareOptions | None = None
        self._log = LogOptions(program, complain)
        self._debugger = DebuggerOptions(tell or complain)
        take = {
            "display": self._take_display,
            **self._machine.takers,
            **self._disks.takers,
            **self.consoles.takers,
            **self._plugs.takers,
            **dict.fromkeys(HOST_OPTIONS, self._take_host_option),
            **dict.fromkeys(FIRMWARE_OPTIONS, self._take_firmware_option),
            **self._log.takers,
            **self._debugger.takers,
        }
        for option in options:
            if option.name in take:
                take[option.name](option)
            else:
                self._take_simple(option)
        if self.loadvm is not None and self.incoming is not None:
            raise QemuError("'incoming' and 'loadvm' options are mutually exclusive")
        for name, value in self._machine.take_firmware_words().items():
            self._firmware_options().set_word(name, value)
        if self._firmware is not None:
            self._firmware.check()

    # --- options, one by one

    def _take_simple(self, option: Option) -> None:
        match option.name:
            case "deterministic":
                self.is_deterministic = True
            case "fault":
                self._take_fault(option)
            case "S":
                self.is_paused = True
            case "nodefaults":
                self.has_defaults = False
            case "loadvm":
                self.loadvm = option.value
            case "incoming":
                self.incoming = option.value
            case "only-migratable":
                self._machine.only_migratable = True
            case "daemonize":
                self.is_daemon = True
            case "pidfile":
                self.pid_file = option.value

    def _take_host_option(self, option: Option) -> None:
        if self._host is None:
            from hmp.command_line.host_options import HostOptions

            self._host = HostOptions(self.program, self._complain)
        self._host.takers[option.name](option)

    def _take_firmware_option(self, option: Option) -> None:
        self._firmware_options().takers[option.name](option)

    def _firmware_options(self) -> FirmwareOptions:
        if self._firmware is None:
            from hmp.command_line.firmware_options import FirmwareOptions

            self._firmware = FirmwareOptions(self.program, self._complain)
        return self._firmware

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

    def _take_display(self, option: Option) -> None:
        kind = option.value.split(",")[0]
        known = "default none gtk sdl egl-headless curses dbus cocoa spice-app vnc".split()
        if kind not in known and not kind.startswith("vnc="):
            text = f"Parameter 'type' does not accept value '{kind}'"
            raise about(option, QemuError(text))

    # --- the machine, in three steps

    def make_machine(self) -> Machine:
        """A machine with nothing in it.

        Raises:
            QemuError: it can't be as the options want it.
        """
        machine = self._machine.make()
        self._log.apply(machine)
        if self.is_deterministic:
            self._machine.follow_virtual_time(machine)
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
        self._disks.open(machine)
        self._machine.configure(machine)
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
        self._machine.check_processors(machine)
        build(machine)
        if self._firmware is not None:
            self._firmware.apply(machine)
        self._plugs.plug(machine, has_defaults=self.has_defaults)
        machine.reset_devices()
        self._debugger.start(machine)
        if self.faults:
            from machine.faults import apply_fault

            for fault in self.faults:
                with Blame(f"--fault {fault}"):
                    apply_fault(machine, fault)


def _load_what_saves() -> None:
    """A machine that can be saved mostly will be; nobody has to wait for the modules then."""
    import machine.migration.migrate
    import machine.migration.savevm
    import machine.snapshot  # noqa: F401
