"""Jobs on disks: what they hold meanwhile, how fast they go, and what is told of them."""

from __future__ import annotations

import errno

from blockdev.copying import ReadError
from blockdev.errors import DeviceNotActive, QemuError
from blockdev.job import Job
from blockdev.node import OpBlocker
from blockdev.rate_limit import RateLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from blockdev.job import Rest
    from blockdev.jobs import Jobs
    from blockdev.node import BlockNode

REPORT, IGNORE, ENOSPC, STOP, AUTO = ON_ERROR = ("report", "ignore", "enospc", "stop", "auto")


class BlockJob(Job):
    """A job that holds nodes.

    Args:
        id: of the job, mostly the name of the drive that it is about.
        nodes: what nobody else may do much to meanwhile.
        speed: bytes a second; 0 for no limit.

    Attributes:
        io_status: "ok", or what stopped it: "failed" or "nospace".
    """

    can_set_speed = True

    def __init__(
        self,
        jobs: Jobs,
        id: str,
        nodes: Sequence[BlockNode],
        *,
        speed: int = 0,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        if speed < 0:
            raise QemuError("Parameter 'speed' expects a non-negative value")
        super().__init__(jobs, id, auto_finalize=auto_finalize, auto_dismiss=auto_dismiss)
        self.check_verb("set-speed")  # in QEMU too the first speed is set like any other
        self.limit = RateLimit(speed, jobs.now_ns)
        self.io_status = "ok"
        self._blocker = OpBlocker(f"block device is in use by block job: {self.type}")
        self._held: list[BlockNode] = []
        self.hold_nodes(nodes)

    def hold_nodes(self, nodes: Sequence[BlockNode]) -> None:
        """Keep others off these, until the end."""
        for node in nodes:
            self._held.append(node)
            node.op_blockers.append(self._blocker)

    def clean(self) -> None:
        for node in self._held:
            node.op_blockers.remove(self._blocker)
        self._held = []

    def undone_on_failure(self) -> _Undone:
        """Around what may fail while the job is made: there was no such job then."""
        return _Undone(self)

    @property
    def speed(self) -> int:
        """Bytes a second; 0 for no limit."""
        return self.limit.speed

    def set_speed(self, speed: int) -> None:
        """Go faster or slower from now on.

        Raises:
            QemuError: it can't now, or so.
        """
        self.check_verb("set-speed")
        if speed < 0:
            raise QemuError("Parameter 'speed' expects a non-negative value")
        self.limit.set_speed(speed)
        self.wake()

    def rested(self, size: int) -> Iterator[Rest]:
        """Rest after so many bytes of work, as the speed asks for; a turn at least."""
        self.current += size
        self.limit.count(size)
        yield self.limit.delay_ns()

    def limited(self) -> Iterator[Rest]:
        """Rest as long as the speed asks for, whoever wakes the job meanwhile; a turn at least."""
        while delay := self.limit.delay_ns():
            yield delay
        yield 0

    # --- faults of a disk

    def attempt(
        self,
        work: Callable[[], object],
        *,
        on_error: str = REPORT,
        on_read_error: str | None = None,
    ) -> Iterator[Rest]:
        """Do one piece of work; where it fails, what the user wants then.

        Yields where the job stops for the user to mend the disk; it is tried again then.

        Args:
            on_error: one of `ON_ERROR`.
            on_read_error: the same for what couldn't be read; None: `on_error`.

        Raises:
            QemuError: it failed, and is to be reported.
        """
        while True:
            try:
                work()
            except QemuError as error:
                is_read = isinstance(error, ReadError)
                policy = on_read_error if is_read and on_read_error is not None else on_error
                action = self._action(policy, error)
                self._jobs.emit(
                    "BLOCK_JOB_ERROR",
                    device=self.id,
                    operation="read" if is_read else "write",
                    action=action,
                )
                if action == REPORT:
                    raise
                if action == IGNORE:
                    return
                if self.io_status == "ok":
                    self.io_status = "nospace" if error.errno_value == errno.ENOSPC else "failed"
                if not self.is_paused_by_user:
                    self.pause()
                yield 0
            else:
                return

    def _action(self, on_error: str, error: QemuError) -> str:
        if on_error in (ENOSPC, AUTO):
            return STOP if error.errno_value == errno.ENOSPC else REPORT
        return on_error

    def resumed(self) -> None:
        self.io_status = "ok"

    # --- what is told of it

    def _told(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "device": self.id,
            "len": self.total,
            "offset": self.current,
            "speed": self.speed,
        }

    def _tell_ready(self) -> None:
        self._jobs.emit("BLOCK_JOB_READY", **self._told())

    def tell_pending(self) -> None:
        self._jobs.emit("BLOCK_JOB_PENDING", type=self.type, id=self.id)

    def _tell_end(self) -> None:
        told = self._told()
        if self.is_cancelled:
            self._jobs.emit("BLOCK_JOB_CANCELLED", **told)
        else:
            if self.error is not None:
                told["error"] = str(self.error)
            self._jobs.emit("BLOCK_JOB_COMPLETED", **told)


class _Undone:
    """Cancels a job that can't begin."""

    __slots__ = ("_job",)

    def __init__(self, job: BlockJob) -> None:
        self._job = job

    def __enter__(self) -> None:
        """Nothing is done yet."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._job.cancel_anyway(force=True)


def find_block_job(jobs: Jobs, id: str) -> BlockJob:
    """The job of this name on a disk.

    Raises:
        QemuError: there is none.
    """
    job = jobs.get(id)
    if not isinstance(job, BlockJob):
        raise DeviceNotActive(f"Block job '{id}' not found")
    return job
