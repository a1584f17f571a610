"""The events of a machine on their way to one client; some kinds come once a second at most.

Of those the first goes out at once. What follows within a second waits, each in the place of the
one before, and the last goes out when the second is over.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.events import Event
    from machine.loop import Timer
    from machine.machine import Machine

_SECOND_NS = 1_000_000_000
# With the member by which events of one kind are told apart; "" for none.
_ONCE_A_SECOND = {
    "BALLOON_CHANGE": "",
    "MEMORY_DEVICE_SIZE_CHANGE": "qom-path",
    "QUORUM_FAILURE": "",
    "QUORUM_REPORT_BAD": "node-name",
    "RTC_CHANGE": "",
    "VSERPORT_CHANGE": "id",
    "WATCHDOG": "",
}
_WITH_CAPABILITY = frozenset(("MIGRATION", "MIGRATION_PASS"))


class EventFeed:
    """What one client is told.

    Args:
        machine: whose events.
        send: takes a message.
    """

    def __init__(self, machine: Machine, send: Callable[[dict[str, Any]], object]) -> None:
        self._machine = machine
        self._send = send
        self._timers: dict[tuple[str, Any], Timer] = {}
        self._waiting: dict[tuple[str, Any], dict[str, Any]] = {}

    def begin(self) -> None:
        """Tell of every event from now on."""
        self._machine.events.forget(self._take)
        self._machine.events.listen(self._take)

    def stop(self) -> None:
        """Tell of none any more."""
        self._machine.events.forget(self._take)
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()

    def _take(self, event: Event) -> None:
        if event.name in _WITH_CAPABILITY and not self._machine.migration.capabilities["events"]:
            return
        seconds, nanoseconds = divmod(self._machine.wall_clock_ns(), _SECOND_NS)
        message: dict[str, Any] = {
            "timestamp": {"seconds": seconds, "microseconds": nanoseconds // 1000},
            "event": event.name,
        }
        if event.data:
            message["data"] = {key.replace("_", "-"): event.data[key] for key in event.data}
        if event.name not in _ONCE_A_SECOND:
            self._send(message)
            return
        key = (event.name, event.data.get(_ONCE_A_SECOND[event.name].replace("-", "_")))
        if key in self._timers:
            self._waiting[key] = message
        else:
            self._send(message)
            self._wait(key)

    def _wait(self, key: tuple[str, Any]) -> None:
        deadline = time.monotonic_ns() + _SECOND_NS
        self._timers[key] = self._machine.loop.call_at(deadline, lambda: self._end_wait(key))

    def _end_wait(self, key: tuple[str, Any]) -> None:
        del self._timers[key]
        message = self._waiting.pop(key, None)
        if message is not None:
            self._send(message)
            self._wait(key)
