"""Where a debugger may come in: a character device of the name ``gdb``."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.chardev.device import NullDevice
from machine.chardev.options import LegacyWordError, parse_legacy
from machine.chardev.plug import add_chardev
from machine.gdb.stub import GdbStub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.chardev.device import Chardev
    from machine.gdb.stub import RunLine
    from machine.machine import Machine

NONE = "none"
USUAL = "tcp::1234"
_LABEL = "gdb"
_NAMED = "chardev:"
_OUTPUT = "gdb"


def start(machine: Machine, word: str, tell: Callable[[str], object], run_line: RunLine) -> None:
    """Wait for a debugger on a device; one that waited on another does so no more.

    Args:
        word: the device, as after ``-serial``; `NONE` for none any more.
        tell: takes the name of a new terminal.
        run_line: for the debugger's command ``monitor``.

    Raises:
        QemuError: there is no processor, or the device can't be had; QEMU's words, which may be
            none at all.
    """
    if not machine.cpus:
        raise QemuError("gdbstub: meaningless to attach gdb to a machine without any CPU.")
    chardev = None if word == NONE else _open(machine, word, tell)
    if not any(each.filename == _OUTPUT for each in machine.chardevs):
        # What the debugger's own monitor prints to.
        label = f"#chr0{machine.graph.draw():02}"
        machine.chardevs.append(NullDevice(machine.loop, label, _OUTPUT))
    stop(machine)
    machine.debugger = None if chardev is None else GdbStub(machine, chardev, run_line)


def stop(machine: Machine) -> None:
    """Wait for no debugger any more, and leave the one that is there."""
    if machine.debugger is None:
        return
    chardev = machine.debugger.chardev
    machine.debugger.close()
    machine.debugger = None
    machine.chardevs.remove(chardev)
    chardev.close()


def _open(machine: Machine, word: str, tell: Callable[[str], object]) -> Chardev:
    reports: list[str] = []
    try:
        if word.startswith(_NAMED):
            chardev = machine.find_chardev(word.removeprefix(_NAMED))
            if chardev is None:
                raise QemuError("")
            return chardev.claim()
        device = f"{word},wait=off,nodelay=on,server=on" if word.startswith("tcp:") else word
        options = parse_legacy(device, _LABEL, reports.append)
        if options.backend == "socket" and machine.find_chardev(_LABEL) is not None:
            raise QemuError("duplicate yank instance")
        return add_chardev(machine, options, tell).claim()
    except LegacyWordError as error:
        raise QemuError("\n".join(reports)) from error
