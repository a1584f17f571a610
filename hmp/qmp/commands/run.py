"""Running, stopping and ending the machine."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine import power

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_status(session: QmpSession) -> dict[str, Any]:
    machine = session.machine
    return {
        "running": machine.is_running,
        "singlestep": machine.is_single_stepping,
        "status": machine.runstate.name,
    }


def stop(session: QmpSession) -> None:
    session.machine.stop()


def cont(session: QmpSession) -> None:
    session.machine.cont()


def quit_(session: QmpSession) -> None:
    session.machine.request_shutdown()


def system_reset(session: QmpSession) -> None:
    session.machine.reset()


def system_powerdown(session: QmpSession) -> None:
    power.press_power(session.machine)


def system_wakeup(session: QmpSession) -> None:
    power.wake_up(session.machine)


def inject_nmi(session: QmpSession) -> None:
    power.interrupt(session.machine)


def exit_preconfig(session: QmpSession) -> None:
    raise QemuError("The command is permitted only before machine initialization")


def watchdog_set_action(session: QmpSession, *, action: str) -> None:
    session.machine.actions["watchdog"] = action


def set_action(
    session: QmpSession,
    *,
    reboot: str | None = None,
    shutdown: str | None = None,
    panic: str | None = None,
    watchdog: str | None = None,
) -> None:
    """What to do when the guest does this or that: only a reset is something that can come."""
    given = {"reboot": reboot, "shutdown": shutdown, "panic": panic, "watchdog": watchdog}
    session.machine.actions.update({deed: way for deed, way in given.items() if way is not None})


def rtc_reset_reinjection(session: QmpSession) -> None:
    """No lost ticks are made good, so there are none to forget."""


def query_current_machine(session: QmpSession) -> dict[str, bool]:
    return {"wakeup-suspend-support": power.can_sleep(session.machine)}


HANDLERS: dict[str, Handler] = {
    "cont": cont,
    "inject-nmi": inject_nmi,
    "query-current-machine": query_current_machine,
    "query-status": query_status,
    "quit": quit_,
    "rtc-reset-reinjection": rtc_reset_reinjection,
    "set-action": set_action,
    "stop": stop,
    "system_powerdown": system_powerdown,
    "system_reset": system_reset,
    "system_wakeup": system_wakeup,
    "watchdog-set-action": watchdog_set_action,
    "x-exit-preconfig": exit_preconfig,
}
