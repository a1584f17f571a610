"""Disks served to others over the network."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from blockdev.address import InetAddress, UnixAddress
    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def nbd_server_start(
    session: QmpSession,
    *,
    addr: dict[str, Any],
    tls_creds: str | None = None,
    tls_authz: str | None = None,
    max_connections: int = 0,
) -> None:
    if tls_creds is not None:
        raise QemuError(f"No TLS credentials with id '{tls_creds}'")
    exports = session.machine.exports
    exports.check_stopped()
    if addr["type"] == "fd":
        number = session.take_descriptor(addr["data"]["str"])
        exports.start(number, max_clients=max_connections)
    else:
        exports.start(_address(addr), max_clients=max_connections)


def _address(address: dict[str, Any]) -> UnixAddress | InetAddress:
    from blockdev.address import InetAddress, UnixAddress

    data = address["data"]
    if address["type"] == "unix":
        return UnixAddress(
            path=data["path"],
            abstract=data.get("abstract", False),
            tight=data.get("tight", True),
        )
    if address["type"] != "inet":
        raise QemuError(f"nbd-server-start: {address['type']}: not simulated yet")
    return InetAddress(
        host=data["host"],
        port=data["port"],
        to=data.get("to"),
        ipv4=data.get("ipv4"),
        ipv6=data.get("ipv6"),
        numeric=data.get("numeric", False),
    )


def nbd_server_add(
    session: QmpSession,
    *,
    device: str,
    name: str | None = None,
    description: str = "",
    writable: bool = False,
    bitmap: str | None = None,
) -> None:
    session.machine.exports.add_device(
        device, name, description=description, is_writable=writable, bitmap=bitmap
    )


def nbd_server_remove(session: QmpSession, *, name: str, mode: str = "safe") -> None:
    session.machine.exports.remove(name, is_hard=mode == "hard")


def nbd_server_stop(session: QmpSession) -> None:
    session.machine.exports.stop()


def block_export_add(
    session: QmpSession, *, type: str, id: str, node_name: str, **others: Any
) -> None:
    if type == "fuse":
        _refuse_mount(others["mountpoint"])
    if type == "vduse-blk":
        raise QemuError("failed to create vduse device")
    if type != "nbd":
        raise QemuError(f"block-export-add: {type}: not simulated yet")
    from machine.bitmap_actions import sources_of

    session.machine.exports.add_node(
        id,
        node_name,
        name=others.get("name"),
        description=others.get("description", ""),
        is_writable=others.get("writable", False),
        bitmaps=sources_of(others.get("bitmaps", [])),
        with_depth=others.get("allocation_depth", False),
        iothread=others.get("iothread"),
    )


def _refuse_mount(path: str) -> None:
    """No file systems are mounted here, which is said as where that isn't allowed."""
    import os

    try:
        os.stat(path)
    except OSError as error:
        raise QemuError(f"Failed to stat '{path}': {error.strerror}") from error
    if not os.path.isfile(path):
        raise QemuError(f"'{path}' is not a regular file")
    raise QemuError("Failed to mount FUSE session to export")


def block_export_del(session: QmpSession, *, id: str, mode: str = "safe") -> None:
    session.machine.exports.remove(id, is_hard=mode == "hard")


def query_block_exports(session: QmpSession) -> list[dict[str, Any]]:
    machine = session.machine
    if not machine.has_exports:
        return []
    return [
        {
            "id": export.id,
            "type": "nbd",
            "node-name": export.node.node_name,
            "shutting-down": False,
        }
        for export in machine.exports.exports
    ]


HANDLERS: dict[str, Handler] = {
    "block-export-add": block_export_add,
    "block-export-del": block_export_del,
    "nbd-server-add": nbd_server_add,
    "nbd-server-remove": nbd_server_remove,
    "nbd-server-start": nbd_server_start,
    "nbd-server-stop": nbd_server_stop,
    "query-block-exports": query_block_exports,
}
