"""Virtio devices, looked into; no guest of ours drives any, so they are as a reset leaves them."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession
    from machine.devices.virtio import VirtioModel


def query_virtio(session: QmpSession) -> list[dict[str, str]]:
    from machine.devices.virtio import backends

    return [{"path": path, "name": model.name} for path, model in backends(session.machine)]


def query_virtio_status(session: QmpSession, *, path: str) -> dict[str, Any]:
    model = _find(session, path, "Path {} is not a VirtIODevice")
    machine = session.machine
    nothing: dict[str, list[str]] = {"transports": [], "dev-features": []}
    return {
        "name": model.name,
        "device-id": model.device_id,
        "vhost-started": False,
        "device-endian": "little",
        "guest-features": nothing,
        "host-features": model.features(),
        "backend-features": nothing,
        "num-vqs": len(model.queues),
        "status": {"statuses": []},
        "isr": 0,
        "queue-sel": 0,
        "vm-running": machine.is_running,
        "broken": False,
        "disabled": False,
        "use-started": True,
        "started": False,
        "start-on-kick": False,
        "disable-legacy-check": False,
        "bus-name": model.bus_name(machine, path),
        "use-guest-notifier-mask": True,
    }


def query_virtio_queue_status(session: QmpSession, *, path: str, queue: int) -> dict[str, Any]:
    model = _find(session, path, "Path {} is not a VirtIODevice")
    _check_queue(model, queue)
    size = model.queues[queue]
    return {
        "name": model.name,
        "queue-index": queue,
        "inuse": 0,
        "vring-num": size,
        "vring-num-default": size,
        "vring-align": 4096,
        "vring-desc": 0,
        "vring-avail": 0,
        "vring-used": 0,
        "last-avail-idx": 0,
        "shadow-avail-idx": 0,
        "used-idx": 0,
        "signalled-used": 0,
        "signalled-used-valid": False,
    }


def query_virtio_vhost_queue_status(session: QmpSession, *, path: str, queue: int) -> None:
    _find(session, path, "Path {} is not a VirtIODevice")
    raise QemuError("Error: vhost device has not started yet")


def query_virtio_queue_element(
    session: QmpSession, *, path: str, queue: int, index: int | None = None
) -> None:
    _check_queue(_find(session, path, "Path {} is not a VirtIO device"), queue)
    raise QemuError("Region caches not initialized")


def _find(session: QmpSession, path: str, text: str) -> VirtioModel:
    from machine.devices.virtio import backends

    found = dict(backends(session.machine)).get(path)
    if found is None:
        raise QemuError(text.format(path))
    return found


def _check_queue(model: VirtioModel, queue: int) -> None:
    if queue >= len(model.queues):
        raise QemuError(f"Invalid virtqueue number {queue}")


HANDLERS: dict[str, Handler] = {
    "x-query-virtio": query_virtio,
    "x-query-virtio-queue-element": query_virtio_queue_element,
    "x-query-virtio-queue-status": query_virtio_queue_status,
    "x-query-virtio-status": query_virtio_status,
    "x-query-virtio-vhost-queue-status": query_virtio_vhost_queue_status,
}
