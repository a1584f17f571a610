"""Channels: what a stream goes through.  The one room that starts processes.

A channel reads and writes without ever waiting; whoever uses it waits for its descriptors.
"""

from __future__ import annotations

import os
import stat

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

    from machine.loop import MainLoop, Wakeup
else:
    import _signal as signal  # the same without enumerations, which take long to import

SHELL = "/bin/sh"
_FILE_MODES = {"r": os.O_RDONLY, "rb": os.O_RDONLY}
_FILE_MODES |= dict.fromkeys(("w", "wb"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
# Python ignores these, and a process would inherit that.
_IGNORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class Channel:
    """Bytes in and out through descriptors of its own.

    Args:
        kind: how messages call it: "command", "socket" or "file".
        input_fd: where to read; -1 for nowhere.
        output_fd: where to write, maybe the same; -1 for nowhere.
        pid: the process at the other end, a child of ours; 0 for none.
    """

    def __init__(self, kind: str, input_fd: int, output_fd: int, pid: int = 0) -> None:
        self.kind = kind
        self.input_fd = input_fd
        self.output_fd = output_fd
        self._pid = pid
        for fd in {input_fd, output_fd} - {-1}:
            os.set_blocking(fd, False)

    def writev(self, buffers: list[bytes | memoryview]) -> int:
        """Write what there is room for.

        Raises:
            QemuError: nobody takes it any more.
        """
        try:
            return os.writev(self.output_fd, buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._worded("write to", error) from error

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        return bytes(data[: self.readinto(memoryview(data))])

    def readinto(self, view: memoryview) -> int:
        """Read what there is; 0 at the end.

        Raises:
            BlockingIOError: nothing has come yet.
            QemuError: nothing will come any more.
        """
        try:
            return os.readv(self.input_fd, [view])
        except BlockingIOError:
            raise
        except OSError as error:
            raise self._worded("read from", error) from error

    def yank(self) -> None:
        """Break a connection, so that what goes over it fails; others stay as they are."""
        from blockdev.sockets import shut_down

        for fd in {self.input_fd, self.output_fd} - {-1}:
            shut_down(fd)

    def close(self) -> None:
        """Give the descriptors back, which tells the other end that this is all."""
        for fd in {self.input_fd, self.output_fd} - {-1}:
            os.close(fd)
        self.input_fd = self.output_fd = -1

    def ended(self, loop: MainLoop) -> Iterator[Wakeup]:
        """Wait until the process at the other end is over, if there is one."""
        if not self._pid:
            return
        pid, self._pid = self._pid, 0
        pid_fd = os.pidfd_open(pid)
        try:
            yield from loop.readable(pid_fd)
        finally:
            os.close(pid_fd)
            os.waitpid(pid, os.WNOHANG)

    def _worded(self, what: str, error: OSError) -> QemuError:
        reason = os.strerror(error.errno or 0)
        return QemuError(f"Unable to {what} {self.kind}: {reason}", error.errno or 0)


def run_command(command: str) -> Channel:
    """A shell command with a pipe each way.

    Raises:
        QemuError: it can't be started.
    """
    their_input, output_fd = os.pipe()
    input_fd, their_output = os.pipe()
    try:
        pid = os.posix_spawn(
            SHELL,
            (SHELL, "-c", os.fsencode(command)),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, their_input, 0),
                (os.POSIX_SPAWN_DUP2, their_output, 1),
            ],
            # Our own mask blocks what ends the program; see `hmp.frontend.signals`.
            setsigmask=(),
            setsigdef=_IGNORED_SIGNALS,
        )
    except OSError as error:
        os.close(output_fd)
        os.close(input_fd)
        raise QemuError(f"Failed to execute child process: {error.strerror}") from error
    finally:
        os.close(their_input)
        os.close(their_output)
    return Channel("command", input_fd, output_fd, pid)


def use_descriptor(fd: int) -> Channel:
    """A descriptor that is open; the channel's from now on."""
    kind = "socket" if stat.S_ISSOCK(os.fstat(fd).st_mode) else "file"
    return Channel(kind, fd, fd)


def open_file(path: str, mode: str) -> Channel:
    """A plain file, to be read (``rb``) or made anew (``wb``).

    Raises:
        QemuError: another mode, or the file can't be opened.
    """
    if mode not in _FILE_MODES:
        raise QemuError("qemu_fopen: Argument validity check failed")
    flags = _FILE_MODES[mode]
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise QemuError(f"Unable to open {path}: {error.strerror}", error.errno or 0) from error
    if flags & os.O_WRONLY:
        return Channel("file", -1, fd)
    return Channel("file", fd, -1)
