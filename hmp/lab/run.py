"""`%run SECONDS`: let the guest run on a clock that moves only when it is told to."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hmp.monitor import Monitor

_STEP_NS = 100_000_000  # of guest time between two rests
_LIMIT = 86400  # seconds


def run(monitor: Monitor, *, seconds: str) -> Iterator[object]:
    machine = monitor.machine
    try:
        left_ns = round(float(seconds) * 1_000_000_000)
    except (ValueError, OverflowError):
        left_ns = -1
    if not 0 <= left_ns <= _LIMIT * 1_000_000_000:
        raise QemuError(f"%run expects seconds between 0 and {_LIMIT}")
    if not machine.clock.manual:
        raise QemuError("The clock goes by itself; --deterministic lets it be moved")
    if not machine.is_running:
        raise QemuError("The machine is stopped; cont lets it run")
    while left_ns > 0 and machine.is_running:
        step_ns = min(_STEP_NS, left_ns)
        if machine.guest is not None:
            machine.guest.advance(step_ns)
        else:
            machine.clock.advance(step_ns)
        left_ns -= step_ns
        yield None
