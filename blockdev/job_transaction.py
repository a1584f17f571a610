"""Jobs that come to a good end all together or not at all; most jobs are alone in theirs."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.job_states import CONCLUDED, NULL, PENDING, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.job import Job


class JobTransaction:
    """Waits until all of its jobs are done with their work.

    Attributes:
        jobs: the newest first.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._is_aborting = False

    def add(self, job: Job) -> None:
        """Let a job be one of them, which leaves the transaction it was in."""
        if job.transaction is not self:
            job.transaction.jobs.remove(job)
            job.transaction = self
        self.jobs.insert(0, job)

    def succeeded(self, job: Job) -> None:
        """A job's work is done; it waits for the others'."""
        if self._is_aborting:
            return
        job.follow(WAITING)
        if any(other.status != WAITING for other in self.jobs):
            return
        for each in self.jobs:
            each.follow(PENDING)
            if not each.auto_finalize:
                each.tell_pending()
        if all(each.auto_finalize for each in self.jobs):
            self.finalize()

    def finalize(self) -> None:
        """Do what remains to be done at the end, of all jobs."""
        for job in self.jobs:
            try:
                job.prepare()
            except QemuError as error:
                self.failed(job, error)
                return
        for job in list(self.jobs):
            job.commit()
            job.conclude()

    def failed(self, job: Job, error: QemuError | None) -> None:
        """A job failed, or was cancelled if there is no error: so do all others."""
        if self._is_aborting:
            job.error = error
            return
        self._is_aborting = True
        job.error = error
        others = [each for each in self.jobs if each is not job]
        for other in others:
            other.be_cancelled(force=True)
        for other in others:
            other.finish()
        for each in list(self.jobs):
            if each.status not in (CONCLUDED, NULL):
                each.end_badly()
