"""Keys, pointers, pictures, and passwords for who may see them."""

from __future__ import annotations

from blockdev.errors import DeviceNotActive, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def send_key(
    session: QmpSession, *, keys: list[dict[str, Any]], hold_time: int | None = None
) -> None:
    from machine.keyboard import find_code, press

    named = [each["data"] if each["type"] == "qcode" else find_code(each["data"]) for each in keys]
    press(session.machine, named, hold_time)


def screendump(
    session: QmpSession,
    *,
    filename: str,
    device: str | None = None,
    head: int | None = None,
    format: str = "ppm",
) -> None:
    from machine.display.screen_file import save_screen

    if head is not None and device is None:
        raise QemuError("'head' must be specified together with 'device'")
    save_screen(session.machine, filename, format, device, head or 0)


def query_mice(session: QmpSession) -> list[dict[str, Any]]:
    if "i8042" not in session.machine.board.parts:
        return []
    return [{"name": "QEMU PS/2 Mouse", "index": 2, "current": True, "absolute": False}]


def query_vnc(session: QmpSession) -> dict[str, bool]:
    return {"enabled": False}


def query_vnc_servers(session: QmpSession) -> list[Any]:
    return []


def query_spice(session: QmpSession) -> dict[str, Any]:
    return {"enabled": False, "migrated": False, "mouse-mode": "client"}


def query_display_options(session: QmpSession) -> dict[str, str]:
    return {"type": "none"}


def set_password(session: QmpSession, *, protocol: str, **others: Any) -> None:
    _refuse_display(protocol)
    raise QemuError("Could not set password")


def expire_password(session: QmpSession, *, protocol: str, **others: Any) -> None:
    _refuse_display(protocol)
    raise QemuError("Could not set password expire time")


def _refuse_display(protocol: str) -> None:
    """No machine of ours is shown over the network."""
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")


HANDLERS: dict[str, Handler] = {
    "expire_password": expire_password,
    "query-display-options": query_display_options,
    "query-mice": query_mice,
    "query-spice": query_spice,
    "query-vnc": query_vnc,
    "query-vnc-servers": query_vnc_servers,
    "screendump": screendump,
    "send-key": send_key,
    "set_password": set_password,
}
