"""The i8254: three counters, of which the first gives a PC its tick.

Source: Intel's data sheet of the 8254.
"""

from __future__ import annotations

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Int32, Int64, Struct, UInt8, UInt16, UInt32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FREQUENCY = 1_193_182  # Hz
CONTROL = 3  # the port; the counters' are 0 to 2
_FULL_COUNT = 0x10000
_ONE_SHOTS = (0, 1, 4, 5)  # modes that count down once
_RATE, _SQUARE = 2, 3
_LOW, _HIGH, _LOW_HIGH, _HIGH_OF_BOTH = 1, 2, 3, 4  # which byte is accessed
_NANOSECONDS = 1_000_000_000
_FIRST = "channels[0]"


def _clocks(ns: int) -> int:
    """How many clocks have passed; the k-th has at `_time_of(k)`, which is rounded down."""
    return ((ns + 1) * FREQUENCY - 1) // _NANOSECONDS


def _time_of(clocks: int) -> int:
    return clocks * _NANOSECONDS // FREQUENCY


class PitChannel:
    """One counter, its registers under the names that the stream has for them.

    Attributes:
        count: what it counts down from, in clocks of `FREQUENCY`.
        count_load_time: when it began, in guest time.
        next_transition_time: when its output changes next, in guest time; 0 for never.
    """

    def __init__(self, number: int) -> None:
        self.irq_disabled = 0
        self._starts_gated = number == 2  # the speaker's
        self.reset(0)
        self.next_transition_time = 0

    def reset(self, now_ns: int) -> None:
        """The state after power-on."""
        self.count = _FULL_COUNT
        self.latched_count = 0
        self.count_latched = self.status_latched = self.status = 0
        self.read_state = self.write_state = self.write_latch = self.rw_mode = 0
        self.mode = _SQUARE
        self.bcd = 0
        self.gate = int(not self._starts_gated)
        self.count_load_time = now_ns
        self.next_transition_time = self.transition_after(now_ns) or 0

    def output(self, now_ns: int) -> bool:
        """The level of its output."""
        passed = _clocks(now_ns - self.count_load_time)
        if self.mode == _RATE:
            return passed % self.count == 0 and passed != 0
        if self.mode == _SQUARE:
            return passed % self.count < (self.count + 1) // 2
        if self.mode in (0, 1):
            return (passed >= self.count) == (self.mode == 0)
        return passed == self.count

    def transition_after(self, now_ns: int) -> int | None:
        """When the output changes next, in guest time; None for never again."""
        passed = _clocks(now_ns - self.count_load_time)
        begun = passed // self.count * self.count
        if self.mode == _RATE:
            after = begun + self.count if passed != begun or passed == 0 else begun + 1
        elif self.mode == _SQUARE:
            half = (self.count + 1) // 2
            after = begun + half if passed - begun < half else begun + self.count
        elif passed < self.count:
            after = self.count
        elif self.mode in (4, 5) and passed == self.count:
            after = self.count + 1
        else:
            return None
        return self.count_load_time + _time_of(after)

    def counted(self, now_ns: int) -> int:
        """What the guest reads as its count."""
        passed = _clocks(now_ns - self.count_load_time)
        if self.mode in _ONE_SHOTS:
            return self.count - passed & 0xFFFF
        if self.mode == _SQUARE:
            return self.count - 2 * passed % self.count
        return self.count - passed % self.count

    def load(self, count: int, now_ns: int) -> None:
        """Begin with a new count."""
        self.count = count or _FULL_COUNT
        self.count_load_time = now_ns
        self.next_transition_time = self.transition_after(now_ns) or 0


class I8254:
    """The timer.

    Args:
        now_ns: guest time.
        set_tick: the first counter's output, the PC's interrupt 0.
    """

    def __init__(self, now_ns: Callable[[], int], set_tick: Callable[[bool], object]) -> None:
        self.now_ns = now_ns
        self._set_tick = set_tick
        self.channels = [PitChannel(number) for number in range(3)]
        # The stream has some of the first one's registers twice, under such names.
        setattr(self, _FIRST, self.channels[0])
        self.reset()

    def reset(self) -> None:
        """The state after power-on."""
        now_ns = self.now_ns()
        for channel in self.channels:
            channel.reset(now_ns)
        for channel in self.channels[1:]:
            channel.next_transition_time = 0

    @property
    def next_transition_ns(self) -> int | None:
        """When the tick's line changes next, in guest time."""
        channel = self.channels[0]
        return None if channel.irq_disabled else channel.next_transition_time or None

    @property
    def next_tick_ns(self) -> int | None:
        """When the tick's line is raised next, in guest time."""
        due_ns = self.next_transition_ns
        if due_ns is not None and not self.channels[0].output(due_ns):
            due_ns = self.channels[0].transition_after(due_ns)
        return due_ns

    def run_until(self, now_ns: int) -> None:
        """Let the tick's line follow the time, change by change."""
        channel = self.channels[0]
        due_ns = self.next_transition_ns
        while due_ns is not None and due_ns <= now_ns:
            self._set_tick(channel.output(due_ns))
            due_ns = channel.transition_after(due_ns)
            channel.next_transition_time = due_ns or 0

    def write(self, port: int, value: int) -> None:
        """What the guest writes to a port."""
        now_ns = self.now_ns()
        if port == CONTROL:
            self._control(value, now_ns)
            return
        channel = self.channels[port]
        if channel.write_state == _LOW_HIGH:
            channel.write_latch = value
            channel.write_state = _HIGH_OF_BOTH
            return
        if channel.write_state == _LOW:
            count = value
        elif channel.write_state == _HIGH:
            count = value << 8
        else:
            count = channel.write_latch | value << 8
            channel.write_state = _LOW_HIGH
        channel.load(count, now_ns)
        if port == 0:
            self._set_tick(channel.output(now_ns))
        else:
            channel.next_transition_time = 0

    def _control(self, value: int, now_ns: int) -> None:
        number = value >> 6
        access = value >> 4 & 3
        if number == 3:  # read back: latch what the bits name
            for index, channel in enumerate(self.channels):
                if value & 2 << index:
                    if not value & 0x20:
                        self._latch(channel, now_ns)
                    if not value & 0x10 and not channel.status_latched:
                        channel.status = (
                            channel.output(now_ns) << 7
                            | channel.rw_mode << 4
                            | channel.mode << 1
                            | channel.bcd
                        )
                        channel.status_latched = 1
            return
        channel = self.channels[number]
        if access == 0:
            self._latch(channel, now_ns)
            return
        channel.rw_mode = channel.read_state = channel.write_state = access
        mode = value >> 1 & 7
        channel.mode = mode if mode < 6 else mode & 3
        channel.bcd = value & 1
        if number == 0:
            channel.next_transition_time = channel.transition_after(now_ns) or 0

    def _latch(self, channel: PitChannel, now_ns: int) -> None:
        if not channel.count_latched:
            channel.latched_count = channel.counted(now_ns) & 0xFFFF
            channel.count_latched = channel.rw_mode

    def set_gate(self, number: int, level: int) -> None:
        """Let a counter count, or not; one that is let begins anew in most modes."""
        channel = self.channels[number]
        if level and not channel.gate and channel.mode not in (0, 4):
            channel.count_load_time = self.now_ns()
        channel.gate = level

    def read(self, port: int) -> int:
        """What the guest reads from a port."""
        if port == CONTROL:
            return 0
        channel = self.channels[port]
        if channel.status_latched:
            channel.status_latched = 0
            return channel.status
        if channel.count_latched:
            count = channel.latched_count
            state = channel.count_latched
            channel.count_latched = _HIGH_OF_BOTH if state == _LOW_HIGH else 0
        else:
            count = channel.counted(self.now_ns())
            state = channel.read_state
            if state in (_LOW_HIGH, _HIGH_OF_BOTH):
                channel.read_state = _HIGH_OF_BOTH if state == _LOW_HIGH else _LOW_HIGH
        return count >> 8 & 0xFF if state in (_HIGH, _HIGH_OF_BOTH) else count & 0xFF


def _mend_count(channel: PitChannel, version_id: int) -> None:
    """A count that no counter can have; QEMU doesn't refuse it either."""
    if not 0 < channel.count <= _FULL_COUNT:
        channel.count = _FULL_COUNT


def _mend_transition(timer: I8254, version_id: int) -> None:
    """A tick that was due long ago is none: nobody waits for all that lie between."""
    channel, now_ns = timer.channels[0], timer.now_ns()
    if channel.next_transition_time and now_ns - channel.next_transition_time > _NANOSECONDS:
        channel.next_transition_time = channel.transition_after(now_ns) or 0


_CHANNEL = VMStateDescription(
    name="pit channel",
    version_id=2,
    minimum_version_id=2,
    fields=(
        Int32("count"),
        UInt16("latched_count"),
        *(
            UInt8(name)
            for name in (
                "count_latched status_latched status read_state write_state write_latch rw_mode "
                "mode bcd gate"
            ).split()
        ),
        Int64("count_load_time"),
        Int64("next_transition_time"),
    ),
    post_load=_mend_count,
)
I8254_STATE = VMStateDescription(
    name="i8254",
    version_id=3,
    minimum_version_id=2,
    fields=(
        UInt32(f"{_FIRST}.irq_disabled", since_version=3),
        Struct("channels", _CHANNEL, count=3),
        Int64(f"{_FIRST}.next_transition_time"),
    ),
    post_load=_mend_transition,
)
