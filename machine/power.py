"""The buttons of a machine, and the words that people and programs have for them."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine

WATCHDOG_ACTIONS = ("reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi")
# What may be done when a guest does this or that; the first is done unless somebody says else.
ACTIONS = {
    "reboot": ("reset", "shutdown"),
    "shutdown": ("poweroff", "pause"),
    "panic": ("shutdown", "pause", "exit-failure", "none"),
    "watchdog": WATCHDOG_ACTIONS,
}


def press_power(machine: Machine) -> None:
    """Press the power button; no guest of ours does anything about it."""
    machine.events.emit("POWERDOWN")


def can_sleep(machine: Machine) -> bool:
    """Whether the board has what puts a guest to sleep and wakes it: a PC's ACPI."""
    return bool(machine.cpus) and not machine.board.buses.keys().isdisjoint(("PCI", "PCIE"))


def wake_up(machine: Machine) -> None:
    """Wake a guest that sleeps: none of ours ever does, and without a CPU none could.

    Raises:
        QemuError: always.
    """
    if not can_sleep(machine):
        raise QemuError("wake-up from suspend is not supported by this guest")
    raise QemuError("Unable to wake up: guest is not in suspended state")


def interrupt(machine: Machine) -> None:
    """Send an NMI to every processor; a guest that executes no instructions takes none.

    Raises:
        QemuError: there is no processor.
    """
    if not machine.cpus:
        raise QemuError("this feature or command is not currently supported")
