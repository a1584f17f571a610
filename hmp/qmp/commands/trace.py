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
    wanted = session.machine.trace.wanted
    # QEMU tells of its events from the last to the first.
    return [
        {"name": each, "state": "enabled" if each in wanted else "disabled", "vcpu": False}
        for each in reversed(_named(session, name, vcpu))
    ]


def trace_event_set_state(
    session: QmpSession,
    *,
    name: str,
    enable: bool,
    ignore_unavailable: bool = False,
    vcpu: int | None = None,
) -> None:
    for each in _named(session, name, vcpu):
        session.machine.trace.set(each, enable)


def _named(session: QmpSession, name: str, vcpu: int | None) -> list[str]:
    """The events that a name or pattern stands for; none of ours is one of a single processor's."""
    from machine.trace import is_pattern, matching

    if vcpu is not None and not any(cpu.index == vcpu for cpu in session.machine.cpus):
        raise QemuError(f"invalid vCPU index {vcpu}")
    found = list(matching(name))
    if is_pattern(name):
        return found if vcpu is None else []
    if not found:
        raise QemuError(f'unknown event "{name}"')
    if vcpu is not None:
        raise QemuError(f'event "{name}" is not vCPU-specific')
    return found


HANDLERS: dict[str, Handler] = {
    "query-replay": query_replay,
    "replay-break": replay_break,
    "replay-delete-break": replay_delete_break,
    "replay-seek": replay_seek,
    "trace-event-get-state": trace_event_get_state,
    "trace-event-set-state": trace_event_set_state,
}
