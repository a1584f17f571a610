"""Which of a board's own devices can go: none, mostly, and why not."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.bus import find_bus
from machine.qom.composition import SYSTEM_BUS, compose
from machine.qom.part import DevicePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.boards import Board
    from machine.machine import Machine


def check_removal(machine: Machine, path: str) -> None:
    """See whether a device of the board can go.

    Raises:
        QemuError: it stays; where there is none, nothing is said.
    """
    part = compose(machine).root.find(path)
    if not isinstance(part, DevicePart):
        return
    if part.type.endswith("-cpu"):
        raise QemuError(_why_processors_stay(machine.board))
    if part.bus is not None:
        name = SYSTEM_BUS if part.bus.type == "System" else part.bus.name
        bus = find_bus(machine.buses, name=name)
        if bus is None or not bus.is_hotpluggable:
            raise QemuError(f"Bus '{name}' does not support hotplugging")
        if part.plugged is None:
            raise QemuError(f"Device '{part.type}' does not support hotplugging")


def _why_processors_stay(board: Board) -> str:
    if board.properties != "pc":
        return f"unplug not supported by {board.name}"
    if board.blueprint == "pc" and "acpi" not in board.parts:
        return "CPU hot unplug not supported without ACPI"
    return "Boot CPU is unpluggable"
