"""Virtio devices, looked into; no guest of ours drives any, so they are as a reset leaves them."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_virtio(session: QmpSession) -> list[dict[str, str]]:
    from machine.qom.virtio import virtio_devices

    return [{"path": each.path, "name": each.name} for each in virtio_devices(session.machine)]


def query_virtio_status(session: QmpSession, *, path: str) -> dict[str, Any]:
    from machine.qom.virtio import find_virtio

    return find_virtio(session.machine, path).status()


def query_virtio_queue_status(session: QmpSession, *, path: str, queue: int) -> dict[str, Any]:
    from machine.qom.virtio import find_virtio

    return find_virtio(session.machine, path).queue_status(queue)


def query_virtio_vhost_queue_status(session: QmpSession, *, path: str, queue: int) -> None:
    from machine.qom.virtio import find_virtio

    find_virtio(session.machine, path)
    raise QemuError("Error: vhost device has not started yet")


def query_virtio_queue_element(
    session: QmpSession, *, path: str, queue: int, index: int | None = None
) -> None:
    from machine.qom.virtio import find_virtio

    find_virtio(session.machine, path, "VirtIO device").check_queue_element(queue)


HANDLERS: dict[str, Handler] = {
    "x-query-virtio": query_virtio,
    "x-query-virtio-queue-element": query_virtio_queue_element,
    "x-query-virtio-queue-status": query_virtio_queue_status,
    "x-query-virtio-status": query_virtio_status,
    "x-query-virtio-vhost-queue-status": query_virtio_vhost_queue_status,
}
