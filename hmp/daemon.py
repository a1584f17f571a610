"""A process of its own: ``-daemonize`` and ``-pidfile``.

Whoever started the program waits until the machine is made, or learns that it can't be: the
first process ends only then, with the status. The last one has no terminal and no parent.
"""

from __future__ import annotations

import fcntl
import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    # As in hmp.frontend.signals: without the enumerations.
    import _signal as signal

_UMASK = 0o027


class Daemon:
    """This process, on the way to the background."""

    def __init__(self) -> None:
        """Go on in a child's child. The parent waits for `finish`, and never returns."""
        answer_fd, self._answer_fd = os.pipe()
        if child := os.fork():
            os.close(self._answer_fd)
            answer = os.read(answer_fd, 1)
            os.waitpid(child, 0)
            os._exit(0 if answer == b"\0" else 1)
        os.close(answer_fd)
        os.setsid()
        if os.fork():
            os._exit(0)
        os.umask(_UMASK)
        for number in (signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
            signal.signal(number, signal.SIG_IGN)

    def finish(self) -> None:
        """The machine is made: leave the folder, the terminal, and who waits."""
        os.chdir("/")
        null_fd = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null_fd, fd)
        os.close(null_fd)
        os.write(self._answer_fd, b"\0")
        os.close(self._answer_fd)


class PidFile:
    """The file with this process's number; locked while the process lives, then taken away.

    Raises:
        QemuError: it can't be written, or another process has it.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._fd = self._open_locked(path)
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(self._fd)
            raise _worded("Failed to write pid file", error) from error

    def _open_locked(self, path: str) -> int:
        while True:
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise _worded(f"Could not create '{path}'", error) from error
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(fd)
                raise _worded("Cannot lock pid file", error) from error
            # Its owner before may have taken it away between the two.
            try:
                if os.path.samestat(os.stat(path), os.fstat(fd)):
                    return fd
            except FileNotFoundError:
                pass
            os.close(fd)

    def close(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass  # somebody was quicker
        os.close(self._fd)


def _worded(what: str, error: OSError) -> QemuError:
    text = f"cannot create PID file: {what}: {os.strerror(error.errno or 0)}"
    return QemuError(text, error.errno or 0)
