"""The jobs that there are.

`Jobs` is given a way to run them, and a way to tell of events: no job knows of a monitor or a
machine.
"""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from blockdev.naming import is_identifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.job import Job

    Emit = Callable[..., object]
    Spawn = Callable[[Job], object]


class Jobs:
    """The jobs that there are, newest first, as QEMU lists them.

    Args:
        spawn: runs a job's `steps` from the loop's next turn on; see `Job.on_wake`.
        emit: tells of an event: its name, and its data as keywords with ``_`` for ``-``.
        now_ns: the clock that speeds go by.
        log_exception: keeps the traceback of a mistake of ours.
        trace: takes the moments of jobs: an event's name, and its text.
    """

    def __init__(
        self,
        spawn: Spawn,
        emit: Emit = lambda name, **data: None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        log_exception: Callable[[], object] = lambda: None,
        trace: Callable[[str, str], object] = lambda name, text: None,
    ) -> None:
        self.trace = trace
        self.log_exception = log_exception
        self.emit = emit
        self.now_ns = now_ns
        self._spawn = spawn
        self._by_id: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._by_id.values())[::-1])

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, id: str) -> Job:
        """The job of this name.

        Raises:
            QemuError: there is none.
        """
        job = self._by_id.get(id)
        if job is None:
            raise QemuError("Job not found")
        return job

    def get(self, id: str) -> Job | None:
        """The job of this name; None if there is none."""
        return self._by_id.get(id)

    def check_id(self, id: str) -> None:
        """See that a new job may have this name.

        Raises:
            QemuError: it is no name, or taken.
        """
        if not is_identifier(id):
            raise QemuError(f"Invalid job ID '{id}'")
        if id in self._by_id:
            raise QemuError(f"Job ID '{id}' already in use")

    def cancel_all(self) -> None:
        """Stop all jobs for good, as at the end of the program."""
        for job in self:
            job.cancel_anyway(force=True)
            job.finish()

    def _enter(self, job: Job) -> None:
        self.check_id(job.id)
        self._by_id[job.id] = job

    def _leave(self, job: Job) -> None:
        del self._by_id[job.id]
