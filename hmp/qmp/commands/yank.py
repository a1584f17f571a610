"""Connections that hang, and how to break them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def query_yank(session: QmpSession) -> list[dict[str, str]]:
    from machine.yank import instances

    return [each.value for each in instances(session.machine)]


def yank(session: QmpSession, *, instances: list[dict[str, str]]) -> None:
    from machine import yank

    yank.yank(session.machine, instances)


HANDLERS: dict[str, Handler] = {
    "query-yank": query_yank,
    "yank": yank,
}
