"""Snapshots of the machine, as jobs, and of single disks."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def snapshot_save(
    session: QmpSession, *, job_id: str, tag: str, vmstate: str, devices: list[str]
) -> Iterator[object]:
    from machine.snapshot_jobs import SaveJob

    yield from SaveJob(session.machine, job_id, tag, devices, vmstate).begin()


def snapshot_load(
    session: QmpSession, *, job_id: str, tag: str, vmstate: str, devices: list[str]
) -> Iterator[object]:
    from machine.snapshot_jobs import LoadJob

    yield from LoadJob(session.machine, job_id, tag, devices, vmstate).begin()


def snapshot_delete(
    session: QmpSession, *, job_id: str, tag: str, devices: list[str]
) -> Iterator[object]:
    from machine.snapshot_jobs import DeleteJob

    yield from DeleteJob(session.machine, job_id, tag, devices).begin()


def blockdev_snapshot_internal_sync(session: QmpSession, *, device: str, name: str) -> None:
    from machine.device_snapshot import create_on_device

    create_on_device(session.machine, device, name)


def blockdev_snapshot_delete_internal_sync(
    session: QmpSession, *, device: str, name: str | None = None, id: str | None = None
) -> dict[str, Any]:
    from hmp.image_info import snapshot_info
    from machine.device_snapshot import delete_on_device

    if name is None and id is None:
        raise QemuError("Name or id must be provided")
    return snapshot_info(delete_on_device(session.machine, device, name, id))


def blockdev_snapshot_sync(
    session: QmpSession,
    *,
    snapshot_file: str,
    device: str = "",
    node_name: str = "",
    snapshot_node_name: str | None = None,
    format: str = "qcow2",
    mode: str = "absolute-paths",
) -> None:
    from machine.external_snapshot import snapshot_to_file

    snapshot_to_file(
        session.machine,
        device,
        snapshot_file,
        node_name=node_name,
        driver=format,
        is_existing=mode == "existing",
        overlay_name=snapshot_node_name,
    )


def blockdev_snapshot(session: QmpSession, *, node: str, overlay: str) -> None:
    from machine.block_lookup import find_node
    from machine.external_snapshot import append

    machine = session.machine
    old = find_node(machine, node, node)
    append(machine, find_node(machine, overlay, overlay), old)


HANDLERS: dict[str, Handler] = {
    "blockdev-snapshot": blockdev_snapshot,
    "blockdev-snapshot-delete-internal-sync": blockdev_snapshot_delete_internal_sync,
    "blockdev-snapshot-internal-sync": blockdev_snapshot_internal_sync,
    "blockdev-snapshot-sync": blockdev_snapshot_sync,
    "snapshot-delete": snapshot_delete,
    "snapshot-load": snapshot_load,
    "snapshot-save": snapshot_save,
}
