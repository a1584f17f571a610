"""Running, stopping, and ending the machine."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command, Completion
from machine import power
from machine.boards import boot_order_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine


def stop(monitor: Monitor) -> None:
    monitor.machine.stop()


def cont(monitor: Monitor) -> None:
    monitor.machine.cont()


def quit_(monitor: Monitor) -> None:
    monitor.machine.request_shutdown()


def system_reset(monitor: Monitor) -> None:
    monitor.machine.reset()


def singlestep(monitor: Monitor, *, option: str | None) -> None:
    """Execute one instruction at a time; a guest that executes none doesn't notice."""
    if option not in (None, "on", "off"):
        monitor.print_line(f"unexpected option {option}")
        return
    monitor.machine.is_single_stepping = option != "off"


def system_powerdown(monitor: Monitor) -> None:
    power.press_power(monitor.machine)


def system_wakeup(monitor: Monitor) -> None:
    power.wake_up(monitor.machine)


def exit_preconfig(monitor: Monitor) -> None:
    raise QemuError("The command is permitted only before machine initialization")


def boot_set(monitor: Monitor, *, bootdevice: str) -> None:
    if monitor.machine.board.properties != "pc":
        monitor.print_line("no function defined to set boot device list for this architecture")
        return
    fault = boot_order_fault(bootdevice)
    monitor.print_line(fault or f"boot device list now set to {bootdevice}")


def nmi(monitor: Monitor) -> None:
    """Interrupt every processor; a guest that executes no instructions takes none."""
    power.interrupt(monitor.machine)


def watchdog_action(monitor: Monitor, *, action: str) -> None:
    """What a watchdog is to do when it bites; none is simulated that could."""
    action = action.lower()
    if action not in power.WATCHDOG_ACTIONS:
        raise QemuError(f"invalid parameter value: {action}")
    monitor.machine.actions["watchdog"] = action


def complete_watchdog_action(machine: Machine, words: Sequence[str]) -> Completion:
    return Completion.of(words[-1], power.WATCHDOG_ACTIONS if len(words) == 1 else ())


def info_status(monitor: Monitor) -> None:
    monitor.print_line(f"VM status: {monitor.machine.status_text()}")


COMMANDS = (
    Command(
        name="stop|s",
        args_type="",
        params="",
        help="stop emulation",
        run=stop,
    ),
    Command(
        name="cont|c",
        args_type="",
        params="",
        help="resume emulation",
        run=cont,
    ),
    Command(
        name="quit|q",
        args_type="",
        params="",
        help="quit the emulator",
        run=quit_,
    ),
    Command(
        name="system_reset",
        args_type="",
        params="",
        help="reset the system",
        run=system_reset,
    ),
    Command(
        name="system_powerdown",
        args_type="",
        params="",
        help="send system power down event",
        run=system_powerdown,
    ),
    Command(
        name="system_wakeup",
        args_type="",
        params="",
        help="wakeup guest from suspend",
        run=system_wakeup,
    ),
    Command(
        name="exit_preconfig",
        args_type="",
        params="",
        help="exit the preconfig state",
        run=exit_preconfig,
    ),
    Command(
        name="singlestep",
        args_type="option:s?",
        params="[on|off]",
        help="run emulation in singlestep mode or switch to normal mode",
        run=singlestep,
    ),
    Command(
        name="boot_set",
        args_type="bootdevice:s",
        params="bootdevice",
        help="define new values for the boot device list",
        run=boot_set,
    ),
    Command(
        name="watchdog_action",
        args_type="action:s",
        params="[reset|shutdown|poweroff|pause|debug|none]",
        help="change watchdog action",
        run=watchdog_action,
        complete=complete_watchdog_action,
    ),
    Command(
        name="nmi",
        args_type="",
        params="",
        help="inject an NMI",
        run=nmi,
    ),
)

INFO = (
    Command(
        name="status",
        args_type="",
        params="",
        help="show the current VM status (running|paused)",
        run=info_status,
    ),
)
