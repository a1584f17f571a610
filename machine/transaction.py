"""Several changes of disks that are made together or not at all: QMP's `transaction`.

Each action is prepared in turn, which does its work; if one can't be, those before it are undone,
the last first. Jobs are only made then; when all is prepared all of them begin before one goes on.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.job_transaction import JobTransaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from blockdev.block_job import BlockJob
    from machine.machine import Machine

INDIVIDUAL, GROUPED = "individual", "grouped"


class Action:
    """What was prepared.

    Attributes:
        undo: takes it back.
        commit: what remains to be done when all is prepared.
        clean: what remains then.
        job: the one that was made; None for none.
    """

    __slots__ = ("clean", "commit", "job", "undo")

    def __init__(
        self,
        undo: Callable[[], object] = lambda: None,
        commit: Callable[[], object] = lambda: None,
        clean: Callable[[], object] = lambda: None,
        job: BlockJob | None = None,
    ) -> None:
        self.undo = undo
        self.commit = commit
        self.clean = clean
        self.job = job


def run(
    machine: Machine,
    actions: Sequence[tuple[str, dict[str, Any]]],
    completion_mode: str = INDIVIDUAL,
) -> None:
    """Do all of some actions, or none.

    Args:
        actions: the type of each, and its data by QMP's names.
        completion_mode: whether the jobs among them succeed each by itself, or only together.

    Raises:
        QemuError: one can't be done; those before it are undone.
    """
    done: list[Action] = []
    group = JobTransaction()
    try:
        for kind, data in actions:
            if completion_mode == GROUPED and kind not in _MAY_BE_GROUPED:
                raise QemuError(
                    f"Action '{kind}' does not support Transaction property "
                    f"completion-mode = {GROUPED}"
                )
            action = _PREPARE[kind](machine, data)
            done.append(action)
            if completion_mode == GROUPED and action.job is not None:
                group.add(action.job)
    except QemuError:
        for action in reversed(done):
            action.undo()
        raise
    for action in done:
        action.commit()
    for action in done:
        action.clean()


def _abort(machine: Machine, data: dict[str, Any]) -> Action:
    raise QemuError("Transaction aborted using Abort action")


def _snapshot_internal(machine: Machine, data: dict[str, Any]) -> Action:
    from machine.device_snapshot import create_on_device, delete_on_device

    device, name = data["device"], data["name"]
    create_on_device(machine, device, name)
    return Action(undo=lambda: delete_on_device(machine, device, name, None))


def _snapshot_to_file(machine: Machine, data: dict[str, Any]) -> Action:
    from machine.external_snapshot import snapshot_to_file, take_off

    overlay = snapshot_to_file(
        machine,
        data.get("device", ""),
        data["snapshot-file"],
        node_name=data.get("node-name", ""),
        driver=data.get("format", "qcow2"),
        is_existing=data.get("mode") == "existing",
        overlay_name=data.get("snapshot-node-name"),
    )
    return Action(undo=lambda: take_off(machine, overlay))


def _snapshot_to_node(machine: Machine, data: dict[str, Any]) -> Action:
    from machine.block_lookup import find_node
    from machine.external_snapshot import append, take_off

    old = find_node(machine, data["node"], data["node"])
    overlay = find_node(machine, data["overlay"], data["overlay"])
    append(machine, overlay, old)
    return Action(undo=lambda: take_off(machine, overlay))


def _drive_backup(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import copy_jobs, job_options

    job = copy_jobs.drive_backup(
        machine,
        data["device"],
        data["target"],
        driver=data.get("format"),
        sync=data["sync"],
        mode=data.get("mode", copy_jobs.ABSOLUTE_PATHS),
        compress=data.get("compress", False),
        options=job_options.options_of(data, is_held=True),
        bitmap=data.get("bitmap"),
        bitmap_mode=data.get("bitmap-mode"),
        perf=data.get("x-perf"),
    )
    return _job(job)


def _blockdev_backup(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import copy_jobs, job_options
    from machine.block_lookup import find_node

    job = copy_jobs.backup(
        machine,
        find_node(machine, data["device"], data["device"]),
        find_node(machine, data["target"], data["target"]),
        sync=data["sync"],
        compress=data.get("compress", False),
        options=job_options.options_of(data, is_held=True),
        bitmap=data.get("bitmap"),
        bitmap_mode=data.get("bitmap-mode"),
        perf=data.get("x-perf"),
    )
    return _job(job)


def _job(job: BlockJob) -> Action:
    return Action(
        undo=lambda: job.cancel_anyway(force=True), commit=job.enter, clean=job.go, job=job
    )


def _add_bitmap(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    return bitmap_actions.add(
        machine,
        data["node"],
        data["name"],
        granularity=data.get("granularity"),
        is_persistent=data.get("persistent", False),
        is_recording=not data.get("disabled", False),
    )


def _remove_bitmap(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    return bitmap_actions.remove(machine, data["node"], data["name"])


def _clear_bitmap(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    return bitmap_actions.clear(machine, data["node"], data["name"])


def _enable_bitmap(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    return bitmap_actions.enable(machine, data["node"], data["name"], is_recording=True)


def _disable_bitmap(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    return bitmap_actions.enable(machine, data["node"], data["name"], is_recording=False)


def _merge_bitmaps(machine: Machine, data: dict[str, Any]) -> Action:
    from machine import bitmap_actions

    sources = bitmap_actions.sources_of(data["bitmaps"])
    return bitmap_actions.merge(machine, data["node"], data["target"], sources)


_MAY_BE_GROUPED = ("abort", "blockdev-backup", "drive-backup")
_PREPARE: dict[str, Callable[[Machine, dict[str, Any]], Action]] = {
    "abort": _abort,
    "block-dirty-bitmap-add": _add_bitmap,
    "block-dirty-bitmap-clear": _clear_bitmap,
    "block-dirty-bitmap-disable": _disable_bitmap,
    "block-dirty-bitmap-enable": _enable_bitmap,
    "block-dirty-bitmap-merge": _merge_bitmaps,
    "block-dirty-bitmap-remove": _remove_bitmap,
    "blockdev-backup": _blockdev_backup,
    "blockdev-snapshot": _snapshot_to_node,
    "blockdev-snapshot-internal-sync": _snapshot_internal,
    "blockdev-snapshot-sync": _snapshot_to_file,
    "drive-backup": _drive_backup,
}
