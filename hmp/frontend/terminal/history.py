"""The lines of earlier times, kept in a file: one a line, the newest last."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable

from prompt_toolkit.history import History

_LARGEST = 16 << 20  # bytes of the file's end that are read


def default_path() -> str:
    """`hmp/history` in XDG_STATE_HOME."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(folder, "hmp", "history")


class LineHistory(History):
    """The history in a file; without one it lives as long as the program.

    Args:
        path: of the file; its folder is made.
        limit: how many lines are kept.
        complain: told once when the file can't be used.
    """

    def __init__(self, path: str, limit: int, complain: Callable[[str], object]) -> None:
        super().__init__()
        self._path = path
        self._limit = limit
        self._complain = complain
        self._is_usable = True
        self._last = ""

    def load_history_strings(self) -> Iterable[str]:
        """The lines, newest first."""
        lines = self._read()
        if len(lines) > 2 * self._limit:
            self._keep(lines[-self._limit :])
        lines = lines[-self._limit :]
        self._last = lines[-1] if lines else ""
        return reversed(lines)

    def append_string(self, string: str) -> None:
        """Take a line, unless it is the last one again."""
        line = string.strip()
        if line and line != self._last and "\n" not in line:
            self._last = line
            super().append_string(line)

    def store_string(self, string: str) -> None:
        """Add a line to the file.

        One write at the end of the file, so that several programs may share it.
        """
        if self._is_usable:
            try:
                self._open_and_write(string.encode("utf-8", "surrogateescape") + b"\n")
            except OSError as error:
                self._give_up(error)

    def _open_and_write(self, data: bytes) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def _read(self) -> list[str]:
        try:
            # A pipe by that name would let the start wait.
            if not stat.S_ISREG(os.stat(self._path).st_mode):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            with open(self._path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LARGEST))
                data = file.read(_LARGEST)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._give_up(error)
            return []
        return [line for line in data.decode("utf-8", "surrogateescape").split("\n") if line]

    def _keep(self, lines: list[str]) -> None:
        """Let the file have these lines only; another that replaces it whole, or none."""
        text = "".join(f"{line}\n" for line in lines)
        beside = f"{self._path}.{os.getpid()}"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
            os.replace(beside, self._path)
        except OSError as error:
            self._give_up(error)
            self._drop(beside)

    @staticmethod
    def _drop(path: str) -> None:
        try:
            os.unlink(path)
        except OSError:
            pass  # it never was

    def _give_up(self, error: OSError) -> None:
        self._is_usable = False
        reason = os.strerror(error.errno or 0)
        self._complain(f"The history isn't kept: could not use '{self._path}': {reason}")
