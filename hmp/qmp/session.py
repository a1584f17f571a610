"""One QMP client: what it sends comes in as bytes, replies and events go out as bytes.

A state machine without I/O: whoever has the client's connection feeds it. It begins with a
greeting; until the client has said `qmp_capabilities` nothing else is done and no event comes.
Requests are run one after the other, a request a turn of the main loop, in the order in which
they came; only those out of band don't wait.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.qmp.dispatch import error_reply, needs_no_turn, read_request, start
from hmp.qmp.event_feed import EventFeed
from hmp.qmp.json_parser import JsonReader
from hmp.qmp.json_writer import to_json
from machine.descriptors import NamedDescriptors
from machine.loop import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from hmp.arguments import FormatMemory
    from machine.machine import Machine

    Reply = dict[str, Any]

# Requests that may wait behind the one that runs, where some are run out of band; else it is none.
QUEUE_LIMIT = 8


def _nothing() -> None:
    """Where nobody holds a client back."""


def _no_descriptor() -> int | None:
    """Where no descriptors can be passed."""


class QmpSession:
    """One client of a machine.

    Args:
        machine: what the commands act on.
        send: takes what goes to the client.
        is_pretty: replies take many lines, as with ``-qmp-pretty``.
        pause: leaves further input where it is, while enough requests wait.
        resume: the opposite.

    Attributes:
        receive_descriptor: gives a descriptor that came with what was fed last.
        descriptors: those that the client gave names, which are its own.
        formats: what lines of the human monitor fall back to; None before the first one.
    """

    def __init__(
        self,
        machine: Machine,
        send: Callable[[bytes], object],
        *,
        is_pretty: bool = False,
        pause: Callable[[], object] = _nothing,
        resume: Callable[[], object] = _nothing,
    ) -> None:
        self.machine = machine
        self.receive_descriptor: Callable[[], int | None] = _no_descriptor
        self.descriptors = NamedDescriptors()
        self.formats: FormatMemory | None = None
        self.is_negotiated = False
        self.has_oob = False
        self._send = send
        self._is_pretty = is_pretty
        self._pause, self._resume = pause, resume
        self._reader = JsonReader()
        self._feed = EventFeed(machine, self.send)
        self._unread: list[Iterator[Any]] = []  # what came and wasn't looked at yet
        self._requests: list[Any] = []
        self._work: Iterator[object] | None = None
        self._is_due = False
        self._is_held_back = False
        self._is_open = False
        self._client = 0  # how many there were

    def open(self) -> None:
        """A client is there: greet it."""
        from hmp.qmp.commands.information import version

        self._is_open = True
        self._client += 1
        self.is_negotiated = self.has_oob = False
        self._reader = JsonReader()
        self.send({"QMP": {"version": version(), "capabilities": ["oob"]}})

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if not self._is_open:
            return
        self._unread.append(self._reader.feed(data))
        self._read_on()
        if not self._is_due and self._work is None:
            self._next()

    def close(self) -> None:
        """The client is gone; a command that runs goes on, those that wait are forgotten."""
        self._is_open = False
        self.is_negotiated = False
        self._unread.clear()
        self._requests.clear()
        self._hold_back()
        self._feed.stop()

    def take_descriptor(self, name: str) -> int:
        """A descriptor that the client named; it is the caller's then.

        Raises:
            QemuError: there is none of this name.
        """
        return self.descriptors.take(name)

    def negotiate(self, *, has_oob: bool) -> None:
        """The client is ready for commands and events."""
        self.has_oob = has_oob
        self.is_negotiated = True
        self._feed.begin()

    def send(self, message: Reply) -> None:
        """Send a message; lost when no client is there."""
        if self._is_open:
            text = to_json(message, is_pretty=self._is_pretty) + "\n"
            self._send(text.replace("\n", "\r\n").encode("ascii"))

    # -- requests

    def _read_on(self) -> None:
        """Take what came, up to the request with which enough are waiting."""
        unread = self._unread
        while unread:
            for value in unread[0]:
                if self.has_oob and needs_no_turn(value):
                    self._run_at_once(value)
                else:
                    self._requests.append(value)
                if not unread:  # the client was sent away meanwhile
                    return
                if self.has_oob and len(self._requests) >= QUEUE_LIMIT:
                    self._hold_back()
                    return
            unread.pop(0)
        self._hold_back()

    def _next(self) -> None:
        """Run the request that came first."""
        self._is_due = False
        if not self._requests or self.machine.shutdown_requested:
            return
        value = self._requests.pop(0)
        if isinstance(value, QemuError):
            self.send(error_reply(value, None))
            self._end()
            return
        self._work = self._answer(value)
        self._step()

    def _answer(self, value: Any) -> Iterator[object]:
        """Run a request to its end, and send the reply, unless who asked has left."""
        client = self._client
        request = read_request(value, has_oob=self.has_oob)
        try:
            reply = request.reply((yield from start(self, request)))
        except QemuError as error:
            reply = error_reply(error, request)
        if client == self._client:
            self.send(reply)

    def _run_at_once(self, value: Any) -> None:
        for _ in self._answer(value):
            pass

    def _step(self) -> None:
        """Go on with the command, to its end or until it waits for somebody."""
        assert self._work is not None
        for step in self._work:
            if isinstance(step, Wakeup):
                step.then(lambda: self.machine.loop.call_soon(self._step))
                return
        self._work = None
        self._end()

    def _hold_back(self) -> None:
        """Make the client wait while enough is to be done; so its end isn't seen before that."""
        if self.has_oob:
            wants_pause = len(self._requests) >= QUEUE_LIMIT
        else:
            wants_pause = bool(self._requests) or self._work is not None
        if wants_pause != self._is_held_back:
            self._is_held_back = wants_pause
            (self._pause if wants_pause else self._resume)()

    def _end(self) -> None:
        self._read_on()
        if self._requests:
            self._is_due = True
            self.machine.loop.call_soon(self._next)
