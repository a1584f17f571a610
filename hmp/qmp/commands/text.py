"""What only people read, as text; and statistics, of which there are none."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_stats(session: QmpSession, *, target: str, **others: Any) -> list[Any]:
    """Only KVM provides statistics, so there are never any."""
    return []


def query_stats_schemas(session: QmpSession, **others: Any) -> list[Any]:
    return []


def _told(topic: str) -> Handler:
    """A command that answers with the text of an `info` topic."""

    def query(session: QmpSession) -> dict[str, str]:
        from hmp.monitor import Monitor

        output: list[str] = []
        monitor = Monitor(session.machine, output.append)
        for _ in monitor.execute(f"info {topic}"):
            pass
        if monitor.failure is not None:
            raise QemuError(monitor.failure.text)
        return {"human-readable-text": "".join(output)}

    return query


_TOPICS = ("irq", "jit", "numa", "opcount", "profile", "ramblock", "rdma", "roms", "usb")

HANDLERS: dict[str, Handler] = {
    "query-stats": query_stats,
    "query-stats-schemas": query_stats_schemas,
    **{f"x-query-{topic}": _told(topic) for topic in _TOPICS},
}
