"""What Xen asks of QEMU: that of a machine which isn't Xen's, and of disks copied to another."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def xen_set_replication(
    session: QmpSession, *, enable: bool, primary: bool, failover: bool | None = None
) -> None:
    """No disk of ours is ever copied so: there is nothing to start or stop."""
    if enable and failover is not None:
        raise QemuError("Parameter 'failover' is only for stopping replication")


def xen_colo_do_checkpoint(session: QmpSession) -> None:
    """Likewise."""


def query_xen_replication_status(session: QmpSession) -> dict[str, bool]:
    return {"error": False}


def xen_set_global_dirty_log(session: QmpSession, *, enable: bool) -> None:
    """Whether a guest's writes are noted, which nobody here looks at."""


def xen_save_devices_state(
    session: QmpSession, *, filename: str, live: bool = True
) -> Iterator[object]:
    from machine.migration.device_state import save_devices

    yield from save_devices(session.machine, filename)


def xen_load_devices_state(session: QmpSession, *, filename: str) -> Iterator[object]:
    from machine.migration.device_state import load_devices

    yield from load_devices(session.machine, filename)


HANDLERS: dict[str, Handler] = {
    "query-xen-replication-status": query_xen_replication_status,
    "xen-colo-do-checkpoint": xen_colo_do_checkpoint,
    "xen-load-devices-state": xen_load_devices_state,
    "xen-save-devices-state": xen_save_devices_state,
    "xen-set-global-dirty-log": xen_set_global_dirty_log,
    "xen-set-replication": xen_set_replication,
}
