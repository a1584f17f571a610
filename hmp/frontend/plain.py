"""The plain front end: QEMU's line editor on any character device.

Greeting and prompt for each one who connects, the editor's bytes for what they type, the
command's output, the prompt again. The next line waits until a command has ended, and one line is
run a turn of the main loop, so that other monitors and the guest get theirs.
"""

from __future__ import annotations

import os

from hmp.frontend.editor import LineEditor
from machine.loop import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Protocol, TypeVar

    from machine.chardev.device import Chardev
    from machine.loop import MainLoop

    class Machine(Protocol):
        """What is asked of a machine here."""

        @property
        def loop(self) -> MainLoop: ...
        @property
        def shutdown_requested(self) -> bool: ...

    class Completion(Protocol):
        """What a monitor offers on Tab."""

        candidates: list[str]
        typed_size: int
        complaint: str

    class Monitor(Protocol):
        """What is asked of a monitor here."""

        history: Sequence[str]
        aside: Callable[[str], object]
        receive_descriptor: Callable[[], int | None]
        read_password: Callable[[Callable[[str], object]], object] | None

        def execute(self, line: str) -> Iterator[object]: ...
        def completion(self, line: str) -> Completion: ...

    AnyMachine = TypeVar("AnyMachine", bound=Machine)

GREETING = b"QEMU 7.2.0 monitor - type 'help' for more information\r\n"
HOLD_SIZE = 1 << 16  # bytes of output that a step of a command may keep back


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class PlainFrontend:
    """One human monitor on one character device; whoever is there already is greeted at once.

    Args:
        machine: what the monitor is of.
        make_monitor: makes it, from the machine and a function that takes its output.
        chardev: where it is; from now on this front end's.

    Attributes:
        monitor: what was made.
    """

    def __init__(
        self,
        machine: AnyMachine,
        make_monitor: Callable[[AnyMachine, Callable[[str], object]], Monitor],
        chardev: Chardev,
    ) -> None:
        self._machine: Machine = machine
        self._chardev = chardev
        self._output: list[bytes] = []  # what was said since the last flush
        self._held_size = 0
        self._editor = LineEditor(self._say, self._complete)
        self._command: Iterator[object] | None = None  # the one that runs
        self._take_password: Callable[[str], object] | None = None
        self._is_greeted = False
        self._is_away = False  # the device is another user's: output waits, nothing comes
        self.monitor = make_monitor(machine, self._print)
        self.monitor.history = self._editor.history
        self.monitor.aside = self._print_aside
        self.monitor.read_password = self.read_password
        self.monitor.receive_descriptor = chardev.take_descriptor
        chardev.watch_focus(self._go_away, self._come_back)
        chardev.attach(self._greet, self._receive, self._part)

    def read_password(self, take: Callable[[str], object]) -> None:
        """Ask for a password when the command that runs has ended; ``take`` gets it."""
        self._take_password = take
        self._editor.ask_password()

    # -- output

    def _say(self, data: bytes) -> None:
        self._output.append(data)

    def _flush(self) -> None:
        if self._output and not self._is_away:
            data = b"".join(self._output)
            self._output.clear()
            self._held_size = 0
            self._chardev.write(data)

    def _print(self, text: str) -> None:
        """Take the monitor's output."""
        data = to_bytes(text.replace("\n", "\r\n"))
        self._say(data)
        self._held_size += len(data)
        if self._command is None or self._held_size > HOLD_SIZE:
            self._flush()

    def _print_aside(self, text: str) -> None:
        """Take what QEMU prints on its standard output, unchanged, wherever the monitor is."""
        if self._chardev.is_stdio:
            self._say(to_bytes(text))
        else:
            try:
                os.write(1, to_bytes(text))
            except OSError:
                return  # nobody is there to read it

    # -- the other side

    def _greet(self) -> None:
        self._is_greeted = True
        self._say(GREETING)
        if not self._is_away:
            self._begin_line()
        self._flush()

    def _begin_line(self) -> None:
        self._editor.restart()
        if self._command is None:
            self._editor.show_prompt()

    def _part(self) -> None:
        """Nothing is to be done: a half-typed line goes when the next one comes."""

    def _go_away(self) -> None:
        """What is typed goes to another user of the device now."""
        if self._is_greeted and self._command is None:
            self._say(b"\r\n")
        self._flush()
        self._is_away = True

    def _come_back(self) -> None:
        self._is_away = False
        if self._is_greeted:
            self._begin_line()
        self._flush()

    def _receive(self, data: bytes) -> None:
        self._editor.feed(data)
        self._edit()

    # -- lines

    def _complete(self, line: str) -> tuple[Sequence[str], int]:
        completion = self.monitor.completion(line)
        if completion.complaint:
            self._print_aside(completion.complaint + "\n")
        return completion.candidates, completion.typed_size

    def _edit(self) -> None:
        """Edit as far as the next finished line, and run that."""
        if self._machine.shutdown_requested:
            return
        line = self._editor.next_line()
        self._flush()
        if line is None:
            self._chardev.resume()
            return
        self._chardev.pause()
        if self._take_password:
            take, self._take_password = self._take_password, None
            take(line)
            self._end_command()
        else:
            self._command = self.monitor.execute(line)
            self._step_command()

    def _step_command(self) -> None:
        """Go on with the command, to its end or until it waits for somebody."""
        assert self._command is not None
        for step in self._command:
            self._flush()
            if isinstance(step, Wakeup):
                step.then(self._step_soon)
                return
        self._end_command()

    def _step_soon(self) -> None:
        self._machine.loop.call_soon(self._step_command)

    def _end_command(self) -> None:
        self._command = None
        if self._machine.shutdown_requested:
            self._flush()
            return
        self._editor.show_prompt()
        self._flush()
        if self._editor.has_input:
            self._machine.loop.call_soon(self._edit)
        else:
            self._chardev.resume()
