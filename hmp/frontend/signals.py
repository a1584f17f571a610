"""Signals that end the program in an orderly way, and the words for them."""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Protocol

    from machine.loop import MainLoop

    class Machine(Protocol):
        """What is asked of a machine here."""

        program: str

        @property
        def loop(self) -> MainLoop: ...
        def request_shutdown(self, status: int = 0, *, reason: str = ...) -> None: ...
else:
    # The module `signal` is this one with enumerations, which alone cost 4 ms of the start.
    import _signal as signal

TERMINATING = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def process_name(pid: int) -> str:
    """How a process was called: the first word of its command line, as far as it is known."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as command_line:
            words = command_line.read(4096)
    except OSError:
        return "<unknown process>"
    return words.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def die_of_ctrl_c() -> None:
    """End as if SIGINT had been left alone: whoever waits for us is to see that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


class SignalWatch:
    """Turns SIGINT, SIGHUP and SIGTERM into the end of the machine's loop, exit status 0.

    Only the kernel's own record of a signal says who sent it, and Python gives that to nobody but
    a thread that waits for the signal. So the three are blocked, and one small thread waits. A
    process that is started has to unblock them first, or it would inherit that: around the start,
    Python's handlers below see a signal that comes then.

    Args:
        machine: whose loop.
        ctrl_c_is_a_key: a SIGINT that the terminal made of Ctrl-C doesn't count; one that
            somebody sent does.

    Attributes:
        received: the number of the signal that came, or 0.
    """

    def __init__(self, machine: Machine, *, ctrl_c_is_a_key: bool = False) -> None:
        self.received = 0
        self._ctrl_c_is_a_key = ctrl_c_is_a_key
        self._machine = machine
        self._sender = 0
        self._sender_name = ""
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._handlers_before = [
            (number, signal.signal(number, self._handle)) for number in TERMINATING
        ]
        machine.loop.add_reader(self._read_fd, self._look)
        # Other signals have to wake the loop too, lest one that comes just before it sleeps
        # be handled only when it wakes.
        self._wakeup_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        # The thread is born with everything blocked: other signals interrupt the main thread.
        self._mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _thread.start_new_thread(self._wait, ())
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask_before | set(TERMINATING))

    def on_continue(self, callback: Callable[[], object]) -> None:
        """Call it when the program goes on after a stop (SIGCONT)."""
        signal.signal(signal.SIGCONT, lambda *_: callback())

    def close(self) -> None:
        """Leave signals as they were; the thread waits on for signals that it cannot get."""
        self._machine.loop.remove_reader(self._read_fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask_before)
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._handlers_before:
            signal.signal(number, handler)

    def _wait(self) -> None:
        """In the thread: wait for one of the signals, note who sent it, wake the loop."""
        record = signal.sigwaitinfo(TERMINATING)
        while self._ctrl_c_is_a_key and record.si_signo == signal.SIGINT and not record.si_pid:
            record = signal.sigwaitinfo(TERMINATING)
        if record.si_pid:
            self._sender_name = process_name(record.si_pid)
            self._sender = record.si_pid
        self._note(record.si_signo)

    def _handle(self, number: int, _frame: object) -> None:
        """A signal that came while it was not blocked; its sender is unknown."""
        self._note(number)

    def _note(self, number: int) -> None:
        self.received = self.received or number
        try:
            os.write(self._write_fd, b"!")
        except OSError:
            return  # the loop has been woken often enough

    def _look(self) -> None:
        """The loop was woken: end it if that was for one of the three."""
        os.read(self._read_fd, 64)
        if not self.received:
            return
        self._machine.loop.remove_reader(self._read_fd)
        text = f"{self._machine.program}: terminating on signal {self.received}"
        if self._sender:
            text += f" from pid {self._sender} ({self._sender_name})"
        self._machine.request_shutdown(reason="host-signal")
        try:
            os.write(2, f"{text}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            return  # nobody is there to read it
