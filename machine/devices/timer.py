"""The clocks of the machine as a section of its saved state."""

from __future__ import annotations

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Int64, UnusedBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.clock import VirtualClock


class TimerState:
    """The virtual clock and the time stamp counter, under the names the stream has for them."""

    __slots__ = ("_clock", "icount_enabled", "qemu_icount", "qemu_icount_bias")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.icount_enabled = False
        self.qemu_icount_bias = 0
        self.qemu_icount = 0

    @property
    def cpu_ticks_offset(self) -> int:
        return self._clock.cpu_ticks

    @cpu_ticks_offset.setter
    def cpu_ticks_offset(self, ticks: int) -> None:
        self._clock.cpu_ticks = ticks

    @property
    def cpu_clock_offset(self) -> int:
        """Nanoseconds."""
        return self._clock.now_ns()

    @cpu_clock_offset.setter
    def cpu_clock_offset(self, ns: int) -> None:
        self._clock.set(ns)


def _counts_instructions(timer: TimerState) -> bool:
    return timer.icount_enabled


# A machine that counts instructions (``-icount``) adds this; any machine takes it.
ICOUNT = VMStateDescription(
    name="timer/icount",
    fields=(Int64("qemu_icount_bias"), Int64("qemu_icount")),
    needed=_counts_instructions,
)

TIMER = VMStateDescription(
    name="timer",
    version_id=2,
    fields=(
        Int64("cpu_ticks_offset"),
        UnusedBuffer(8),
        Int64("cpu_clock_offset", since_version=2),
    ),
    subsections=(ICOUNT,),
)
