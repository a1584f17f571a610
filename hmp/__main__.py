"""The program: options, a machine, a front end, an exit status."""

from __future__ import annotations

import os
import sys

from blockdev.errors import QemuError
from hmp import __version__
from hmp.command_line.console_options import CONTROL, MonitorOption
from hmp.command_line.option_values import BareError, Blame, HelpAnswer
from hmp.command_line.options import Option, parse
from hmp.command_line.startup import Startup
from hmp.frontend.choice import PLAIN, RICH, SCRIPT, choose_front_end
from hmp.frontend.descriptors import fill_gaps
from hmp.frontend.script_options import recorded_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hmp.command import CommandTable
    from hmp.daemon import Daemon, PidFile
    from hmp.settings import Settings
    from machine.machine import Machine

# QEMU calls itself as it was called, and so do we where it is called that.
_CALLED = os.path.basename(sys.argv[0])
PROGRAM = _CALLED if _CALLED.startswith("qemu") else "hmp"
_OPTIONS_OF_THE_FRONT_END = frozenset(
    "ui config yes lab c json record replay check deterministic fault".split()
)
# A small PC whose date goes back with the machine, and whose serial port can be read from here.
_DEMONSTRATION = (
    "-M isapc -m 16 -name demo -nodefaults -vga std -rtc clock=vm "
    "-chardev ringbuf,id=serial0,size=65536 -serial chardev:serial0"
).split()
_TICKING_GUEST = "hmp-guest,disk=disk0"


def main() -> int:
    """Run the program with its own command line; the exit status."""
    fill_gaps()
    try:
        return run(sys.argv[1:])
    except HelpAnswer as answer:
        if str(answer):
            _tell(str(answer))
        return answer.status
    except BareError as error:
        _complain(str(error))
        return 1
    except QemuError as error:
        _complain(f"{PROGRAM}: {error}")
        return 1
    except KeyboardInterrupt:  # before the machine was there to be told of it
        from hmp.frontend.signals import die_of_ctrl_c

        die_of_ctrl_c()
        return 1


def run(arguments: Sequence[str]) -> int:
    """Run a machine until it is told to quit.

    Raises:
        QemuError: the machine can't be made as asked.
    """
    options = parse(arguments)
    names = {option.name for option in options}
    if names & {"h", "help"}:
        from hmp.command_line.usage import USAGE

        _tell(USAGE)
        return 0
    if "version" in names:
        _tell(f"QEMU emulator version 7.2.0 (hmp {__version__})")
        return 0
    if "ui-help" in names:
        from hmp.command_line.usage import UI_USAGE
        from hmp.settings import describe_settings

        _tell(UI_USAGE.format(settings=describe_settings()))
        return 0
    if "check" in names and "replay" not in names:
        return _grade(options)
    if "replay" in names and names <= _OPTIONS_OF_THE_FRONT_END:
        options = [*options, *parse(recorded_arguments(options))]
        names = {option.name for option in options}
    if names & {"readconfig", "set"}:
        from hmp.command_line.config_file import expand

        options = expand(options)
    front_end = choose_front_end(options)
    if names <= _OPTIONS_OF_THE_FRONT_END:
        return _demonstrate(options, front_end)
    return _serve(
        Startup(options, program=PROGRAM, complain=_complain, tell=_tell), options, front_end
    )


def _grade(options: Sequence[Option]) -> int:
    """Say whether the images in a folder, or in this one, solve a lesson."""
    from hmp.lab.grade import grade

    values = {option.name: option.value for option in options}
    folder = next((option.text for option in options if not option.name), ".")
    return grade(values["check"], folder, as_json="json" in values, tell=_tell)


def _demonstrate(options: Sequence[Option], front_end: str) -> int:
    """A small machine to look at: a fresh disk in a folder that goes when the program ends."""
    from tempfile import TemporaryDirectory

    from blockdev.qcow2.create import create_image

    with TemporaryDirectory(prefix="hmp-") as folder:
        disk = os.path.join(folder, "disk0.qcow2")
        create_image(disk, 64 << 20)
        drive = ["-drive", f"if=none,id=disk0,format=qcow2,file={disk.replace(',', ',,')}"]
        machine_options = parse([*_DEMONSTRATION, *drive, "-device", _TICKING_GUEST])
        startup = Startup(
            [*machine_options, *options], program=PROGRAM, complain=_complain, tell=_tell
        )
        return _serve(startup, options, front_end)


def _serve(startup: Startup, options: Sequence[Option], front_end: str) -> int:
    """Run the machine as the process that the options ask for."""
    daemon = _daemonize(startup)
    pid_file: PidFile | None = None
    if startup.pid_file is not None:
        from hmp.daemon import PidFile

        pid_file = PidFile(startup.pid_file)
    try:
        return _run_machine(startup, options, front_end, daemon)
    finally:
        if pid_file is not None:
            pid_file.close()


def _run_machine(
    startup: Startup, options: Sequence[Option], front_end: str, daemon: Daemon | None
) -> int:
    """Make the machine with its monitors, and run it to its end."""
    from hmp.arguments import FormatMemory
    from hmp.frontend.plain import PlainFrontend
    from hmp.frontend.script_options import open_transcript, run_script
    from hmp.frontend.signals import SignalWatch
    from hmp.monitor import Monitor
    from machine.chardev.stream import StdioDevice

    settings = _read_settings(options) if front_end == RICH else None
    machine = startup.make_machine()
    watch: SignalWatch | None = None
    try:
        usual_monitor = "stdio" if front_end == PLAIN and daemon is None else ""
        startup.consoles.add_defaults(
            machine, has_defaults=startup.has_defaults, usual_monitor=usual_monitor
        )
        startup.open_drives(machine)
        watch = SignalWatch(machine, ctrl_c_is_a_key=settings is not None)
        formats = FormatMemory()
        has_lab = any(option.name in ("lab", "deterministic") for option in options)
        transcript = open_transcript(options)

        def make_monitor(machine: Machine, write: Callable[[str], object]) -> Monitor:
            if transcript is not None:
                return transcript.monitor(machine, write, _commands(has_lab), formats)
            return Monitor(machine, write, _commands(has_lab), formats)

        def serve(monitor: MonitorOption) -> None:
            chardev = monitor.claim(machine)
            if monitor.mode == CONTROL:
                from hmp.qmp.attach import attach

                attach(machine, chardev, is_pretty=monitor.is_pretty)
                return
            if startup.line_faults is not None:
                from hmp.frontend.faulty_line import spoil

                chardev = spoil(chardev, machine.loop, startup.line_faults)
            PlainFrontend(machine, make_monitor, chardev)

        for monitor in startup.consoles.monitors:
            serve(monitor)
        startup.build_machine(machine, serve)
        for device in machine.chardevs:
            if isinstance(device, StdioDevice):
                watch.on_continue(device.return_to_foreground)
        _launch(machine, startup)
        if daemon is not None:
            daemon.finish()
        if front_end == SCRIPT:
            run_script(machine, make_monitor, options)
        if settings is not None:
            from hmp.frontend.terminal.shell import run_shell

            has_lab = True
            run_shell(machine, make_monitor, settings)
        machine.loop.run_until(lambda: machine.shutdown_requested)
        return machine.exit_status
    finally:
        in_a_hurry = watch is not None and watch.received
        for device in machine.chardevs:
            # Who reads our standard output gets all of it; other sides may have stopped reading.
            device.drain(None if isinstance(device, StdioDevice) and not in_a_hurry else 0)
            device.close()
        machine.close()


def _daemonize(startup: Startup) -> Daemon | None:
    """Go to the background where that is asked for.

    Raises:
        QemuError: the options need a terminal.
    """
    if not startup.is_daemon:
        return None
    startup.consoles.check_daemon()
    from hmp.daemon import Daemon

    return Daemon()


def _commands(has_lab: bool) -> CommandTable:
    """What a monitor understands."""
    if has_lab:
        from hmp.lab import COMMANDS_WITH_LAB

        return COMMANDS_WITH_LAB
    from hmp.commands import COMMANDS

    return COMMANDS


def _read_settings(options: Sequence[Option]) -> Settings:
    """What the person at the terminal chose.

    A mistake in the usual file is told, and nothing of it counts; one in a file that was asked
    for ends the program.

    Raises:
        QemuError: the file that `--config` names isn't one of settings.
    """
    from hmp.settings import Settings, read_settings

    path = next((option.value for option in reversed(options) if option.name == "config"), None)
    try:
        settings = read_settings(path)
    except QemuError as error:
        if path is not None:
            raise QemuError(f"--config {error}") from error
        _complain(f"{PROGRAM}: {error}")
        settings = Settings()
    if any(option.name == "yes" for option in options):
        settings.confirm_nothing()
    return settings


def _launch(machine: Machine, startup: Startup) -> None:
    if startup.loadvm is not None:
        from machine.snapshot import load, plan_load

        for _ in load(machine, plan_load(machine, startup.loadvm)):
            pass
    if startup.incoming is not None:
        _wait_for_migration(machine, startup.incoming)
    elif not startup.is_paused:
        machine.cont()


def _wait_for_migration(machine: Machine, uri: str) -> None:
    from machine.migration.incoming import DEFER
    from machine.migration.transport import numbered_descriptor

    if uri != DEFER:
        with Blame(f"-incoming {uri}"):
            machine.incoming.start(uri, numbered_descriptor)


def _tell(text: str) -> None:
    _write(1, text)


def _complain(text: str) -> None:
    _write(2, text)


def _write(descriptor: int, text: str) -> None:
    try:
        os.write(descriptor, f"{text}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # nobody is there to read it


if __name__ == "__main__":
    sys.exit(main())
