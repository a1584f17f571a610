"""Keys, pointers, pictures, and passwords for who may see them."""

from __future__ import annotations

import os

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
    mice = session.machine.mice.mice()
    return [
        {
            "name": each.name,
            "index": each.index,
            "current": each is mice[-1],
            "absolute": each.kind == "tablet",
        }
        for each in mice
    ]


def query_vnc(session: QmpSession) -> dict[str, bool]:
    return {"enabled": False}


def query_vnc_servers(session: QmpSession) -> list[Any]:
    return []


def query_spice(session: QmpSession) -> dict[str, Any]:
    return {"enabled": False, "migrated": False, "mouse-mode": "client"}


def query_display_options(session: QmpSession) -> dict[str, str]:
    return {"type": "none"}


def set_password(
    session: QmpSession, *, protocol: str, connected: str = "keep", **others: Any
) -> None:
    _refuse_display(protocol)
    if connected != "keep":
        raise QemuError("Invalid parameter 'connected'")
    raise QemuError("Could not set password")


def expire_password(session: QmpSession, *, protocol: str, **others: Any) -> None:
    _refuse_display(protocol)
    raise QemuError("Could not set password expire time")


def _refuse_display(protocol: str) -> None:
    """No machine of ours is shown over the network."""
    if protocol == "spice":
        raise DeviceNotActive("SPICE is not in use")


def change_vnc_password(session: QmpSession, *, password: str) -> None:
    raise QemuError("Could not set password")


def display_reload(session: QmpSession, *, type: str, **others: Any) -> None:
    if others.get("tls_certs"):
        raise _no_vnc()


def display_update(session: QmpSession, *, type: str, **others: Any) -> None:
    raise _no_vnc()


def _no_vnc() -> QemuError:
    """No machine of ours is shown by VNC."""
    return QemuError("Can not find vnc display")


def input_send_event(
    session: QmpSession,
    *,
    events: list[dict[str, Any]],
    device: str | None = None,
    head: int | None = None,
) -> None:
    from machine.input import send

    send(session.machine, events, device, head or 0)


def add_client(
    session: QmpSession, *, protocol: str, fdname: str, skipauth: bool = False, tls: bool = False
) -> None:
    fd = session.take_descriptor(fdname)
    try:
        if protocol == "spice":
            raise DeviceNotActive("SPICE is not in use")
        if protocol == "@dbus-display":
            raise DeviceNotActive("D-Bus display is not in use")
        if protocol != "vnc":  # which hangs up, as there is no display
            _add_to_chardev(session, protocol, fd)
            fd = -1
    finally:
        if fd >= 0:
            os.close(fd)


def _add_to_chardev(session: QmpSession, name: str, fd: int) -> None:
    found = session.machine.find_chardev(name)
    if found is None:
        raise QemuError(f"protocol '{name}' is invalid")
    if not found.add_client(fd):
        raise QemuError("failed to add client")


HANDLERS: dict[str, Handler] = {
    "add_client": add_client,
    "change-vnc-password": change_vnc_password,
    "display-reload": display_reload,
    "display-update": display_update,
    "expire_password": expire_password,
    "input-send-event": input_send_event,
    "query-display-options": query_display_options,
    "query-mice": query_mice,
    "query-spice": query_spice,
    "query-vnc": query_vnc,
    "query-vnc-servers": query_vnc_servers,
    "screendump": screendump,
    "send-key": send_key,
    "set_password": set_password,
}
