"""Jobs: work that goes on beside everything else, most of it on disks."""

from __future__ import annotations

from blockdev.errors import DeviceNotFound, QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from blockdev.block_job import BlockJob
    from hmp.qmp.dispatch import Handler
    from hmp.qmp.session import QmpSession
    from machine.job_options import JobOptions


def query_jobs(session: QmpSession) -> list[dict[str, Any]]:
    found = []
    for job in session.machine.jobs:
        value: dict[str, Any] = {
            "id": job.id,
            "type": job.type,
            "status": job.status,
            "current-progress": job.current,
            "total-progress": job.total,
        }
        if job.error is not None:
            value["error"] = str(job.error)
        found.append(value)
    return found


def query_block_jobs(session: QmpSession) -> list[dict[str, Any]]:
    from blockdev.block_job import BlockJob

    found = []
    for job in session.machine.jobs:
        if not isinstance(job, BlockJob):
            continue
        value: dict[str, Any] = {
            "type": job.type,
            "device": job.id,
            "len": job.total,
            "offset": job.current,
            "busy": job.busy,
            "paused": job.is_paused,
            "speed": job.speed,
            "io-status": job.io_status,
            "ready": job.is_ready,
            "status": job.status,
            "auto-finalize": job.auto_finalize,
            "auto-dismiss": job.auto_dismiss,
        }
        if job.error is not None:
            value["error"] = str(job.error)
        found.append(value)
    return found


# --- what a job may be asked


def job_cancel(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).cancel(force=True)


def job_complete(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).complete()


def job_dismiss(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).dismiss()


def job_finalize(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).finalize()


def job_pause(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).pause()


def job_resume(session: QmpSession, *, id: str) -> None:
    session.machine.jobs.find(id).resume()


def _block_job(session: QmpSession, id: str) -> BlockJob:
    from blockdev.block_job import find_block_job

    return find_block_job(session.machine.jobs, id)


def block_job_cancel(session: QmpSession, *, device: str, force: bool = False) -> None:
    from machine.job_options import cancel

    cancel(_block_job(session, device), force=force)


def block_job_complete(session: QmpSession, *, device: str) -> None:
    _block_job(session, device).complete()


def block_job_dismiss(session: QmpSession, *, id: str) -> None:
    _block_job(session, id).dismiss()


def block_job_finalize(session: QmpSession, *, id: str) -> None:
    _block_job(session, id).finalize()


def block_job_pause(session: QmpSession, *, device: str) -> None:
    _block_job(session, device).pause()


def block_job_resume(session: QmpSession, *, device: str) -> None:
    _block_job(session, device).resume()


def block_job_set_speed(session: QmpSession, *, device: str, speed: int) -> None:
    _block_job(session, device).set_speed(speed)


# --- jobs that begin


def _options(values: dict[str, Any]) -> JobOptions:
    """What all jobs may be given, of the arguments of one."""
    from machine.job_options import options_of

    return options_of({key.replace("_", "-"): value for key, value in values.items()})


def block_stream(
    session: QmpSession,
    *,
    device: str,
    base: str | None = None,
    base_node: str | None = None,
    backing_file: str = "",
    bottom: str | None = None,
    **others: Any,
) -> None:
    from machine import chain_jobs

    if base is not None and base_node is not None:
        raise QemuError("'base' and 'base-node' cannot be specified at the same time")
    if base is not None and bottom is not None:
        raise QemuError("'base' and 'bottom' cannot be specified at the same time")
    if bottom is not None and base_node is not None:
        raise QemuError("'bottom' and 'base-node' cannot be specified at the same time")
    chain_jobs.block_stream(
        session.machine,
        device,
        base=base,
        base_node=base_node,
        bottom=bottom,
        backing_name=backing_file,
        options=_options(others),
    )


def block_commit(
    session: QmpSession,
    *,
    device: str,
    base_node: str | None = None,
    base: str | None = None,
    top_node: str | None = None,
    top: str | None = None,
    backing_file: str = "",
    **others: Any,
) -> None:
    from machine import chain_jobs
    from machine.block_lookup import find_image, find_node

    machine = session.machine
    if machine.drives.backend(device) is None and machine.graph.find(device) is None:
        raise DeviceNotFound(device)
    active = find_node(machine, device, device)
    chain_jobs.block_commit(
        machine,
        device,
        top=find_image(machine, active, top_node, top, "top"),
        base=find_image(machine, active, base_node, base, "base"),
        backing_name=backing_file,
        options=_options(others),
    )


def drive_mirror(
    session: QmpSession,
    *,
    device: str,
    target: str,
    sync: str,
    format: str | None = None,
    node_name: str | None = None,
    replaces: str | None = None,
    mode: str = "absolute-paths",
    granularity: int = 0,
    **others: Any,
) -> None:
    from machine import copy_jobs

    copy_jobs.drive_mirror(
        session.machine,
        device,
        target,
        driver=format,
        sync=sync,
        mode=mode,
        options=_options(others),
        target_name=node_name,
        replaces=replaces,
        granularity=granularity,
    )


def blockdev_mirror(
    session: QmpSession,
    *,
    device: str,
    target: str,
    sync: str,
    replaces: str | None = None,
    granularity: int = 0,
    **others: Any,
) -> None:
    from machine import copy_jobs
    from machine.block_lookup import find_node, find_root

    machine = session.machine
    copy_jobs.mirror(
        machine,
        find_root(machine, device),
        find_node(machine, target, target),
        sync=sync,
        options=_options(others),
        keeps_chain=True,
        replaces=replaces,
        granularity=granularity,
    )


def drive_backup(
    session: QmpSession,
    *,
    device: str,
    target: str,
    sync: str,
    format: str | None = None,
    mode: str = "absolute-paths",
    compress: bool = False,
    bitmap: str | None = None,
    bitmap_mode: str | None = None,
    x_perf: dict[str, Any] | None = None,
    **others: Any,
) -> None:
    from machine import copy_jobs

    copy_jobs.drive_backup(
        session.machine,
        device,
        target,
        driver=format,
        sync=sync,
        mode=mode,
        compress=compress,
        options=_options(others),
        bitmap=bitmap,
        bitmap_mode=bitmap_mode,
        perf=x_perf,
    )


def blockdev_backup(
    session: QmpSession,
    *,
    device: str,
    target: str,
    sync: str,
    compress: bool = False,
    bitmap: str | None = None,
    bitmap_mode: str | None = None,
    x_perf: dict[str, Any] | None = None,
    **others: Any,
) -> None:
    from machine import copy_jobs
    from machine.block_lookup import find_node

    machine = session.machine
    copy_jobs.backup(
        machine,
        find_node(machine, device, device),
        find_node(machine, target, target),
        sync=sync,
        compress=compress,
        options=_options(others),
        bitmap=bitmap,
        bitmap_mode=bitmap_mode,
        perf=x_perf,
    )


def transaction(
    session: QmpSession,
    *,
    actions: list[dict[str, Any]],
    properties: dict[str, Any] | None = None,
) -> None:
    from machine.transaction import INDIVIDUAL, run

    mode = (properties or {}).get("completion-mode", INDIVIDUAL)
    run(session.machine, [(each["type"], each["data"]) for each in actions], mode)


HANDLERS: dict[str, Handler] = {
    "block-commit": block_commit,
    "block-job-cancel": block_job_cancel,
    "block-job-complete": block_job_complete,
    "block-job-dismiss": block_job_dismiss,
    "block-job-finalize": block_job_finalize,
    "block-job-pause": block_job_pause,
    "block-job-resume": block_job_resume,
    "block-job-set-speed": block_job_set_speed,
    "block-stream": block_stream,
    "blockdev-backup": blockdev_backup,
    "blockdev-mirror": blockdev_mirror,
    "drive-backup": drive_backup,
    "drive-mirror": drive_mirror,
    "job-cancel": job_cancel,
    "job-complete": job_complete,
    "job-dismiss": job_dismiss,
    "job-finalize": job_finalize,
    "job-pause": job_pause,
    "job-resume": job_resume,
    "query-block-jobs": query_block_jobs,
    "query-jobs": query_jobs,
    "transaction": transaction,
}
