"""Dirty bitmaps: what was written to a disk since somebody asked."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def add(
    session: QmpSession,
    *,
    node: str,
    name: str,
    granularity: int | None = None,
    persistent: bool = False,
    disabled: bool = False,
) -> None:
    from machine import bitmap_actions

    bitmap_actions.add(
        session.machine,
        node,
        name,
        granularity=granularity,
        is_persistent=persistent,
        is_recording=not disabled,
    )


def remove(session: QmpSession, *, node: str, name: str) -> None:
    from machine import bitmap_actions

    bitmap_actions.remove(session.machine, node, name).commit()


def clear(session: QmpSession, *, node: str, name: str) -> None:
    from machine import bitmap_actions

    bitmap_actions.clear(session.machine, node, name)


def enable(session: QmpSession, *, node: str, name: str) -> None:
    from machine import bitmap_actions

    bitmap_actions.enable(session.machine, node, name, is_recording=True)


def disable(session: QmpSession, *, node: str, name: str) -> None:
    from machine import bitmap_actions

    bitmap_actions.enable(session.machine, node, name, is_recording=False)


def merge(
    session: QmpSession, *, node: str, target: str, bitmaps: list[str | dict[str, str]]
) -> None:
    from machine import bitmap_actions

    bitmap_actions.merge(session.machine, node, target, bitmap_actions.sources_of(bitmaps))


def sha256(session: QmpSession, *, node: str, name: str) -> dict[str, Any]:
    from blockdev.node_bitmap import digest
    from machine.bitmap_actions import find_bitmap

    _, bitmap = find_bitmap(session.machine, node, name)
    return {"sha256": digest(bitmap)}


HANDLERS: dict[str, Handler] = {
    "block-dirty-bitmap-add": add,
    "block-dirty-bitmap-clear": clear,
    "block-dirty-bitmap-disable": disable,
    "block-dirty-bitmap-enable": enable,
    "block-dirty-bitmap-merge": merge,
    "block-dirty-bitmap-remove": remove,
    "x-debug-block-dirty-bitmap-sha256": sha256,
}
