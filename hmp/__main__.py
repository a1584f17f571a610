"""The program: options, a machine, a front end, an exit status."""

from __future__ import annotations

import os
import sys

from blockdev.errors import QemuError
from hmp import __version__
from hmp.frontend.descriptors import fill_gaps
from hmp.options import Option, parse
from hmp.startup import Blame, Startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.machine import Machine

PROGRAM = "hmp"
_DEMONSTRATION = "-M none -m 16 -name demo -nodefaults".split()


def main() -> int:
    """Run the program with its own command line; the exit status."""
    fill_gaps()
    try:
        return run(sys.argv[1:])
    except QemuError as error:
        _complain(f"{PROGRAM}: {error}")
        return 1


def run(arguments: Sequence[str]) -> int:
    """Run a machine until it is told to quit.

    Raises:
        QemuError: the machine can't be made as asked.
    """
    options = parse(arguments)
    names = {option.name for option in options}
    if names & {"h", "help"}:
        _tell(_USAGE)
        return 0
    if "version" in names:
        _tell(f"QEMU emulator version 7.2.0 (hmp {__version__})")
        return 0
    _check_front_end(options)
    if names <= {"ui"}:
        return _demonstrate()
    return _serve(Startup(options, program=PROGRAM, complain=_complain))


def _check_front_end(options: Sequence[Option]) -> None:
    wanted = os.environ.get("HMP_UI", "")
    for option in options:
        if option.name == "ui":
            wanted = option.value
    if wanted not in ("", "plain"):
        text = "the rich front end is not there yet" if wanted == "rich" else "no such front end"
        raise QemuError(f"--ui {wanted}: {text}")


def _demonstrate() -> int:
    """A small machine to look at: a fresh disk in a folder that goes when the program ends."""
    from tempfile import TemporaryDirectory

    from blockdev.qcow2.create import create_image

    with TemporaryDirectory(prefix="hmp-") as folder:
        disk = os.path.join(folder, "disk0.qcow2")
        create_image(disk, 64 << 20)
        drive = ["-drive", f"if=none,id=disk0,format=qcow2,file={disk.replace(',', ',,')}"]
        options = parse(_DEMONSTRATION + drive)
        return _serve(Startup(options, program=PROGRAM, complain=_complain))


def _serve(startup: Startup) -> int:
    """Make the machine with its monitors, and run it to its end."""
    from hmp.arguments import FormatMemory
    from hmp.frontend.plain import PlainFrontend
    from hmp.frontend.signals import SignalWatch
    from hmp.monitor import Monitor
    from machine.chardev import open_chardev
    from machine.chardev_options import parse_legacy
    from machine.chardev_stream import StdioDevice

    machine = startup.make_machine()
    watch: SignalWatch | None = None
    try:
        default = parse_legacy("stdio", "compat_monitor0", machine.report)
        for text, options in startup.monitors or [("-monitor stdio", default)]:
            if options is not None:
                machine.location = f"{text}: "
                with Blame(text):
                    device = open_chardev(options, machine.loop, machine.report, _tell)
                machine.chardevs.append(device)
        machine.location = ""
        startup.open_drives(machine)
        watch = SignalWatch(machine)
        for device in machine.chardevs:
            if isinstance(device, StdioDevice):
                watch.on_continue(device.return_to_foreground)
        formats = FormatMemory()

        def make_monitor(machine: Machine, write: Callable[[str], object]) -> Monitor:
            return Monitor(machine, write, formats=formats)

        for device in machine.chardevs:
            PlainFrontend(machine, make_monitor, device)
        startup.build_machine(machine)
        _launch(machine, startup)
        machine.loop.run_until(lambda: machine.shutdown_requested)
        return machine.exit_status
    finally:
        in_a_hurry = watch is not None and watch.received
        for device in machine.chardevs:
            # Who reads our standard output gets all of it; other sides may have stopped reading.
            device.drain(None if isinstance(device, StdioDevice) and not in_a_hurry else 0)
            device.close()
        machine.close()


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


_USAGE = """\
usage: hmp [options] [disk_image]

The options are QEMU's own. Without any, hmp starts a small machine with a fresh disk.

  -M none|pc            the machine type
  -m SIZE               its memory, in MiB unless a suffix says otherwise
  -drive OPTIONS        a drive: file=, id=, if=, format=, media=, readonly=, cache=, snapshot=
  -blockdev OPTIONS     a block node: driver=, node-name=, file=
  -device OPTIONS       a device: virtio-blk-pci, ide-hd, ide-cd, scsi-hd, floppy, loader
  -snapshot             write to temporary files instead of the disks
  -S                    don't start the machine
  -loadvm TAG           begin with a snapshot
  -monitor DEVICE       where the monitor is: stdio, unix:PATH,server=on,wait=off
  --ui plain            the front end that gives QEMU's own bytes
  -version              the version

`help` at the prompt lists the monitor's commands."""

if __name__ == "__main__":
    sys.exit(main())
