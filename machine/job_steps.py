"""The jobs of a machine, run a step a turn of its main loop, beside the guest."""

from __future__ import annotations

import time

from blockdev.jobs import Jobs
from machine.loop import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockdev.job import Job
    from machine.loop import MainLoop
    from machine.machine import Machine


SLICE_NS = 4_000_000
FIRST_SLICE_NS = 25_000_000  # a small disk is done before the next command, as in QEMU


def jobs_of(machine: Machine, now_ns: Callable[[], int] = time.monotonic_ns) -> Jobs:
    """An empty list of jobs that the machine's loop runs.

    They go on whether the guest runs or not, as QEMU's do.
    """
    return Jobs(
        lambda job: machine.loop.spawn(_steps(machine.loop, job)),
        machine.events.emit,
        now_ns,
        machine.log_exception,
        machine.trace,
    )


def _steps(loop: MainLoop, job: Job) -> Iterator[object]:
    end_ns = time.monotonic_ns() + FIRST_SLICE_NS
    for rest in job.rests():
        if rest == 0:
            if time.monotonic_ns() >= end_ns:
                yield None
                end_ns = time.monotonic_ns() + SLICE_NS
            continue
        wakeup = Wakeup()
        timer = None
        if rest is not None:
            timer = loop.call_at(time.monotonic_ns() + rest, wakeup.wake)
        job.on_wake = wakeup.wake
        try:
            yield wakeup
        finally:
            job.on_wake = None
            if timer is not None:
                timer.cancel()
        end_ns = time.monotonic_ns() + SLICE_NS
