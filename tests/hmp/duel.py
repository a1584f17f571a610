"""Lines that are almost right, given to `hmp` and to the real program: who answers otherwise?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
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
    (r"(is 0x)[0-9a-f]{12}$", r"\1<address>"),
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
    """

    def __init__(self, hmp: str, qemu: str, machine: str, folder: Path) -> None:
        self.machine = machine
        self.differences: list[tuple[str, str, str]] = []
        self._explained = [line for begin, line, _ in EXPLAINED if machine.startswith(begin)]
        self._programs: list[RealSession] = []
        for program, name in ((hmp, "ours"), (qemu, "theirs")):
            own = folder / name
            own.mkdir()
            for disk in ("a.qcow2", "b.qcow2"):
                command = ["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"]
                subprocess.run(command, cwd=own, check=True)
            self._programs.append(RealSession(program, machine.split(), str(own)))

    def fight(self, lines: Iterable[str]) -> int:
        """Give lines to both; how many that were."""
        count = 0
        for count, line in enumerate(lines, 1):  # noqa: B007 - the last one is wanted
            if self.machine == PC and _RUNNING.match(line):
                continue
            ours, theirs = self._answers(line)
            if ours != theirs and not any(re.match(each, line) for each in self._explained):
                self.differences.append((line, ours, theirs))
        return count

    def _answers(self, line: str) -> Iterator[str]:
        """Each one's answer, with what it printed aside."""
        for program in self._programs:
            before = len(program.aside)
            answer = program(line) + "".join(program.aside[before:])
            if line.startswith("info mtree"):
                answer = "\n\n".join(sorted(answer.strip().split("\n\n")))  # by where it lies
            for pattern, shown in _VOLATILE:
                answer = re.sub(pattern, shown, answer, flags=re.MULTILINE)
            yield answer

    def __enter__(self) -> Duel:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.close()
