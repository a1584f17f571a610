"""What a person at a terminal waits for: the first prompt, a key's echo, the menu."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.pairs import Figure, Result, compare
from blockdev.qcow2.create import create_image

_BARE = "from prompt_toolkit import PromptSession\nPromptSession().prompt('(qemu) ')\n"
_PATIENCE = 20.0  # seconds
_WHERE_IS_THE_CURSOR = b"\x1b[6n"
_LETTERS = b"zwqv"  # that no escape sequence and no word of the bar has
MILLISECOND = 1e-3


class Terminal:
    """A program on a terminal that answers what terminals are asked."""

    def __init__(self, argv: list[str], folder: str) -> None:
        self.started = time.perf_counter()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.update(TERM="xterm-256color", XDG_STATE_HOME=folder, XDG_CONFIG_HOME=folder)
            os.execvp(argv[0], argv)

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def wait_for(self, wanted: bytes) -> None:
        got = b""
        while wanted not in got:
            ready, _, _ = select.select([self._fd], [], [], _PATIENCE)
            if not ready:
                raise RuntimeError(f"{wanted!r} didn't come, but {got[-500:]!r}")
            got += (data := os.read(self._fd, 1 << 16))
            for _ in range(data.count(_WHERE_IS_THE_CURSOR)):
                os.write(self._fd, b"\x1b[3;1R")

    def seconds_until(self, wanted: bytes, keys: bytes = b"") -> float:
        """Type keys; the time until something is shown."""
        start = time.perf_counter()
        self.type(keys)
        self.wait_for(wanted)
        return time.perf_counter() - start

    def pause(self, seconds: float) -> None:
        """Take what comes meanwhile."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                os.read(self._fd, 1 << 16)

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)


def first_prompt(argv: list[str], folder: str) -> float:
    """From exec until the prompt is there."""
    terminal = Terminal(argv, folder)
    terminal.wait_for(b"(qemu)")
    seconds = time.perf_counter() - terminal.started
    terminal.close()
    return seconds


def start_up(ours: str, folder: str, runs: int) -> Iterator[Result]:
    """Beside a program that is nothing but prompt_toolkit's prompt."""
    bare = Path(folder) / "bare.py"
    bare.write_text(_BARE)
    yield compare(
        "first rich prompt, beside prompt_toolkit's own",
        lambda: first_prompt([ours, "-M", "none"], folder),
        lambda: first_prompt([sys.executable, str(bare)], folder),
        runs=4 * runs,
        limit=1.3,
    )


def waits(ours: str, folder: str, runs: int) -> Iterator[Figure]:
    yield Figure(
        "first rich prompt, whole time",
        [first_prompt([ours], folder) for _ in range(2 * runs)],
        200 * MILLISECOND,
    )
    flat_out = [ours, "-M", "none", "-m", "64", "-device", "hmp-guest,pages-rate=0"]
    yield Figure("a key's echo, guest flat out", _echoes(flat_out, folder, runs), 0.03)
    tags, devices = _menus(ours, folder, runs)
    yield Figure("menu of 1000 snapshots", tags, 50 * MILLISECOND)
    yield Figure("menu of 200 devices", devices, 50 * MILLISECOND)


def _echoes(argv: list[str], folder: str, runs: int) -> list[float]:
    terminal = Terminal(argv, folder)
    terminal.wait_for(b"(qemu)")
    terminal.pause(0.5)
    seconds = []
    for _ in range(4 * runs):
        for letter in _LETTERS:
            seconds.append(terminal.seconds_until(bytes([letter]), bytes([letter])))
            terminal.pause(0.013)  # as no person's keys keep step with the guest's slices
        terminal.type(b"\x03")
        terminal.pause(0.1)
    terminal.close()
    return seconds


def _menus(ours: str, folder: str, runs: int) -> tuple[list[float], list[float]]:
    disk = Path(folder) / "thousand.qcow2"
    create_image(str(disk), 64 << 20)
    lines = "".join(f"snapshot_blkdev_internal d0 tag{number}\n" for number in range(1000))
    arguments = ["-M", "none", "-drive", f"if=none,id=d0,file={disk}"]
    subprocess.run(
        [ours, *arguments, "-monitor", "stdio"],
        input=(lines + "quit\n").encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    for number in range(200):
        raw = Path(folder) / f"raw{number}"
        raw.write_bytes(bytes(512))
        arguments += ["-drive", f"if=none,id=device{number},format=raw,file={raw}"]
    terminal = Terminal([ours, *arguments], folder)
    terminal.wait_for(b"(qemu)")
    terminal.pause(1.0)
    tags, devices = [], []
    for _ in range(2 * runs):
        terminal.type(b"loadvm")
        terminal.pause(0.3)
        tags.append(terminal.seconds_until(b"tag1", b" "))
        terminal.type(b"\x03")
        terminal.pause(0.1)
        terminal.type(b"eject")
        terminal.pause(0.3)
        devices.append(terminal.seconds_until(b"device1", b" "))
        terminal.type(b"\x03")
        terminal.pause(0.1)
    terminal.close()
    return tags, devices
