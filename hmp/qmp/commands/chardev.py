"""Character devices, and descriptors passed over the client's socket."""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession
    from machine.chardev.options import ChardevOptions

# Members of QMP, and what ``-chardev`` calls them.
_SPICE_TYPES = frozenset(("vdagent", "smartcard", "usbredir"))
_MEMBERS = {"out": "path", "in": "input-path", "device": "path"}


def query_chardev(session: QmpSession) -> list[dict[str, Any]]:
    from machine.child_order import children_in_order

    devices = {chardev.label: chardev for chardev in session.machine.chardevs}
    return [
        {
            "label": label,
            "filename": devices[label].filename,
            "frontend-open": devices[label].has_frontend,
        }
        for label in children_in_order(devices)
    ]


def query_chardev_backends(session: QmpSession) -> list[dict[str, str]]:
    from machine.chardev.options import HELP

    return [{"name": name} for name in reversed(HELP)]


def chardev_add(session: QmpSession, *, id: str, backend: dict[str, Any]) -> dict[str, str]:
    from machine.chardev.plug import add_chardev

    machine = session.machine
    if machine.find_chardev(id) is not None:
        raise QemuError(f"Chardev with id '{id}' already exists")
    try:
        made = add_chardev(machine, _options(session, id, backend), _nobody)
    except QemuError as error:
        text = f"Failed to add chardev '{id}': {error}"
        raise QemuError(text, error.errno_value) from error
    return _terminal(made.filename)


def chardev_change(session: QmpSession, *, id: str, backend: dict[str, Any]) -> dict[str, str]:
    from machine.chardev.plug import change_chardev, remove_chardev

    machine = session.machine
    device = machine.find_chardev(id)
    if device is None:
        raise QemuError(f"Chardev '{id}' does not exist")
    try:
        options = _options(session, id, backend)
    except QemuError as error:
        if device.is_busy:
            raise
        # Nobody would notice, so it would be removed and another added.
        remove_chardev(machine, id)
        raise QemuError(f"Failed to add chardev '{id}': {error}") from error
    change_chardev(machine, options, _nobody)
    changed = machine.find_chardev(id)
    return _terminal(changed.filename if changed is not None else "")


def _nobody(text: str) -> None:
    """Takes the name of a new terminal, which the reply tells."""


def _terminal(filename: str) -> dict[str, str]:
    """What is told of a new device: where its terminal is, if it has one."""
    kind, _, path = filename.partition(":")
    return {"pty": path} if kind == "pty" else {}


def _options(session: QmpSession, label: str, backend: dict[str, Any]) -> ChardevOptions:
    """A back end as people ask for it.

    Raises:
        QemuError: it can't be had.
    """
    from machine.chardev.options import ChardevOptions

    kind, data = backend["type"], backend["data"]
    _check_kind(kind, data)
    values: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            found = _address(session, value)
            if kind == "udp":
                if "host" not in found:
                    raise QemuError("socket type unsupported for datagram")
                names = ("localaddr", "localport") if name == "local" else ("host", "port")
                found = dict(zip(names, (found["host"], found["port"]), strict=True))
            values.update(found)
        elif isinstance(value, bool):
            values[name] = "on" if value else "off"
        else:
            values[_MEMBERS.get(name, name)] = str(value)
    if kind == "socket":
        values.setdefault("server", "on")
        if values["server"] == "on":
            values.setdefault("wait", "off")
    return ChardevOptions(backend=kind, label=label, values=values)


def _check_kind(kind: str, data: dict[str, Any]) -> None:
    """Refuse what only QMP knows of, and what this host hasn't got."""
    if kind == "console":
        raise QemuError("'console' is not a valid char driver name")
    if kind == "braille":  # nobody of ours ever listens for that
        raise QemuError("brlapi__openConnection: connect: No such file or directory")
    if kind == "spiceport":
        raise QemuError("spice not enabled")
    if kind == "spicevmc" and data["type"] not in _SPICE_TYPES:
        raise QemuError(f"unsupported type name: {data['type']}")


def _address(session: QmpSession, address: dict[str, Any]) -> dict[str, str]:
    data = address["data"]
    if address["type"] == "unix":
        flags = {
            name: "on" if data[name] else "off" for name in ("abstract", "tight") if name in data
        }
        return {"path": data["path"], **flags}
    if address["type"] == "fd":
        return {"fd": str(session.take_descriptor(data["str"]))}
    if address["type"] != "inet":
        raise QemuError(f"chardev-add: {address['type']}: not simulated yet")
    values = {"host": data["host"], "port": data["port"]}
    for name in ("ipv4", "ipv6"):
        if name in data:
            values[name] = "on" if data[name] else "off"
    if "to" in data:
        values["to"] = str(data["to"] - int(data["port"]) if data["port"].isdigit() else data["to"])
    return values


def chardev_remove(session: QmpSession, *, id: str) -> None:
    from machine.chardev.plug import remove_chardev

    remove_chardev(session.machine, id)


def chardev_send_break(session: QmpSession, *, id: str) -> None:
    from machine.chardev.plug import find_chardev

    find_chardev(session.machine, id).receive_break()


def ringbuf_write(session: QmpSession, *, device: str, data: str, format: str = "utf8") -> None:
    from machine.chardev.plug import find_ring_buffer

    found = find_ring_buffer(session.machine, device)
    found.write(_from_base64(data) if format == "base64" else data.encode("utf-8"))


def ringbuf_read(session: QmpSession, *, device: str, size: int, format: str = "utf8") -> str:
    from machine.chardev.plug import find_ring_buffer

    found = find_ring_buffer(session.machine, device)
    if size <= 0:
        raise QemuError("size must be greater than zero")
    data = found.read(size)
    if format == "base64":
        import base64

        return base64.b64encode(data).decode("ascii")
    return data.decode("utf-8", "replace")


def _from_base64(text: str) -> bytes:
    """What is encoded, as far as it goes; whatever is no digit is passed over."""
    import binascii

    try:
        return binascii.a2b_base64(text + "==")
    except binascii.Error:
        return b""


# --- descriptors


def getfd(session: QmpSession, *, fdname: str) -> None:
    fd = session.receive_descriptor()
    if fd is None:
        raise QemuError("No file descriptor supplied via SCM_RIGHTS")
    session.descriptors.keep(fdname, fd)


def closefd(session: QmpSession, *, fdname: str) -> None:
    session.descriptors.close(fdname)


def add_fd(
    session: QmpSession, *, fdset_id: int | None = None, opaque: str | None = None
) -> dict[str, int]:
    fd = session.receive_descriptor()
    if fd is None:
        raise QemuError("No file descriptor supplied via SCM_RIGHTS")
    if fdset_id is not None and fdset_id < 0:
        os.close(fd)
        raise QemuError("Parameter 'fdset-id' expects a non-negative value")
    number = session.machine.descriptor_sets.add(fd, fdset_id, opaque)
    return {"fdset-id": number, "fd": fd}


def remove_fd(session: QmpSession, *, fdset_id: int, fd: int | None = None) -> None:
    session.machine.descriptor_sets.remove(fdset_id, fd)


def query_fdsets(session: QmpSession) -> list[dict[str, Any]]:
    return session.machine.descriptor_sets.values()


HANDLERS: dict[str, Handler] = {
    "add-fd": add_fd,
    "chardev-add": chardev_add,
    "chardev-change": chardev_change,
    "chardev-remove": chardev_remove,
    "chardev-send-break": chardev_send_break,
    "closefd": closefd,
    "getfd": getfd,
    "query-chardev": query_chardev,
    "query-chardev-backends": query_chardev_backends,
    "query-fdsets": query_fdsets,
    "remove-fd": remove_fd,
    "ringbuf-read": ringbuf_read,
    "ringbuf-write": ringbuf_write,
}
