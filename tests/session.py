"""A program at its monitor prompt: ours or the real one, driven the same way."""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROMPT = b"(qemu) "
PATIENCE = 30.0  # seconds until a prompt must have come
PLAIN = ("-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio")


class Session:
    """Lines in, answers out; the process must end by itself when it is told to.

    Attributes:
        final_stderr: all that it wrote there, once it has ended.
    """

    def __init__(self, argv: Sequence[str], cwd: Path, pass_fds: Sequence[int] = ()) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the session lasts
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            bufsize=0,
            pass_fds=pass_fds,
        )
        self.greeting = self._until(PROMPT)

    def _until(self, end: bytes) -> bytes:
        """What comes up to the last of these that has come; what follows it was not asked for."""
        assert self.process.stdout is not None
        got = b""
        deadline = time.monotonic() + PATIENCE
        while end not in got:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            chunk = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not chunk:
                trouble = "the program ended" if ready else f"no {end!r}"
                raise AssertionError(f"{trouble}: {got!r} {self._abandon()}")
            got += chunk
        return got[: got.rindex(end) + len(end)]

    def _abandon(self) -> str:
        """Leave nothing behind that the next test would stumble over; what was on stderr."""
        self.process.kill()
        self.wait()
        return self.final_stderr

    def __call__(self, line: str) -> str:
        """Send a line; the answer, without echo and prompt."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        answer = self._until(PROMPT)
        _echo, _, rest = answer.partition(b"\r\n")
        return rest.removesuffix(PROMPT).replace(b"\r\n", b"\n").decode("utf-8", "replace")

    def quit(self) -> int:
        """End it; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"quit\n")
        return self.wait()

    def wait(self) -> int:
        """Until it has ended; the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        status = self.process.wait(PATIENCE)
        self.final_stderr = self.stderr()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        return status

    def stderr(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")


def normal(text: str) -> str:
    """Text without what differs from run to run: dates, clocks, sizes of states, node names."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d\d:\d\d:\d\d\.\d{3}", "<date> <clock>", text)
    text = re.sub(r" +[\d.]+ [KM]iB(?= +<date>)", " <size>", text)
    text = re.sub(r"#block\d+", "#block<n>", text)
    return re.sub(r"ops; [\d:.]+ sec \(.*\)", "ops; <time>", text)


def run_to_end(argv: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    """Run a program that can't start: its status, and what it wrote to stdout and stderr."""
    done = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
