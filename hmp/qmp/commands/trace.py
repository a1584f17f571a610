"""Looking back and into: recordings that are replayed, and trace events."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_replay(session: QmpSession) -> dict[str, Any]:
    return {"mode": "none", "icount": 0}


def replay_break(session: QmpSession, *, icount: int) -> None:
    raise QemuError("setting the breakpoint is allowed only in play mode")


def replay_delete_break(session: QmpSession) -> None:
    raise QemuError("replay breakpoints are allowed only in play mode")


def replay_seek(session: QmpSession, *, icount: int) -> None:
    raise QemuError("replay must be enabled to seek")


def trace_event_get_state(
    session: QmpSession, *, name: str, vcpu: int | None = None
) -> list[dict[str, Any]]:
    _check(session, name, vcpu)
    return []


def trace_event_set_state(
    session: QmpSession,
    *,
    name: str,
    enable: bool,
    ignore_unavailable: bool = False,
    vcpu: int | None = None,
) -> None:
    _check(session, name, vcpu)


def _check(session: QmpSession, name: str, vcpu: int | None) -> None:
    """There is no trace event at all: a pattern finds nothing, a name is unknown."""
    if vcpu is not None and not any(cpu.index == vcpu for cpu in session.machine.cpus):
        raise QemuError(f"invalid vCPU index {vcpu}")
    if "*" not in name and "?" not in name:
        raise QemuError(f'unknown event "{name}"')


HANDLERS: dict[str, Handler] = {
    "query-replay": query_replay,
    "replay-break": replay_break,
    "replay-delete-break": replay_delete_break,
    "replay-seek": replay_seek,
    "trace-event-get-state": trace_event_get_state,
    "trace-event-set-state": trace_event_set_state,
}
