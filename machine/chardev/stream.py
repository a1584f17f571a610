"""Character devices over descriptors: standard input and output, files, pipes, terminals."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import time

from blockdev.errors import QemuError
from machine.chardev.device import Chardev, open_file
from machine.chardev.output_queue import OutputQueue, private_description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.chardev.options import ChardevOptions
    from machine.loop import MainLoop, Timer

FIONREAD = 0x541B  # how many bytes can be read at once; termios has it too, but costs its import
BURST_SIZE = 4096
PTY_INTERVAL_NS = 250_000_000  # between two looks whether a terminal was opened
# What is said of the kinds that need a path, where they have none.
_MISSING = {
    "file": "file: no filename",
    "parallel": "parallel: no device path",
    "pipe": "pipe: no device path",
    "serial": "serial/tty: no device path",
}


def bytes_to_read(fd: int) -> int:
    """How many can be read without waiting; 0 also where that cannot be known."""
    try:
        answer = fcntl.ioctl(fd, FIONREAD, bytes(4))
    except OSError:
        return 0
    return max(int(struct.unpack("i", answer)[0]), 0)


def read_burst(fd: int) -> bytes | None:
    """What can be read without waiting, but nothing that stands behind a line's end.

    A byte at a time, since what is behind a ``quit`` is the next program's: a shell that shares
    the descriptor, or gets the terminal back, finds it there.

    Returns:
        None when there is nothing yet; empty at the end of the input.
    """
    available = bytes_to_read(fd)
    if not available:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(0):
            return None  # someone who shares the descriptor was quicker
        available = 1
    burst = bytearray()
    for _ in range(min(available, BURST_SIZE)):
        try:
            byte = os.read(fd, 1)
        except BlockingIOError:
            return bytes(burst) or None
        except OSError:  # a terminal that hung up, a descriptor that is closed
            byte = b""
        if not byte:
            break
        burst += byte
        if byte in b"\r\n":
            break
    return bytes(burst)


class StreamDevice(Chardev):
    """A device over one descriptor for input and one for output, -1 where there is none.

    Args:
        loop: the loop that will serve it.
        label: its name.
        kind: what ``info chardev`` shows.
        input_fd: where to read.
        output_fd: where to write, may be ``input_fd``.
        owned: the descriptors to close with the device.
        blocks: whether a write could wait.
    """

    def __init__(
        self,
        loop: MainLoop,
        label: str,
        kind: str,
        input_fd: int,
        output_fd: int,
        *,
        owned: set[int],
        blocks: bool,
    ) -> None:
        super().__init__(loop, label)
        self._kind = kind
        self._input_fd = input_fd
        self._owned = owned
        self._output = OutputQueue(loop, output_fd, blocks=blocks)
        self._is_watched = False
        self._is_at_end = input_fd < 0
        self.is_open = True

    @property
    def filename(self) -> str:
        return self._kind

    def drain(self, patience_ns: int | None = None) -> None:
        self._output.drain(patience_ns)

    def close(self) -> None:
        super().close()
        self._output.close()
        while self._owned:
            os.close(self._owned.pop())

    def _send(self, data: bytes) -> None:
        self._output.write(data)

    def _watch_input(self) -> None:
        wanted = self._wants_input and not self._is_at_end
        if wanted == self._is_watched:
            return
        self._is_watched = wanted
        if wanted:
            self._loop.add_reader(self._input_fd, self._read)
        else:
            self._loop.remove_reader(self._input_fd)

    def _read(self) -> None:
        data = read_burst(self._input_fd)
        if data:
            self._receive(data)
        elif data is not None:
            self._is_at_end = True
            self._watch_input()
            # The end of the input is no reason to stop the output: the device stays open.
            self._closed()


class StdioDevice(StreamDevice):
    """Standard input and output; a terminal is in the mode that the line editor needs."""

    in_use = False  # there is one standard input and output for all

    def __init__(self, loop: MainLoop, label: str, *, signals: bool = True) -> None:
        if StdioDevice.in_use:
            raise QemuError("cannot use stdio by multiple character devices")
        output_fd = private_description(1)
        super().__init__(
            loop,
            label,
            "stdio",
            0,
            output_fd if output_fd >= 0 else 1,
            owned={output_fd} if output_fd >= 0 else set(),
            blocks=output_fd < 0,
        )
        StdioDevice.in_use = True
        self._signals = signals
        self._echo = False
        self._terminal_before: list[Any] | None = None
        if os.isatty(0):
            import termios

            self._terminal_before = termios.tcgetattr(0)
            self.set_echo(False)

    @property
    def is_stdio(self) -> bool:
        return True

    def set_echo(self, echo: bool) -> None:
        """Let the terminal show what is typed, or not; no matter where there is none.

        Input comes byte by byte and unchanged either way. Signals of the keyboard stay, and so
        does the mapping of line breaks in the output.
        """
        self._echo = echo
        if self._terminal_before is None:
            return
        import termios as t

        modes = list(self._terminal_before)
        if not echo:
            modes[0] &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP)
            modes[0] &= ~(t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
            modes[1] |= t.OPOST
            modes[2] = modes[2] & ~(t.CSIZE | t.PARENB) | t.CS8
            modes[3] &= ~(t.ECHO | t.ECHONL | t.ICANON | t.IEXTEN)
            modes[6] = list(modes[6])
            modes[6][t.VMIN], modes[6][t.VTIME] = 1, 0
        if not self._signals:
            modes[3] &= ~t.ISIG
        self._set_terminal(modes)

    def return_to_foreground(self) -> None:
        """Set the terminal again after a stop, in which the shell had it (SIGCONT)."""
        if self._terminal_before is None:
            return
        try:
            is_in_foreground = os.tcgetpgrp(0) == os.getpgrp()
        except OSError:  # it hung up, which also wakes who was stopped
            return
        if is_in_foreground:
            self.set_echo(self._echo)

    def close(self) -> None:
        if self.is_open:
            self._set_terminal(self._terminal_before)
            StdioDevice.in_use = False
        super().close()

    def _set_terminal(self, modes: list[Any] | None) -> None:
        if modes is not None:
            import termios

            try:
                termios.tcsetattr(0, termios.TCSANOW, modes)
            except termios.error:
                self._terminal_before = None  # it hung up


class PtyDevice(Chardev):
    """A terminal made for whoever opens it; they come and go."""

    def __init__(self, loop: MainLoop, label: str) -> None:
        super().__init__(loop, label)
        import tty

        try:
            self._fd, slave_fd = os.openpty()
        except OSError as error:
            text = f"Failed to create PTY: {os.strerror(error.errno or 0)}"
            raise QemuError(text, error.errno or 0) from error
        self.path = os.ttyname(slave_fd)
        tty.setraw(slave_fd)
        os.close(slave_fd)
        os.set_blocking(self._fd, False)
        self._output = OutputQueue(loop, self._fd, blocks=False)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._is_watched = False
        self._timer: Timer | None = None
        self._look()

    @property
    def filename(self) -> str:
        return f"pty:{self.path}"

    def drain(self, patience_ns: int | None = None) -> None:
        if self.is_open:
            self._output.drain(patience_ns)

    def close(self) -> None:
        super().close()
        if self._timer:
            self._timer.cancel()
        self._output.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _look(self) -> None:
        """See whether somebody has it open: while nobody has, it is hung up."""
        events = dict(self._poll.poll(0)).get(self._fd, 0)
        if events & select.POLLHUP:
            self._timer = self._loop.call_at(time.monotonic_ns() + PTY_INTERVAL_NS, self._look)
        else:
            self._come()
            self._watch_input()

    def _send(self, data: bytes) -> None:
        self._output.write(data)

    def _watch_input(self) -> None:
        wanted = self._wants_input and self.is_open
        if wanted == self._is_watched:
            return
        self._is_watched = wanted
        if wanted:
            self._loop.add_reader(self._fd, self._read)
        else:
            self._loop.remove_reader(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, BURST_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._receive(data)
            return
        self._output.close()
        self._output = OutputQueue(self._loop, self._fd, blocks=False)
        self.is_open = False
        self._watch_input()
        self._closed()
        self._look()


def check_stream_options(options: ChardevOptions) -> None:
    """Raises: QemuError: there is no such kind, or it needs a path."""
    kind = options.backend
    if kind in ("stdio", "pty"):
        return
    if kind not in _MISSING:
        raise QemuError(f"'{kind}' is not a valid char driver name")
    if "path" not in options.values:
        raise QemuError(f"chardev: {_MISSING[kind]} given")


def open_stream_device(
    options: ChardevOptions, loop: MainLoop, tell: Callable[[str], object]
) -> Chardev:
    """Make the device; see `machine.chardev.device.open_chardev`."""
    kind, label = options.backend, options.label
    if kind == "stdio":
        return StdioDevice(loop, label, signals=options.flag("signal", True))
    if kind == "pty":
        device = PtyDevice(loop, label)
        tell(f"char device redirected to {device.path} (label {label})")
        return device
    check_stream_options(options)
    path = options.values["path"]
    if kind == "file":
        append = os.O_APPEND if options.flag("append") else os.O_TRUNC
        fd = open_file(path, os.O_WRONLY | os.O_CREAT | append)
        input_fd, owned = -1, {fd}
        if "input-path" in options.values:
            try:
                input_fd = open_file(options.values["input-path"], os.O_RDONLY)
            except QemuError:
                os.close(fd)
                raise
            owned.add(input_fd)
        return StreamDevice(loop, label, kind, input_fd, fd, owned=owned, blocks=False)
    if kind == "pipe":
        input_fd, output_fd = _open_pipes(path)
        owned = {input_fd, output_fd}
        return StreamDevice(loop, label, kind, input_fd, output_fd, owned=owned, blocks=False)
    if kind == "parallel":
        os.close(open_file(path, os.O_RDWR))
        raise QemuError("not a parallel port: Inappropriate ioctl for device", errno.ENOTTY)
    fd = open_file(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    if os.isatty(fd):
        import tty

        tty.setraw(fd)
    return StreamDevice(loop, label, kind, fd, fd, owned={fd}, blocks=False)


def _open_pipes(path: str) -> tuple[int, int]:
    """Open ``PATH.in`` and ``PATH.out``, or ``PATH`` for both.

    For reading and writing, so that no end of the input comes when its writer leaves.
    """
    flags = os.O_RDWR | os.O_NONBLOCK
    try:
        input_fd = open_file(f"{path}.in", flags)
    except QemuError:
        fd = open_file(path, flags)
        return fd, fd
    try:
        return input_fd, open_file(f"{path}.out", flags)
    except QemuError:
        os.close(input_fd)
        fd = open_file(path, flags)
        return fd, fd
