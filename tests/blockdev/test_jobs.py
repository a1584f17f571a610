"""The states of jobs, and what they may be asked; a loop of a few lines runs them."""

import pytest

from blockdev.block_job import BlockJob
from blockdev.errors import QemuError
from blockdev.job import Job
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
    VERBS,
    WAITING,
)
from blockdev.jobs import Jobs
from blockdev.node import BlockNode, CacheMode


class Loop:
    """Takes steps of all jobs; who rests is left alone until its time has come."""

    def __init__(self):
        self.now = 0
        self.events = []
        self.resting = {}
        self.rests = {}
        self.jobs = Jobs(self.spawn, self.emit, lambda: self.now)

    def emit(self, name, **data):
        self.events.append((name, data))

    def spawn(self, job):
        self.resting[job] = 0
        self.rests[job] = job.rests()
        job.on_wake = lambda: self.resting.__setitem__(job, 0)

    def turn(self):
        for job, until in list(self.resting.items()):
            if until is not None and until <= self.now:
                try:
                    rest = next(self.rests[job])
                except StopIteration:
                    del self.resting[job]
                else:
                    self.resting[job] = None if rest is None else self.now + rest

    def states(self):
        return [data["status"] for name, data in self.events if name == "JOB_STATUS_CHANGE"]


class Counting(Job):
    """Counts to ten, and then waits to be told to complete if it is asked to."""

    type = "counting"
    fault = None
    late_fault = None
    can_complete = True

    def __init__(self, jobs, id="j", *, gets_ready=False, **options):
        super().__init__(jobs, id, **options)
        self.total = 10
        self.gets_ready = gets_ready
        self.is_told = False
        self.done = []

    def run(self):
        try:
            for _ in range(10):
                self.current += 1
                if self.fault:
                    raise self.fault
                yield 0
            if self.gets_ready:
                self.make_ready()
                while not self.is_told and not self.is_cancel_requested:
                    yield None
        finally:
            self.done.append("closed")

    def completed(self):
        self.is_told = True

    def soft_cancel(self):
        return True

    def prepare(self):
        if self.late_fault:
            raise self.late_fault

    def commit(self):
        self.done.append("commit")

    def abort(self):
        self.done.append("abort")

    def clean(self):
        self.done.append("clean")


@pytest.fixture
def loop():
    return Loop()


def run(loop, turns=30):
    for _ in range(turns):
        loop.turn()


def test_a_job_runs_a_step_a_turn_and_is_forgotten(loop):
    job = Counting(loop.jobs)
    job.start()
    assert (job.current, job.status) == (1, RUNNING)
    run(loop, 2)
    assert job.current == 2
    run(loop)
    assert loop.states() == [CREATED, RUNNING, WAITING, PENDING, CONCLUDED, NULL]
    assert job.done == ["closed", "commit", "clean"]
    assert not list(loop.jobs)


def test_one_that_is_ready_waits_to_be_told(loop):
    job = Counting(loop.jobs, gets_ready=True)
    job.start()
    run(loop)
    assert job.status == READY
    job.complete()
    run(loop)
    assert loop.states()[-5:] == [READY, WAITING, PENDING, CONCLUDED, NULL]


def test_complete_is_refused_before_it_is_ready(loop):
    job = Counting(loop.jobs, gets_ready=True)
    job.start()
    loop.turn()
    with pytest.raises(QemuError, match=r"^Job 'j' in state 'running' cannot accept command verb "):
        job.complete()


def test_a_pause_is_seen_at_the_next_rest(loop):
    job = Counting(loop.jobs)
    job.start()
    run(loop, 2)
    job.pause()
    assert job.status == RUNNING
    with pytest.raises(QemuError, match=r"^Job is already paused$"):
        job.pause()
    run(loop)
    assert (job.status, job.current) == (PAUSED, 2)
    job.resume()
    run(loop)
    assert job.status == NULL
    assert job.current == 10


def test_only_a_paused_job_resumes(loop):
    job = Counting(loop.jobs)
    job.start()
    with pytest.raises(QemuError, match=r"^Can't resume a job that was not paused$"):
        job.resume()


def test_a_pause_of_a_ready_job_is_a_standby(loop):
    job = Counting(loop.jobs, gets_ready=True)
    job.start()
    run(loop)
    job.pause()
    run(loop)
    assert job.status == STANDBY
    job.resume()
    run(loop)
    assert job.status == READY
    assert loop.states().count(READY) == 2


@pytest.mark.parametrize("turns", range(13))
@pytest.mark.parametrize("paused", [False, True])
def test_a_forced_cancel_ends_it_at_any_step(loop, turns, paused):
    job = Counting(loop.jobs, gets_ready=True)
    job.start()
    run(loop, turns)
    if paused:
        job.pause()
        loop.turn()
    job.cancel(force=True)
    run(loop)
    assert loop.states()[-3:] == [ABORTING, CONCLUDED, NULL]
    assert job.done[-2:] == ["abort", "clean"]
    assert str(job.error) == "Operation canceled"


def test_a_soft_cancel_of_a_ready_job_ends_well(loop):
    job = Counting(loop.jobs, gets_ready=True)
    job.start()
    run(loop)
    job.cancel()
    run(loop)
    assert job.done == ["closed", "commit", "clean"]


def test_one_that_never_started_is_cancelled_at_once(loop):
    job = Counting(loop.jobs)
    job.cancel()
    assert loop.states() == [CREATED, ABORTING, CONCLUDED, NULL]


def test_a_fault_is_kept_for_whoever_asks(loop):
    job = Counting(loop.jobs, auto_dismiss=False)
    job.fault = QemuError("No space left on device", 28)
    job.start()
    run(loop)
    assert (job.status, str(job.error)) == (CONCLUDED, "No space left on device")
    job.dismiss()
    assert not list(loop.jobs)


def test_a_fault_at_the_very_end_aborts_too(loop):
    job = Counting(loop.jobs, auto_finalize=False)
    job.late_fault = QemuError("late")
    job.start()
    run(loop)
    assert job.status == PENDING
    job.finalize()
    assert loop.states()[-4:] == [PENDING, ABORTING, CONCLUDED, NULL]
    assert job.done[-2:] == ["abort", "clean"]


def test_our_own_mistake_ends_the_job_alone(loop):
    job = Counting(loop.jobs, auto_dismiss=False)
    job.fault = ValueError("oops")
    job.start()
    run(loop)
    assert str(job.error) == "internal error: ValueError: oops"


@pytest.mark.parametrize("verb", VERBS)
def test_a_word_in_a_wrong_state_is_refused(loop, verb):
    job = Counting(loop.jobs, auto_dismiss=False)
    for state in set(TRANSITIONS) - VERBS[verb]:
        job.status = state
        with pytest.raises(QemuError) as caught:
            job.check_verb(verb)
        assert str(caught.value) == (
            f"Job 'j' in state '{state}' cannot accept command verb '{verb}'"
        )


def test_names_are_unique_and_well_formed(loop):
    Counting(loop.jobs, "a")
    with pytest.raises(QemuError, match=r"^Job ID 'a' already in use$"):
        Counting(loop.jobs, "a")
    for name in ("", "1x", "a b"):
        with pytest.raises(QemuError, match=f"^Invalid job ID '{name}'$"):
            Counting(loop.jobs, name)


def test_all_jobs_end_with_the_program(loop):
    jobs = [Counting(loop.jobs, name, gets_ready=True) for name in "abc"]
    for job in jobs:
        job.start()
    run(loop, 5)
    jobs[1].pause()
    run(loop, 5)
    loop.jobs.cancel_all()
    assert not list(loop.jobs)
    assert all(job.done[-2:] == ["abort", "clean"] for job in jobs)


class Copying(BlockJob):
    """Ten pieces of a MiB."""

    type = "backup"
    on_error = "report"

    def __init__(self, jobs, nodes=(), **options):
        super().__init__(jobs, "d0", nodes, **options)
        self.total = 10 << 20
        self.faults = []

    def piece(self):
        if self.faults:
            raise self.faults.pop()

    def run(self):
        for _ in range(10):
            yield from self.attempt(self.piece, on_error=self.on_error)
            yield from self.rested(1 << 20)


def test_a_limited_job_takes_the_time_that_its_speed_gives(loop):
    job = Copying(loop.jobs, speed=1 << 20)
    job.start()
    while loop.resting:
        loop.turn()
        loop.now += 10_000_000
    assert 9 <= loop.now / 1e9 <= 10.2


def test_another_speed_counts_at_once(loop):
    job = Copying(loop.jobs, speed=1)
    job.start()
    run(loop)
    assert job.current == 1 << 20
    job.set_speed(0)
    run(loop)
    assert job.current == 10 << 20


def test_a_held_node_says_who_is_busy_with_it(loop):
    node = BlockNode("n0", "file", read_only=False, cache=CacheMode())
    job = Copying(loop.jobs, [node])
    with pytest.raises(QemuError) as caught:
        node.check_op("resize", "d0")
    assert str(caught.value) == ("Node 'd0' is busy: block device is in use by block job: backup")
    job.start()
    run(loop)
    node.check_op("resize")


def test_a_full_disk_stops_the_job_until_the_user_is_back(loop):
    job = Copying(loop.jobs)
    job.on_error = "enospc"
    job.faults = [QemuError("No space left on device", 28)]
    job.start()
    run(loop)
    assert (job.status, job.io_status) == (PAUSED, "nospace")
    told = {"device": "d0", "operation": "write", "action": "stop"}
    assert ("BLOCK_JOB_ERROR", told) in loop.events
    job.resume()
    run(loop)
    assert (job.status, job.io_status, job.current) == (NULL, "ok", 10 << 20)


def test_a_failed_job_tells_its_error_once(loop):
    job = Copying(loop.jobs)
    job.faults = [QemuError("Input/output error", 5)]
    job.start()
    run(loop)
    ends = [data for name, data in loop.events if name == "BLOCK_JOB_COMPLETED"]
    assert ends == [
        {
            "type": "backup",
            "device": "d0",
            "len": 10 << 20,
            "offset": 0,
            "speed": 0,
            "error": "Input/output error",
        }
    ]
