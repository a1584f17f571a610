"""Migration: to another machine, or into a file; and how fast a guest changes its memory."""

from __future__ import annotations

from blockdev.errors import DeviceNotActive, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def migrate(
    session: QmpSession,
    *,
    uri: str,
    blk: bool = False,
    inc: bool = False,
    detach: bool = False,
    resume: bool = False,
) -> None:
    """Begin; it always goes on by itself, whatever is said of that."""
    session.machine.migration.start(
        uri, session.take_descriptor, block=blk, incremental=inc, resume=resume
    )


def migrate_cancel(session: QmpSession) -> None:
    session.machine.migration.cancel()


def migrate_continue(session: QmpSession, *, state: str) -> None:
    session.machine.migration.go_on(state)


def migrate_incoming(session: QmpSession, *, uri: str) -> None:
    from machine.migration.transport import numbered_descriptor

    def take_descriptor(text: str) -> int:
        if text[:1].isdecimal():
            return numbered_descriptor(text)
        return session.take_descriptor(text)

    session.machine.incoming.start(uri, take_descriptor)


def migrate_recover(session: QmpSession, *, uri: str) -> None:
    session.machine.migration.recover()


def migrate_pause(session: QmpSession) -> None:
    session.machine.migration.pause()


def migrate_start_postcopy(session: QmpSession) -> None:
    session.machine.migration.start_postcopy()


def migrate_set_capabilities(session: QmpSession, *, capabilities: list[dict[str, Any]]) -> None:
    session.machine.migration.set_capabilities(
        {each["capability"]: each["state"] for each in capabilities}
    )


def query_migrate_capabilities(session: QmpSession) -> list[dict[str, Any]]:
    from machine.migration.capabilities import NAMES

    on = session.machine.migration.capabilities
    return [{"capability": name, "state": on[name]} for name in NAMES]


def migrate_set_parameters(session: QmpSession, **values: Any) -> None:
    named = {key.replace("_", "-"): value for key, value in values.items()}
    # No bitmap of a disk migrates here, so none can be called otherwise there.
    named.pop("block-bitmap-mapping", None)
    for name, value in named.items():
        if value is None:
            named[name] = ""
    session.machine.migration.set_parameters(named)


def query_migrate_parameters(session: QmpSession) -> dict[str, Any]:
    return session.machine.migration.parameters.values()


def query_migrate(session: QmpSession) -> dict[str, Any]:
    from hmp.qmp.migration_values import migrate_value

    return migrate_value(session.machine)


def client_migrate_info(session: QmpSession, *, protocol: str, **others: Any) -> None:
    if protocol != "spice":
        raise QemuError("Parameter 'protocol' expects 'spice'")
    raise DeviceNotActive("SPICE is not in use")


def query_colo_status(session: QmpSession) -> dict[str, str]:
    return {"mode": "none", "last-mode": "none", "reason": "none"}


def x_colo_lost_heartbeat(session: QmpSession) -> None:
    raise QemuError("The feature 'colo' is not enabled")


# --- how fast memory changes


def calc_dirty_rate(
    session: QmpSession,
    *,
    calc_time: int,
    sample_pages: int | None = None,
    mode: str = "page-sampling",
) -> None:
    from machine.dirty_rate import DEFAULT_SAMPLE_PAGES

    pages = DEFAULT_SAMPLE_PAGES if sample_pages is None else sample_pages
    session.machine.dirty_rate.start(mode, calc_time, pages)


def query_dirty_rate(session: QmpSession) -> dict[str, Any]:
    from machine.dirty_rate import MEASURED

    measured = session.machine.dirty_rate
    value = {
        "status": measured.status,
        "start-time": measured.started,
        "calc-time": measured.period,
        "sample-pages": measured.sample_pages,
        "mode": measured.mode,
    }
    if measured.status == MEASURED:
        value["dirty-rate"] = measured.rate
    return value


def set_vcpu_dirty_limit(
    session: QmpSession, *, dirty_rate: int, cpu_index: int | None = None
) -> None:
    raise QemuError(
        "dirty page limit feature requires KVM with accelerator property 'dirty-ring-size' set'"
    )


def cancel_vcpu_dirty_limit(session: QmpSession, *, cpu_index: int | None = None) -> None:
    """There is none to cancel, which QEMU does not mind."""


def query_vcpu_dirty_limit(session: QmpSession) -> list[Any]:
    return []


HANDLERS: dict[str, Handler] = {
    "calc-dirty-rate": calc_dirty_rate,
    "cancel-vcpu-dirty-limit": cancel_vcpu_dirty_limit,
    "client_migrate_info": client_migrate_info,
    "migrate": migrate,
    "migrate-continue": migrate_continue,
    "migrate-incoming": migrate_incoming,
    "migrate-pause": migrate_pause,
    "migrate-recover": migrate_recover,
    "migrate-set-capabilities": migrate_set_capabilities,
    "migrate-set-parameters": migrate_set_parameters,
    "migrate-start-postcopy": migrate_start_postcopy,
    "migrate_cancel": migrate_cancel,
    "query-colo-status": query_colo_status,
    "query-dirty-rate": query_dirty_rate,
    "query-migrate": query_migrate,
    "query-migrate-capabilities": query_migrate_capabilities,
    "query-migrate-parameters": query_migrate_parameters,
    "query-vcpu-dirty-limit": query_vcpu_dirty_limit,
    "set-vcpu-dirty-limit": set_vcpu_dirty_limit,
    "x-colo-lost-heartbeat": x_colo_lost_heartbeat,
}
