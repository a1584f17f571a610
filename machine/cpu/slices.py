"""The guest's share of the main loop: short slices while the machine runs.

Between two slices the loop looks at everything else, so no monitor waits for the guest longer
than one slice takes.
"""

from __future__ import annotations

import time

from machine.cpu.budget import Budget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from machine.clock import VirtualClock
    from machine.cpu.interface import Cpu
    from machine.loop import MainLoop, Timer

SLICE_NS = 2_000_000


class GuestSlices:
    """Runs one processor from a main loop.

    On a paced clock it is woken when guest time has come as far as it asked for, but at most
    once in `SLICE_NS`, unless it has more to do than fits a slice.  On a manual clock, where
    slices have no end, whoever moves the clock calls `run_slice`, or `advance` does both.

    Args:
        failed: told when a slice raised, which is a mistake of ours; the exception is being
            handled then.
    """

    def __init__(
        self, loop: MainLoop, clock: VirtualClock, cpu: Cpu, *, failed: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._cpu = cpu
        self._failed = failed
        self._is_running = False
        self._is_waiting = False  # in the loop's next turn
        self._timer: Timer | None = None

    def set_running(self, is_running: bool) -> None:
        """Follow the machine, which starts or stops."""
        self._is_running = is_running
        if is_running:
            self.wake()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def registers(self) -> Mapping[str, int]:
        """What the processor has in its registers, where it isn't as after a reset."""
        return self._cpu.registers()

    def reset(self) -> None:
        """What the machine's reset does to the processor."""
        self._cpu.reset()

    def wake(self) -> None:
        """Run a slice in the loop's next turn, since something happened."""
        if not self._is_waiting:
            self._is_waiting = True
            self._loop.call_soon(self._run_in_turn)

    def advance(self, ns: int) -> None:
        """Move a manual clock on, by way of each moment at which the processor has something to do.

        What happens depends on guest time alone then, not on the steps in which it is moved.
        """
        end_ns = self._clock.now_ns() + ns
        wake_ns = self.run_slice()
        while self._is_running and wake_ns is not None and wake_ns <= end_ns:
            self._clock.advance(max(wake_ns - self._clock.now_ns(), 0))
            wake_ns = self.run_slice()
        if self._is_running:
            self._clock.advance(end_ns - self._clock.now_ns())
            self.run_slice()

    def run_slice(self) -> int | None:
        """Let the processor run now, if the machine does, and see to the time after that.

        Returns:
            The guest time at which it goes on; None when nothing but a wake does that.
        """
        if not self._is_running:
            return None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._clock.now_ns()
        try:
            wake_ns = self._cpu.run(now_ns, Budget(None if self._clock.manual else SLICE_NS))
        except Exception:
            self._failed()
            return None
        if not self._is_running or wake_ns is None or self._clock.manual:
            return wake_ns
        if wake_ns <= now_ns:
            self.wake()
        else:
            pause_ns = max(wake_ns - self._clock.now_ns(), SLICE_NS)
            self._timer = self._loop.call_at(time.monotonic_ns() + pause_ns, self.run_slice)
        return wake_ns

    def _run_in_turn(self) -> None:
        self._is_waiting = False
        self.run_slice()
