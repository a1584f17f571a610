"""A terminal with a person at it: the program on a pty, and what its screen shows."""

from __future__ import annotations

import copy
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte

PATIENCE = 20.0  # seconds until what is waited for must be on the screen


class AlternateScreen(pyte.Screen):
    """pyte's screen, and the second one that full-screen programs use."""

    _kept: tuple[Any, Any] | None = None

    def set_mode(self, *modes: int, **options: Any) -> None:
        super().set_mode(*modes, **options)
        if 1049 in modes and options.get("private") and self._kept is None:
            self._kept = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if 1049 in modes and options.get("private") and self._kept is not None:
            self.buffer, self.cursor = self._kept
            self._kept = None
            self.dirty.update(range(self.lines))


class Terminal:
    """The program on a terminal of its own.

    Args:
        argv: the program and its arguments.
        cwd: its folder, which holds its settings and history too.
        size: columns and lines.
        environment: variables besides the usual.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = AlternateScreen(*size)
        self.screen.write_process_input = self._answer  # type: ignore[method-assign]
        self._stream = pyte.ByteStream(self.screen)
        self.cwd = cwd
        self.received = b""
        self._late: list[str] | None = None
        self.status: int | None = None
        variables = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "TERM": "xterm-256color",
            "XDG_CONFIG_HOME": str(cwd / "config"),
            "XDG_STATE_HOME": str(cwd / "state"),
            **(environment or {}),
        }
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvpe(argv[0], list(argv), variables)
        self.resize(*size)

    # --- the person

    def type(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        while data:
            self._look(0.0)
            _, writable, _ = select.select([], [self._fd], [], PATIENCE)
            assert writable, "the program takes no keys"
            data = data[os.write(self._fd, data[:1024]) :]

    def paste(self, text: str) -> None:
        """Paste, as terminals do it that tell a paste from keys."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def run(self, line: str) -> list[str]:
        """Type a line, and wait until the next prompt stands alone; the lines between."""
        self.type(line)
        self.wait(lambda: not self.is_at_prompt(), line)
        self.type("\r")
        self.wait(self.is_at_prompt, "the next prompt")
        return self.lines()

    @contextmanager
    def answering_late(self) -> Iterator[None]:
        """Keep the terminal's own answers back until the end."""
        self._late = []
        yield
        late, self._late = self._late, None
        for data in late:
            self._answer(data)

    @property
    def late_answers(self) -> int:
        """How many answers are kept back."""
        return len(self._late or ())

    # --- the screen

    def lines(self) -> list[str]:
        """What the screen shows, without blanks at the ends."""
        return [line.rstrip() for line in self.screen.display]

    def text(self) -> str:
        return "\n".join(self.lines())

    def is_at_prompt(self) -> bool:
        """Whether the cursor is right behind a prompt with nothing typed."""
        cursor = self.screen.cursor
        return cursor.x == 7 and self.lines()[cursor.y].startswith("(qemu)")

    def style_of(self, text: str) -> Any:
        """How the last place where this text stands is drawn: pyte's cell of its first letter."""
        for number in reversed(range(self.screen.lines)):
            column = self.screen.display[number].rfind(text)
            if column >= 0:
                return self.screen.buffer[number][column]
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text()}")

    def wait_style(self, text: str, **looks: object) -> None:
        """Wait until the text is on the screen and looks so: ``fg="red"``, ``bold=True``."""

        def holds() -> bool:
            if text not in self.text():
                return False
            cell = self.style_of(text)
            return all(getattr(cell, name) == look for name, look in looks.items())

        self.wait(holds, f"{text} {looks}")

    def wait_for(self, text: str) -> None:
        """Wait until the text is on the screen."""
        self.wait(lambda: text in self.text(), text)

    def wait_gone(self, text: str) -> None:
        self.wait(lambda: text not in self.text(), f"no {text}")

    def wait(self, holds: Callable[[], bool], what: str = "") -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"waited for {what!r}, but:\n{self.text()}"
            if not self._look(0.05) and self.status is not None:
                assert holds(), f"ended ({self.status}) before {what!r}:\n{self.text()}"
                return

    def settle(self, seconds: float = 0.3) -> None:
        """Wait until nothing new has come for a while."""
        while self._look(seconds):
            pass

    # --- the end

    def wait_end(self) -> int:
        """Wait until the program has ended; its exit status, negative for a signal."""
        self.wait(lambda: self.status is not None, "the end")
        assert self.status is not None
        return self.status

    def hang_up(self) -> int:
        """Close the terminal, as closing a window does; the program's status."""
        os.close(self._fd)
        self._fd = -1
        deadline = time.monotonic() + PATIENCE
        while not self._reap():
            assert time.monotonic() < deadline, "it doesn't end"
            time.sleep(0.02)
        assert self.status is not None
        return self.status

    def close(self) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # --- inside

    def _answer(self, data: str) -> None:
        """What the terminal itself says, such as where the cursor is."""
        if self._late is not None:
            self._late.append(data)
        else:
            os.write(self._fd, data.encode())

    def _look(self, seconds: float) -> bool:
        """Take what the program wrote; whether there was anything."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            self._reap()
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the program has closed its side
            data = b""
        if not data:
            time.sleep(0.01)
            self._reap()
            return False
        self.received += data
        self._stream.feed(data)
        return True

    def _reap(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None
