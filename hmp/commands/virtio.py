"""Virtio devices, their queues, and what is in these."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.monitor import Monitor

_STATUS_WORDS = (
    ("device_name", "name"),
    ("device_id", "device-id"),
    ("vhost_started", "vhost-started"),
    ("bus_name", "bus-name"),
    ("broken", "broken"),
    ("disabled", "disabled"),
    ("disable_legacy_check", "disable-legacy-check"),
    ("started", "started"),
    ("use_started", "use-started"),
    ("start_on_kick", "start-on-kick"),
    ("use_guest_notifier_mask", "use-guest-notifier-mask"),
    ("vm_running", "vm-running"),
    ("num_vqs", "num-vqs"),
    ("queue_sel", "queue-sel"),
    ("isr", "isr"),
    ("endianness", "device-endian"),
)
_QUEUE_WORDS = (
    ("device_name", "name"),
    ("queue_index", "queue-index"),
    ("inuse", "inuse"),
    ("used_idx", "used-idx"),
    ("signalled_used", "signalled-used"),
    ("signalled_used_valid", "signalled-used-valid"),
    ("last_avail_idx", "last-avail-idx"),
    ("shadow_avail_idx", "shadow-avail-idx"),
)
_RING_NUMBERS = (("num", "vring-num"), ("num_default", "vring-num-default"))
_RING_ADDRESSES = (("desc", "vring-desc"), ("avail", "vring-avail"), ("used", "vring-used"))
_FEATURE_SETS = ("guest", "host", "backend")


def info_virtio(monitor: Monitor) -> None:
    from machine.qom.virtio import virtio_devices

    devices = virtio_devices(monitor.machine)
    for each in devices:
        monitor.print_line(f"{each.path} [{each.name}]")
    if not devices:
        monitor.print_line("No VirtIO devices")


def info_virtio_status(monitor: Monitor, *, path: str) -> None:
    from machine.qom.virtio import find_virtio

    status = find_virtio(monitor.machine, path).status()
    monitor.print_line(f"{path}:")
    for word, key in _STATUS_WORDS:
        text = _text(status[key])
        if key == "name":
            text += " "  # QEMU leaves room for what else vhost has to say
        elif key == "bus-name":
            text = text or "(null)"
        monitor.print_line(f"  {word + ':':<24} {text}")
    monitor.print_line("  status:")
    _print_list(monitor, status["status"]["statuses"])
    for kind in _FEATURE_SETS:
        monitor.print_line(f"  {kind.capitalize()} features:")
        features = status[f"{kind}-features"]
        _print_list(monitor, features["transports"])
        if features["dev-features"]:
            _print_list(monitor, features["dev-features"])
        if "unknown-dev-features" in features:
            number = features["unknown-dev-features"]
            monitor.print_line(f"  unknown-features({number:#018x})")


def _print_list(monitor: Monitor, lines: list[str]) -> None:
    monitor.print_line(",\n".join(f"\t{line}" for line in lines))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def info_virtio_queue_status(monitor: Monitor, *, path: str, queue: int) -> None:
    from machine.qom.virtio import find_virtio

    status = find_virtio(monitor.machine, path).queue_status(queue)
    monitor.print_line(f"{path}:")
    for word, key in _QUEUE_WORDS:
        monitor.print_line(f"  {word + ':':<21} {_text(status[key])}")
    monitor.print_line("  VRing:")
    for word, key in (*_RING_NUMBERS, ("align", "vring-align")):
        monitor.print_line(f"    {word + ':':<13} {status[key]}")
    for word, key in _RING_ADDRESSES:
        monitor.print_line(f"    {word + ':':<13} {status[key]:#018x}")


def info_virtio_vhost_queue_status(monitor: Monitor, *, path: str, queue: int) -> None:
    from machine.qom.virtio import find_virtio

    find_virtio(monitor.machine, path)
    raise QemuError("Error: vhost device has not started yet")


def info_virtio_queue_element(
    monitor: Monitor, *, path: str, queue: int, index: int | None
) -> None:
    from machine.qom.virtio import find_virtio

    find_virtio(monitor.machine, path, "VirtIO device").check_queue_element(queue)


INFO = (
    Command(
        name="virtio",
        args_type="",
        params="",
        help="List all available virtio devices",
        run=info_virtio,
    ),
    Command(
        name="virtio-status",
        args_type="path:s",
        params="path",
        help="Display status of a given virtio device",
        run=info_virtio_status,
    ),
    Command(
        name="virtio-queue-status",
        args_type="path:s,queue:i",
        params="path queue",
        help="Display status of a given virtio queue",
        run=info_virtio_queue_status,
    ),
    Command(
        name="virtio-vhost-queue-status",
        args_type="path:s,queue:i",
        params="path queue",
        help="Display status of a given vhost queue",
        run=info_virtio_vhost_queue_status,
    ),
    Command(
        name="virtio-queue-element",
        args_type="path:s,queue:i,index:i?",
        params="path queue [index]",
        help="Display element of a given virtio queue",
        run=info_virtio_queue_element,
    ),
)
