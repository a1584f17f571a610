"""Block devices: media, nodes, sizes, limits, and a look at them."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_block(session: QmpSession) -> list[dict[str, Any]]:
    from hmp.qmp.block_values import drive_value

    backends = session.machine.drives.backends
    return [drive_value(each) for each in backends if each.name or each.device]


def query_named_block_nodes(session: QmpSession, *, flat: bool = False) -> list[dict[str, Any]]:
    from hmp.qmp.block_values import node_value

    newest_first = list(session.machine.graph.nodes.values())[::-1]
    return [node_value(node, is_flat=flat) for node in newest_first]


def query_blockstats(session: QmpSession, *, query_nodes: bool = False) -> list[dict[str, Any]]:
    from hmp.qmp.block_values import drive_stats, node_stats

    if query_nodes:
        nodes = session.machine.graph.nodes.values()
        return [node_stats(node, with_backing=False) for node in nodes]
    backends = session.machine.drives.backends
    return [drive_stats(each) for each in backends if each.name or each.device]


def query_pr_managers(session: QmpSession) -> list[Any]:
    """None: no object of ours manages reservations."""
    return []


def eject(
    session: QmpSession, *, device: str | None = None, id: str | None = None, force: bool = False
) -> None:
    from machine import media

    media.eject(session.machine, device, id=id, force=force)


def blockdev_open_tray(
    session: QmpSession, *, device: str | None = None, id: str | None = None, force: bool = False
) -> None:
    from machine import media

    media.open_tray(session.machine, device, id=id, force=force)


def blockdev_close_tray(
    session: QmpSession, *, device: str | None = None, id: str | None = None
) -> None:
    from machine import media

    media.close_tray(session.machine, device, id=id)


def blockdev_remove_medium(session: QmpSession, *, id: str) -> None:
    from machine import media

    media.remove_medium(session.machine, None, id=id)


def blockdev_insert_medium(session: QmpSession, *, id: str, node_name: str) -> None:
    from machine import media

    media.insert_medium(session.machine, None, node_name, id=id)


def blockdev_change_medium(
    session: QmpSession,
    *,
    filename: str,
    device: str | None = None,
    id: str | None = None,
    format: str | None = None,
    force: bool = False,
    read_only_mode: str | None = None,
) -> None:
    from machine import media

    media.change(
        session.machine,
        device,
        filename,
        id=id,
        driver=format,
        read_only_mode=read_only_mode,
        force=force,
    )


def block_resize(session: QmpSession, *, size: int, device: str = "", node_name: str = "") -> None:
    from machine.block_change import resize

    resize(session.machine, device, size, node_name=node_name)


def block_set_io_throttle(
    session: QmpSession,
    *,
    device: str | None = None,
    id: str | None = None,
    group: str | None = None,
    **values: int,
) -> None:
    from machine.block_change import set_throttle
    from machine.media import find_drive

    shown = {"": "total", "_rd": "read", "_wr": "write"}
    limits = {}
    for unit in ("bps", "iops"):
        for short, direction in shown.items():
            for rest in ("", "_max", "_max_length"):
                value = values.get(f"{unit}{short}{rest}")
                if value is not None:
                    limits[f"{unit}-{direction}{rest.replace('_', '-')}"] = value
    if "iops_size" in values:
        limits["iops-size"] = values["iops_size"]
    backend = find_drive(session.machine, device, id)
    set_throttle(backend, group or device or id or "", limits)


def blockdev_add(session: QmpSession, **options: Any) -> None:
    from machine.drive_options import flattened

    values = {name.replace("_", "-"): value for name, value in options.items()}
    session.machine.drives.add_node(flattened(values))


def blockdev_del(session: QmpSession, *, node_name: str) -> None:
    from machine.block_change import delete_node

    node = session.machine.graph.find(node_name)
    if node is None:
        raise QemuError(f"Failed to find node with node-name='{node_name}'")
    delete_node(session.machine, node)


HANDLERS: dict[str, Handler] = {
    "block_resize": block_resize,
    "block_set_io_throttle": block_set_io_throttle,
    "blockdev-add": blockdev_add,
    "blockdev-change-medium": blockdev_change_medium,
    "blockdev-close-tray": blockdev_close_tray,
    "blockdev-del": blockdev_del,
    "blockdev-insert-medium": blockdev_insert_medium,
    "blockdev-open-tray": blockdev_open_tray,
    "blockdev-remove-medium": blockdev_remove_medium,
    "eject": eject,
    "query-block": query_block,
    "query-blockstats": query_blockstats,
    "query-named-block-nodes": query_named_block_nodes,
    "query-pr-managers": query_pr_managers,
}
