"""Work that goes on beside everything else: QEMU's jobs, and what one may be asked.

A job is a generator that does a little and rests. Whoever has a loop runs it: see `blockdev.jobs`.
"""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.job_states import (
    ABORTING,
    CONCLUDED,
    CREATED,
    NULL,
    PAUSED,
    PENDING,
    READY,
    RUNNING,
    STANDBY,
    TRANSITIONS,
    UNDEFINED,
    VERBS,
    WAITING,
)
from blockdev.job_transaction import JobTransaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from blockdev.jobs import Jobs

    # What a step of a job yields: for how many ns it rests, 0 for just a turn of the loop, or
    # None until `Job.wake`.
    Rest = int | None


class Job:
    """One piece of work; subclasses say what it is.

    Args:
        id: unique among the jobs that there are.
        auto_finalize: whether it comes to its end without being told to.
        auto_dismiss: whether it is forgotten then.

    Attributes:
        status: one of the states above.
        current, total: how far it is, in a unit of its own.
        error: why it failed; None while it didn't.
        transaction: the jobs that it comes to its end with.
        busy: whether it is at work, not resting.
    """

    type = ""  # QEMU's JobType
    can_complete = False  # whether it waits to be told to, when it is ready

    def __init__(
        self, jobs: Jobs, id: str, *, auto_finalize: bool = True, auto_dismiss: bool = True
    ) -> None:
        self.id = id
        self.auto_finalize = auto_finalize
        self.auto_dismiss = auto_dismiss
        self.status = UNDEFINED
        self.current = 0
        self.total = 0
        self.error: QemuError | None = None
        self.busy = False
        self.on_wake: Callable[[], object] | None = None
        self._jobs = jobs
        self._pause_count = 0
        self._is_paused_by_user = False
        self._is_cancelled = False
        self._is_forced = False
        self._stepper: Generator[Rest, None, None] | None = None
        self._first_rest: Rest = 0
        self.transaction = JobTransaction()
        self.transaction.add(self)
        jobs._enter(self)
        self.follow(CREATED)

    # --- what a subclass says

    def run(self) -> Generator[Rest, None, None]:
        """The work; yields where it may rest, be paused or be cancelled.

        A forced cancel closes the generator where it rests. `soft_cancel` says what another does.

        Raises:
            QemuError: it failed.
        """
        raise NotImplementedError

    def prepare(self) -> None:
        """The last that may fail, once the job may come to its end.

        Raises:
            QemuError: it failed.
        """

    def commit(self) -> None:
        """It succeeded."""

    def abort(self) -> None:
        """It failed, or was cancelled; also before it ran."""

    def clean(self) -> None:
        """After either: let go what it held."""

    def soft_cancel(self) -> bool:
        """Asked to stop without force: whether it ends well by itself; by default it doesn't."""
        return False

    def completed(self) -> None:
        """Asked to come to its end; only for those that `can_complete`."""

    def _tell_end(self) -> None:
        """Emit what is emitted besides `JOB_STATUS_CHANGE` when it is over."""

    def tell_pending(self) -> None:
        """Emit what is emitted besides when it waits for `finalize`."""

    # --- what it is

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused it, though it may not have noticed yet."""
        return self._pause_count > 0

    @property
    def is_paused_by_user(self) -> bool:
        return self._is_paused_by_user

    @property
    def is_ready(self) -> bool:
        """Whether it may be asked to come to its end."""
        return self.status in (READY, STANDBY)

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to stop with its work undone."""
        return self._is_cancelled and self._is_forced

    @property
    def is_cancel_requested(self) -> bool:
        """Whether it was asked to stop, with force or without."""
        return self._is_cancelled

    @property
    def is_over(self) -> bool:
        return self.status in (CONCLUDED, NULL)

    @property
    def progress_text(self) -> str:
        """How far it is, in a word or two."""
        if self.status != RUNNING:
            return self.status
        return f"{100 * self.current // self.total if self.total else 0}%"

    def check_verb(self, verb: str) -> None:
        """See that the job takes a word in its state.

        Raises:
            QemuError: it doesn't.
        """
        is_allowed = self.status in VERBS[verb]
        self._jobs.trace(
            "job_apply_verb",
            f"job {id(self):#x} in state {self.status}; applying verb {verb} "
            f"({'allowed' if is_allowed else 'prohibited'})",
        )
        if not is_allowed:
            raise QemuError(
                f"Job '{self.id}' in state '{self.status}' cannot accept command verb '{verb}'"
            )

    # --- what it may be asked

    def pause(self) -> None:
        """Stop working for a while, at the next rest."""
        self.check_verb("pause")
        if self._is_paused_by_user:
            raise QemuError("Job is already paused")
        self._is_paused_by_user = True
        self.hold()

    def resume(self) -> None:
        """Work on."""
        self.check_verb("resume")
        if not self._is_paused_by_user:
            raise QemuError("Can't resume a job that was not paused")
        self.resumed()
        self._is_paused_by_user = False
        self.release()

    def resumed(self) -> None:
        """The user lets it work on, so what it complained of is forgotten."""

    def hold(self) -> None:
        """Pause it for a reason that isn't the user's; `release` undoes that."""
        self._pause_count += 1
        if self._is_resting and self.status in (RUNNING, READY):
            self._halt()
        self.wake()

    def release(self) -> None:
        self._pause_count -= 1
        if not self._pause_count:
            self._go_on()
            self.wake()

    @property
    def _is_resting(self) -> bool:
        """Whether it waits for a time or a word, so that it can answer at once."""
        return self._stepper is not None and not self.busy

    def _halt(self) -> None:
        self.follow(STANDBY if self.is_ready else PAUSED)
        self.busy = False

    def _go_on(self) -> None:
        if self.status in (PAUSED, STANDBY):
            self.follow(READY if self.status == STANDBY else RUNNING)

    def cancel(self, *, force: bool = False) -> None:
        """Stop for good; without force one that is ready may end well."""
        self.check_verb("cancel")
        self.cancel_anyway(force=force)

    def cancel_anyway(self, *, force: bool) -> None:
        """As `cancel`, whatever the state; nothing for a job that is over."""
        if self.status in (ABORTING, CONCLUDED, NULL):
            return
        was_halted = self.status in (PAUSED, STANDBY)
        self.be_cancelled(force=force)
        if self.status in (CREATED, WAITING, PENDING):
            self.transaction.failed(self, None)
            return
        self.wake()
        if was_halted and self.is_cancelled:
            self.finish()  # before whoever asked is answered

    def be_cancelled(self, *, force: bool) -> None:
        """Note that it is to stop, which it does at the next rest."""
        soft = not force and self.is_ready and self.soft_cancel()
        self._is_cancelled = True
        self._is_forced = self._is_forced or not soft
        if self._is_paused_by_user:
            self._is_paused_by_user = False
            self._pause_count -= 1

    def complete(self) -> None:
        """Come to the end: what only waits for this word does."""
        self.check_verb("complete")
        if self._is_cancelled or not self.can_complete:
            raise QemuError(f"The active block job '{self.id}' cannot be completed")
        self.completed()
        self.wake()

    def finalize(self) -> None:
        """Do what remains to be done at the end."""
        self.check_verb("finalize")
        self.transaction.finalize()

    def dismiss(self) -> None:
        """Be forgotten."""
        self.check_verb("dismiss")
        self._be_forgotten()

    def _be_forgotten(self) -> None:
        self.follow(NULL)
        self._jobs._leave(self)

    # --- running

    def start(self) -> None:
        """Begin: the first step now, the others a step a turn of whoever's loop it is."""
        self.enter()
        self.go()

    def enter(self) -> None:
        """Count as begun, while other jobs do before any of them goes on."""
        self.follow(RUNNING)

    def go(self) -> None:
        """Do the first step, and let the loop do the others."""
        self.follow(RUNNING)
        self.busy = True
        self._first_rest = next(self.steps)
        self._jobs._spawn(self)

    def rests(self) -> Iterator[Rest]:
        """What the loop that runs it goes by: the rest after each step, from the first on."""
        yield self._first_rest
        yield from self.steps

    def wake(self) -> None:
        """Don't rest any longer."""
        if self.on_wake is not None:
            self.on_wake()

    @property
    def steps(self) -> Generator[Rest, None, None]:
        """All of the job, for the loop that runs it: the same generator each time."""
        if self._stepper is None:
            self._stepper = self._steps()
        return self._stepper

    def finish(self) -> None:
        """Take all steps that are left without a rest, as after a forced cancel."""
        if self._stepper is not None:
            for _ in self._stepper:
                pass

    def _steps(self) -> Generator[Rest, None, None]:
        work = self.run()
        try:
            yield from self._work(work)
        except QemuError as error:
            self.error = error
        except Exception as error:  # our own mistake, which must not end the machine
            self._jobs.log_exception()
            self.error = QemuError(f"internal error: {type(error).__name__}: {error}")
        finally:
            work.close()
        yield 0  # whoever began it answers first
        self.busy = False
        self._jobs.trace("job_completed", f"job {id(self):#x} ret {self._result}")
        if self.error is not None or self.is_cancelled:
            self.transaction.failed(self, self.error)
        else:
            self.transaction.succeeded(self)

    def _work(self, work: Generator[Rest, None, None]) -> Generator[Rest, None, None]:
        for rest in work:
            self.busy = rest == 0
            yield rest
            while self._pause_count and not self.is_cancelled:
                self._halt()
                yield None
            self._go_on()
            if self.is_cancelled:
                return
            self.busy = True

    def make_ready(self) -> None:
        """What can only be waited for is done: the job may be told to complete."""
        self.follow(READY)
        self._tell_ready()

    def _tell_ready(self) -> None:
        """Emit what is emitted besides."""

    # --- the end

    def end_badly(self) -> None:
        """Undo it: it failed, or was cancelled when there is no error."""
        self.error = self.error or QemuError(os.strerror(errno.ECANCELED), errno.ECANCELED)
        was_started = self.status != CREATED
        self.follow(ABORTING)
        self.abort()
        self.conclude(was_started=was_started)

    def conclude(self, *, was_started: bool = True) -> None:
        """Let go what it held; it is over."""
        self.transaction.jobs.remove(self)
        self.clean()
        if was_started:
            self._tell_end()
        self.follow(CONCLUDED)
        if self.auto_dismiss or not was_started:
            self._be_forgotten()

    def follow(self, wanted: str) -> None:
        """The one place where the state changes; an undeclared change is our own bug."""
        if wanted == self.status:
            return
        assert wanted in TRANSITIONS[self.status], f"{self.status} -> {wanted}"
        self._jobs.trace(
            "job_state_transition",
            f"job {id(self):#x} (ret: {self._result}) attempting allowed transition "
            f"({self.status}-->{wanted})",
        )
        self.status = wanted
        self._jobs.emit("JOB_STATUS_CHANGE", id=self.id, status=wanted)

    @property
    def _result(self) -> int:
        """0, or what went wrong as a negative errno."""
        return 0 if self.error is None else -(self.error.errno_value or errno.EIO)
