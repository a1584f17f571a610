"""What every job on a disk may be given, and how one is called off."""

from __future__ import annotations

from blockdev.block_job import REPORT
from blockdev.errors import QemuError
from machine.block_lookup import device_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from blockdev.block_job import BlockJob
    from blockdev.node import BlockNode
    from machine.machine import Machine


class JobOptions:
    """What all jobs may be given.

    Attributes:
        id: the job's name; None for the drive's.
        speed: bytes a second; 0 for no limit.
        on_error, on_target_error: what becomes of a fault of the disk, or of the target.
        filter_name: what the node is called that a job puts over the disk.
        is_held: the job doesn't begin before somebody calls its `start`.
    """

    __slots__ = (
        "auto_dismiss",
        "auto_finalize",
        "filter_name",
        "id",
        "is_held",
        "on_error",
        "on_target_error",
        "speed",
    )

    def __init__(
        self,
        id: str | None = None,
        *,
        speed: int = 0,
        on_error: str = REPORT,
        on_target_error: str = REPORT,
        filter_name: str | None = None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
        is_held: bool = False,
    ) -> None:
        self.id = id
        self.is_held = is_held
        self.speed = speed
        self.on_error = on_error
        self.on_target_error = on_target_error
        self.filter_name = filter_name
        self.auto_finalize = auto_finalize
        self.auto_dismiss = auto_dismiss

    def job_id(self, machine: Machine, node: BlockNode) -> str:
        """What the job is called, or the drive's id; "" for a node, which no job may be called."""
        return device_name(machine, node) if self.id is None else self.id

    def begin(self, job: BlockJob) -> None:
        """Let a job begin, unless that is somebody else's to say."""
        if not self.is_held:
            job.start()


def options_of(values: Mapping[str, Any], *, is_held: bool = False) -> JobOptions:
    """What all jobs may be given, of the arguments of one by QMP's names."""
    return JobOptions(
        values.get("job-id"),
        speed=values.get("speed", 0),
        on_error=values.get("on-source-error", values.get("on-error", REPORT)),
        on_target_error=values.get("on-target-error", REPORT),
        filter_name=values.get("filter-node-name"),
        auto_finalize=values.get("auto-finalize", True),
        auto_dismiss=values.get("auto-dismiss", True),
        is_held=is_held,
    )


def cancel(job: BlockJob, *, force: bool) -> None:
    """Stop a job for good; without force one that is ready may end well.

    Raises:
        QemuError: somebody paused it, or it can't be stopped now.
    """
    if job.is_paused_by_user and not force:
        raise QemuError(f"The block job for device '{job.id}' is currently paused")
    job.cancel(force=force)
