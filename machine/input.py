"""Events of keyboards and mice that a program makes up; the mouse lies still all the same."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from machine.machine import Machine

_TAKEN = frozenset(("btn", "key", "rel"))  # by a PS/2 keyboard and mouse; a tablet takes others


def send(machine: Machine, events: Sequence[dict[str, Any]], device: str | None, head: int) -> None:
    """Let the guest have events, all or none of them.

    Args:
        events: of QMP's `InputEvent`.
        device, head: the screen that they are for; with no device, for whatever there is.

    Raises:
        QemuError: there is no such screen, the guest stands still, or nothing takes such events.
    """
    from machine.display.screen_file import find_display
    from machine.keyboard import find_code, turn

    if device is not None:
        find_display(machine, device, head)
    if not machine.is_running:
        raise QemuError("VM not running")
    for event in events:
        is_taken = event["type"] in _TAKEN or (event["type"] == "abs" and machine.mice.has_tablet)
        if not is_taken or machine.isa is None:
            raise QemuError(f"Input handler not found for event type {event['type']}")
    for event in events:
        if event["type"] == "key":
            key, down = event["data"]["key"], event["data"]["down"]
            name = key["data"] if key["type"] == "qcode" else find_code(key["data"])
            turn(machine, name, down=down)
