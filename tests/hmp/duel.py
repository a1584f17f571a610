"""Lines that are almost right, given to `hmp` and to the real program: who answers otherwise?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.hmp.trial import RealSession

NONE = "-M none"
PC = (
    "-M pc -S -m 16 -netdev user,id=zz -chardev ringbuf,id=c0 "
    "-drive if=none,id=d9,file=a.qcow2 -drive if=none,id=d8,file=b.qcow2"
)

# What differs from run to run, or by what the host has.
_VOLATILE = (
    (r"thread_id=\d+", "thread_id=<n>"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d\d:\d\d:\d\d\.\d{3}", "<date> <clock>"),
    (r"vm-\d{14}", "vm-<date>"),
    (r" +[\d.]+ [KM]iB(?= +<date>)", " <size>"),
    (r"disk size: .*", "disk size: <size>"),
    (r"#block\d+", "#block<n>"),
    (r" \[MRU\]", ""),
    (r"(Host .* is 0x)[0-9a-f]+$", r"\1<address>"),
    (r"((?:total |down|setup: |setup )time: )\d+ ms", r"\1<ms>"),
)

# Where the answers differ for a reason: a machine's beginning, a line's, and why.
EXPLAINED = (
    ("-M", "info version", "each tells its own version"),
    ("-M", r"info trace-events\s*$", "ours lists the events that it has"),
    ("-M pc", "info jit", "no guest is translated here"),
    ("-M pc", "info migrate", "a PC's firmware is more RAM, and travels"),
)
# Lines that let a machine run: QEMU's firmware would change it, and there is none here.
_RUNNING = re.compile(r"(c|cont)([\s/]|$)")


class Duel:
    """Two programs with the same machine.

    Args:
        machine: its options.
        folder: an empty one; each gets a folder in it with its own disks.

    Attributes:
        differences: lines that were answered otherwise, with both answers; those that are
            explained are left out.
        crashes: lines at which the real program came to a bad end.
    """

    def __init__(self, hmp: str, qemu: str, machine: str, folder: Path) -> None:
        self.machine = machine
        self.differences: list[tuple[str, str, str]] = []
        self.crashes: list[str] = []
        self._explained = [line for begin, line, _ in EXPLAINED if machine.startswith(begin)]
        self._commands = (hmp, qemu)
        self._folder = folder
        self._programs: list[RealSession] = []
        self._start()

    def _start(self) -> None:
        """Begin with two programs, and fresh disks for each."""
        self._stop()
        for command, name in zip(self._commands, ("ours", "theirs"), strict=True):
            own = self._folder / f"{len(self.crashes)}-{name}"
            own.mkdir()
            for disk in ("a.qcow2", "b.qcow2"):
                make = ["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"]
                subprocess.run(make, cwd=own, check=True)
            self._programs.append(RealSession(command, self.machine.split(), str(own)))

    def _stop(self) -> None:
        while self._programs:
            self._programs.pop().close()

    def fight(self, lines: Iterable[str]) -> int:
        """Give lines to both; how many that were."""
        count = 0
        for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is wanted
            if self.machine == PC and _RUNNING.match(line):
                continue
            ours, theirs = self._programs
            answer = self._answer(ours, line)
            try:
                right_answer = self._answer(theirs, line)
            except AssertionError:  # QEMU crashed: both begin again
                self.crashes.append(line)
                self._start()
                continue
            if answer != right_answer and not any(re.match(each, line) for each in self._explained):
                self.differences.append((line, answer, right_answer))
        return count

    def _answer(self, program: RealSession, line: str) -> str:
        """A program's answer, with what it printed aside."""
        while "dump" in line and "active" in program("info dump"):
            pass  # how long one goes on beside is nobody's concern
        before = len(program.aside)
        answer = program(line) + "".join(program.aside[before:])
        if line.startswith("info mtree"):
            answer = re.sub(r"FlatView #\d+", "FlatView", answer)
            answer = "\n\n".join(sorted(answer.strip().split("\n\n")))  # by where it lies
        for pattern, shown in _VOLATILE:
            answer = re.sub(pattern, shown, answer, flags=re.MULTILINE)
        return answer

    def __enter__(self) -> Duel:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
