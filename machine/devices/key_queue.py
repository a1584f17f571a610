"""Keys that somebody types from outside: each goes down or up when its time has come."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine.devices.ps2 import Ps2Keyboard

LONGEST = 1024  # events; more are lost, as QEMU loses them


class KeyQueue:
    """Events that wait, in order; they belong to who types, so they aren't saved."""

    def __init__(self, keyboard: Ps2Keyboard) -> None:
        self._keyboard = keyboard
        self._waiting: list[tuple[int, str, bool]] = []  # guest time in ns, the key, down
        self._free_ns = 0  # guest time at which the next may begin

    def clear(self) -> None:
        """Forget what was typed."""
        self._waiting = []
        self._free_ns = 0

    def press(self, keys: Sequence[str], now_ns: int, hold_ns: int) -> None:
        """Press keys one after the other, then let them go in the opposite order.

        What was typed before is finished first.

        Args:
            hold_ns: from each of these to the next.
        """
        time_ns = max(now_ns, self._free_ns)
        for down, each in ((True, keys), (False, keys[::-1])):
            for key in each:
                if len(self._waiting) < LONGEST:
                    self._waiting.append((time_ns, key, down))
                    time_ns += hold_ns
        self._free_ns = time_ns

    def turn(self, key: str, now_ns: int, *, down: bool) -> None:
        """A key goes down or up, when what was typed before is finished."""
        if len(self._waiting) < LONGEST:
            self._waiting.append((max(now_ns, self._free_ns), key, down))

    @property
    def next_ns(self) -> int | None:
        """When the next event is due, in guest time; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def run_until(self, now_ns: int) -> None:
        """Let the keyboard know of the events that are due."""
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, key, down = self._waiting.pop(0)
            self._keyboard.press(key, down=down)
