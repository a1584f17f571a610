"""Nodes of the block graph: made, changed, watched, and looked at."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession


def blockdev_create(session: QmpSession, *, job_id: str, options: dict[str, Any]) -> None:
    from machine import create_job

    create_job.create(session.machine, job_id, options)


def x_blockdev_amend(
    session: QmpSession,
    *,
    job_id: str,
    node_name: str,
    options: dict[str, Any],
    force: bool = False,
) -> None:
    from machine import create_job

    create_job.amend(session.machine, job_id, node_name, options)


def blockdev_reopen(session: QmpSession, *, options: list[dict[str, Any]]) -> None:
    from machine import node_change

    node_change.reopen(session.machine, options)


def change_backing_file(
    session: QmpSession, *, device: str, image_node_name: str, backing_file: str
) -> None:
    from machine import node_change

    node_change.change_backing_file(session.machine, device, image_node_name, backing_file)


def block_set_write_threshold(session: QmpSession, *, node_name: str, write_threshold: int) -> None:
    from machine import node_change

    node_change.set_write_threshold(session.machine, node_name, write_threshold)


def block_latency_histogram_set(session: QmpSession, *, id: str, **boundaries: list[int]) -> None:
    from machine import node_change

    by_kind = {
        name.removeprefix("boundaries").removeprefix("_"): values
        for name, values in boundaries.items()
    }
    node_change.set_latency_histogram(session.machine, id, by_kind)


def x_blockdev_set_iothread(
    session: QmpSession, *, node_name: str, iothread: str | None, force: bool = False
) -> None:
    from machine import node_change

    node_change.set_iothread(session.machine, node_name, iothread, force=force)


def x_blockdev_change(
    session: QmpSession, *, parent: str, child: str | None = None, node: str | None = None
) -> None:
    from machine import node_change

    node_change.change_children(session.machine, parent, child, node)


def x_debug_query_block_graph(session: QmpSession) -> dict[str, Any]:
    from hmp.qmp.block_graph import graph_value

    return graph_value(session.machine)


HANDLERS: dict[str, Handler] = {
    "block-latency-histogram-set": block_latency_histogram_set,
    "block-set-write-threshold": block_set_write_threshold,
    "blockdev-create": blockdev_create,
    "blockdev-reopen": blockdev_reopen,
    "change-backing-file": change_backing_file,
    "x-blockdev-amend": x_blockdev_amend,
    "x-blockdev-change": x_blockdev_change,
    "x-blockdev-set-iothread": x_blockdev_set_iothread,
    "x-debug-query-block-graph": x_debug_query_block_graph,
}
