"""Runs a thing in our program and in the real one in turn, and shows medians and ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable

PROMPT = b"(qemu) "


class Session:
    """A program at its monitor prompt."""

    def __init__(self, argv: list[str], cwd: str) -> None:
        self._process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def wait_for(self, wanted: bytes) -> bytes:
        """What comes until it contains `wanted`."""
        assert self._process.stdout is not None
        got = b""
        while wanted not in got:
            chunk = os.read(self._process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise RuntimeError(f"the program ended: {got!r}")
            got += chunk
        return got

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def command(self, line: str) -> float:
        """Seconds from sending a line to the next prompt."""
        start = time.perf_counter()
        self.send(line)
        # The echo ends with the line break; the prompt comes after the answer.
        got = self.wait_for(b"\r\n" + PROMPT)
        seconds = time.perf_counter() - start
        if b"Error" in got:
            raise RuntimeError(got.decode())
        return seconds

    def reset_peak_memory(self) -> int:
        """Begin to look for the peak anew; bytes that are resident now."""
        with open(f"/proc/{self._process.pid}/clear_refs", "w") as file:
            file.write("5")
        return self._memory("VmRSS")

    def peak_memory(self) -> int:
        """Bytes that were resident at most since `reset_peak_memory`."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        with open(f"/proc/{self._process.pid}/status") as file:
            (line,) = [line for line in file if line.startswith(f"{field}:")]
        return int(line.split()[1]) << 10

    def quit(self) -> None:
        self.send("quit")
        self._process.wait()


def start_seconds(argv: list[str], cwd: str) -> float:
    """From exec to the answer of ``info status``."""
    start = time.perf_counter()
    session = Session(argv, cwd)
    session.send("info status")
    session.wait_for(b"VM status: ")
    seconds = time.perf_counter() - start
    session.quit()
    return seconds


def process_seconds(argv: list[str]) -> float:
    """A whole process that ends by itself."""
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


class Result:
    """Medians in seconds of both programs, and the median of the ratios of their pairs."""

    def __init__(
        self, title: str, ours: list[float], real: list[float], limit: float | None
    ) -> None:
        self.title = title
        self.ours = statistics.median(ours)
        self.real = statistics.median(real)
        self.ratio = self.ours / self.real
        self.runs = len(ours)
        self.limit = limit

    def row(self) -> str:
        limit = f"at most {self.limit:.1f}" if self.limit else ""
        return (
            f"{self.title:44} {self.ours * 1e3:9.1f} ms {self.real * 1e3:9.1f} ms "
            f"{self.ratio:7.2f}  {limit:12} {self.runs} runs"
        )


class Figure:
    """The median of what has no other program beside it, in seconds, and what it may be."""

    def __init__(self, title: str, seconds: list[float], limit: float) -> None:
        self.title = title
        self.seconds = statistics.median(seconds)
        self.runs = len(seconds)
        self.limit = limit

    def row(self) -> str:
        limit = f"at most {self.limit * 1e3:.0f} ms"
        return f"{self.title:44} {self.seconds * 1e3:9.1f} ms {'':20}  {limit:15} {self.runs} runs"


class Amount:
    """What something takes of the host's memory, in MiB, and what it may take."""

    def __init__(self, title: str, mebibytes: float, limit: float) -> None:
        self.title = title
        self.mebibytes = mebibytes
        self.limit = limit

    def row(self) -> str:
        return f"{self.title:44} {self.mebibytes:8.1f} MiB {'':20}  at most {self.limit:.0f} MiB"


def compare(
    title: str,
    ours: Callable[[], float],
    real: Callable[[], float],
    *,
    runs: int,
    limit: float | None = None,
) -> Result:
    """Measure in turn, after one run of each that doesn't count."""
    ours()
    real()
    pairs = [(ours(), real()) for _ in range(runs)]
    return Result(title, [pair[0] for pair in pairs], [pair[1] for pair in pairs], limit)
