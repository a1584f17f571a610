"""What the command line says of character devices, and of the monitors and ports on them.

``-chardev``, ``-monitor``, ``-mon``, ``-qmp``, ``-serial``, ``-parallel``, and ``-nographic``,
which puts a monitor and the first serial port on standard input and output. All devices are
opened in the order of their options, the ports' own ones when the board is made.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_list import BadIdentifier, is_identifier, parse_options
from hmp.command_line.option_values import Blame, HelpAnswer, about, on_off
from hmp.command_line.options import Option
from machine.chardev.options import (
    HELP,
    ChardevOptions,
    LegacyWordError,
    parse_chardev,
    parse_legacy,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.chardev.device import Chardev
    from machine.machine import Machine

_HELP_WORDS = ("help", "?")
_MONITOR_KEYS = ("chardev", "id", "mode", "pretty")
READLINE, CONTROL = "readline", "control"
_PARALLEL_LIMIT = 3  # ports


class MonitorOption:
    """A monitor that an option asks for.

    Attributes:
        label: of its character device; None for one that is missing.
        mode: `READLINE` for people, `CONTROL` for QMP.
        is_pretty: QMP is to be readable.
        text: the option, for messages; "" for a monitor that comes with a serial port.
    """

    __slots__ = ("is_pretty", "label", "mode", "text")

    def __init__(self, label: str | None, text: str, *, mode: str, is_pretty: bool = False) -> None:
        self.label = label
        self.text = text
        self.mode = mode
        self.is_pretty = is_pretty

    def claim(self, machine: Machine) -> Chardev:
        """Its place on its character device.

        Raises:
            QemuError: there is none, or there can't be such a monitor.
        """
        with Blame(self.text):
            if self.mode not in (READLINE, CONTROL):
                raise QemuError(f"Parameter 'mode' does not accept value '{self.mode}'")
            if self.label is None:
                raise QemuError("Parameter 'chardev' is missing")
            chardev = machine.find_chardev(self.label)
            if chardev is None:
                raise QemuError(f'chardev "{self.label}" not found')
            if self.mode == READLINE and self.is_pretty:
                raise QemuError("'pretty' is not compatible with HMP monitors")
            return chardev.claim()


class ConsoleOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
        tell: takes a line for stdout.

    Attributes:
        monitors: those that the options ask for.
        escape_code: the key that commands a multiplexer.
    """

    def __init__(
        self, program: str, complain: Callable[[str], object], tell: Callable[[str], object]
    ) -> None:
        super().__init__(program, complain)
        self._tell = tell
        self.monitors: list[MonitorOption] = []
        self.escape_code = 0x01
        self._monitor_ids: set[str] = set()
        self._chardevs: list[tuple[ChardevOptions, str]] = []
        self._serials: list[tuple[str, str]] = []
        self._parallels: list[tuple[str, str]] = []
        self._is_nographic = False
        self._chooses_monitors = False  # whether an option says where monitors are, or aren't
        self._monitor_count = 0
        self.takers: dict[str, Callable[[Option], None]] = {
            "chardev": self._take_chardev,
            "echr": self._take_escape,
            "mon": self._take_mon,
            "monitor": self._take_monitor,
            "nographic": self._take_nographic,
            "parallel": self._take_parallel,
            "qmp": self._take_qmp,
            "qmp-pretty": self._take_qmp,
            "serial": self._take_serial,
        }

    # --- options, one by one

    def _take_nographic(self, _: Option) -> None:
        self._is_nographic = True

    def _take_escape(self, option: Option) -> None:
        """A number as C takes it, and whatever follows it."""
        digits = option.value.strip()
        base = 10
        if digits[:2].lower() == "0x":
            digits, base = digits[2:], 16
        elif digits[:1] == "0":
            base = 8
        allowed = "0123456789abcdef"[:base]
        length = next((i for i, c in enumerate(digits.lower()) if c not in allowed), len(digits))
        if not length:
            self._tell("Bad argument to echr")
        self.escape_code = int(digits[:length] or "0", base)

    def _take_chardev(self, option: Option) -> None:
        if option.value in _HELP_WORDS:
            lines = [f"  {name}" for name in HELP]
            raise HelpAnswer("\n".join(["Available chardev backend types: ", *lines]))
        with Blame(option.text):
            self._add(parse_chardev(option.value, self._reporter(option.text)), option.text)

    def _take_monitor(self, option: Option) -> None:
        self._chooses_monitors = True
        if not option.value.startswith("none"):
            self._add_monitor(option, READLINE)

    def _take_qmp(self, option: Option) -> None:
        self._chooses_monitors = True
        if option.value == "none":  # which only a monitor for people may be
            self._reporter(option.text)("'none' is not a valid char driver")
            raise about(option, QemuError("parse error: none"))
        self._add_monitor(option, CONTROL)

    def _add_monitor(self, option: Option, mode: str) -> None:
        label = f"compat_monitor{self._monitor_count}"
        if option.value.startswith("chardev:"):
            label = option.value.removeprefix("chardev:")
        else:
            report = self._reporter(option.text)
            with Blame(option.text):
                options = parse_legacy(option.value, label, report)
                try:
                    self._add(options, option.text)
                except QemuError as error:
                    report(str(error))
                    raise QemuError(f"parse error: {option.value}") from error
        self._note_id(label, option)
        is_pretty = option.name == "qmp-pretty"
        self.monitors.append(MonitorOption(label, option.text, mode=mode, is_pretty=is_pretty))
        self._monitor_count += 1

    def _take_mon(self, option: Option) -> None:
        self._chooses_monitors = True

        def warn(text: str) -> None:
            self._warn(f"{option.text}: warning: {text}")

        pairs = parse_options(option.value, "chardev", warn)
        found = dict(pairs)
        for key in found:
            if key not in _MONITOR_KEYS:
                raise about(option, QemuError(f"Invalid parameter '{key}'"))
        ids = [value for key, value in pairs if key == "id"]
        if ids:
            if not is_identifier(ids[0]):
                raise about(option, BadIdentifier())
            self._note_id(ids[0], option)
        with Blame(option.text):
            is_pretty = on_off("pretty", found.get("pretty", "off"))
        self.monitors.append(
            MonitorOption(
                found.get("chardev"),
                option.text,
                mode=found.get("mode", READLINE),
                is_pretty=is_pretty,
            )
        )

    def _take_serial(self, option: Option) -> None:
        self._serials.append((option.value, option.text))
        if option.value.startswith("mon:"):
            self._chooses_monitors = True

    @property
    def _has_stdio(self) -> bool:
        """Whether an option takes standard input and output."""
        words = [word for word, _ in (*self._serials, *self._parallels)]
        return "stdio" in (*words, *(options.backend for options, _ in self._chardevs))

    def _take_parallel(self, option: Option) -> None:
        self._parallels.append((option.value, option.text))

    def _reporter(self, text: str) -> Callable[[str], object]:
        return lambda line: self._warn(f"{text}: {line}")

    def _add(self, options: ChardevOptions, text: str) -> None:
        if any(other.label == options.label for other, _ in self._chardevs):
            raise QemuError(f"Duplicate ID '{options.label}' for chardev")
        self._chardevs.append((options, text))

    def _note_id(self, id: str, option: Option) -> None:
        if id in self._monitor_ids:
            raise about(option, QemuError(f"Duplicate ID '{id}' for mon"))
        self._monitor_ids.add(id)

    # --- devices

    def check_daemon(self) -> None:
        """Raises: QemuError: something is to be on a terminal, which a daemon has not."""
        for options, text in self._chardevs:
            if options.backend == "stdio":
                raise QemuError(f"{text}: cannot use stdio with -daemonize")
        if self._is_nographic:
            raise QemuError("-nographic cannot be used with -daemonize")

    def add_defaults(self, machine: Machine, *, has_defaults: bool, usual_monitor: str) -> None:
        """Add what the user said nothing of.

        Args:
            has_defaults: no option forbids that.
            usual_monitor: where the monitor is if no option says so; "" for nowhere.
        """
        has_ports = has_defaults and bool(machine.board.buses)
        has_monitor = has_defaults and not self._chooses_monitors
        monitor, serial, parallel = "vc", "vc", "vc"
        if self._is_nographic:
            shares = has_ports and has_monitor and not self._serials
            monitor, serial, parallel = "" if shares else "stdio", "stdio", "null"
            serial = "mon:stdio" if shares else "stdio"
        elif not (self._chooses_monitors or self._has_stdio) and usual_monitor:
            monitor, has_monitor = usual_monitor, True
        if has_monitor and monitor:
            self._add_monitor(Option("monitor", monitor, ""), READLINE)
        if has_ports and not self._serials:
            self._serials.append((serial, ""))
        if has_ports and not self._parallels:
            self._parallels.append((parallel, ""))

    def open_chardevs(self, machine: Machine) -> None:
        """The devices of all options but the ports'.

        Raises:
            QemuError: one can't be opened.
        """
        from machine.chardev.plug import add_chardev

        machine.escape_code = self.escape_code
        for options, text in self._chardevs:
            machine.location = f"{text}: " if text else ""
            with Blame(text):
                add_chardev(machine, options, self._tell)
        machine.location = ""

    def open_ports(self, machine: Machine, serve: Callable[[MonitorOption], object]) -> None:
        """The devices of serial and parallel ports.

        Args:
            serve: takes a monitor that comes with one.

        Raises:
            QemuError: one can't be opened.
        """
        for index, (word, text) in enumerate(self._serials):
            chardev = None
            if word != "none":
                chardev = self._open_port(machine, f"serial{index}", word, text, serve)
            machine.serials.append(chardev)
        index = 0
        for word, text in self._parallels:
            if word == "none":
                continue
            if index == _PARALLEL_LIMIT:
                raise QemuError(f"{text}: too many parallel ports")
            chardev = self._open_port(machine, f"parallel{index}", word, text, serve)
            index += 1
            if "ISA" in machine.board.buses and machine.board.properties != "microvm":
                chardev.claim()
                machine.parallel_count += 1

    def _open_port(
        self,
        machine: Machine,
        label: str,
        word: str,
        text: str,
        serve: Callable[[MonitorOption], object],
    ) -> Chardev:
        from machine.chardev.plug import add_chardev

        report = self._reporter(text) if text else machine.report
        chardev: Chardev | None = None
        try:
            if word.startswith("chardev:"):
                chardev = machine.find_chardev(word.removeprefix("chardev:"))
            else:
                options = parse_legacy(word, label, report)
                machine.location = f"{text}: " if text else ""
                chardev = add_chardev(machine, options, self._tell)
                if options.mux:
                    serve(MonitorOption(label, text, mode=READLINE))
        except LegacyWordError:
            pass  # what is wrong in it was reported
        except QemuError as error:
            report(str(error))
        machine.location = ""
        if chardev is None:
            kind = label.rstrip("0123456789")
            before = f"{text}: " if text else ""
            raise QemuError(
                f"{before}could not connect {kind} device to character backend '{word}'"
            )
        return chardev
