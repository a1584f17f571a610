"""The words of the lab on large machines."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.pairs import Figure
from blockdev.qcow2.create import create_image
from hmp.lab import COMMANDS_WITH_LAB
from hmp.monitor import Monitor
from machine.assembly import build
from machine.machine import Machine

MIB = 1 << 20
LIMIT = 1.0  # seconds


class Lab:
    """A monitor on a machine with one disk."""

    def __init__(self, disk: Path, megabytes: int) -> None:
        self.machine = Machine(ram_size=megabytes * MIB)
        self.machine.drives.add({"if": "none", "id": "disk", "file": str(disk)})
        build(self.machine)
        self._said: list[str] = []
        self._monitor = Monitor(self.machine, self._said.append, COMMANDS_WITH_LAB)

    def run(self, line: str) -> float:
        """Seconds that a line takes."""
        self._said.clear()
        start = time.perf_counter()
        for _ in self._monitor.execute(line):
            pass
        seconds = time.perf_counter() - start
        if "Error: " in "".join(self._said):
            raise RuntimeError("".join(self._said))
        return seconds


def _measure(lab: Lab, title: str, line: str, runs: int) -> Figure:
    return Figure(title, [lab.run(line) for _ in range(runs)], LIMIT)


def map_(folder: str, runs: int) -> Iterator[Figure]:
    """A picture of 20 GiB that are all mapped, with ten snapshots."""
    disk = Path(folder) / "map.qcow2"
    options = "preallocation=metadata"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(disk), "20G"], check=True
    )
    lab = Lab(disk, 16)
    for number in range(10):
        lab.run(f"savevm s{number}")
        lab.run(f'qemu-io disk "write -q {number}G 1M"')
    yield _measure(lab, "%map, 20 GiB mapped, 10 snapshots", "%map disk", runs)
    lab.machine.close()
    disk.unlink()


def diff(folder: str, runs: int) -> Iterator[Figure]:
    """Two states of 256 MiB of random memory."""
    disk = Path(folder) / "diff.qcow2"
    create_image(str(disk), 64 * MIB)
    lab = Lab(disk, 256)
    _fill(lab)
    lab.run("savevm a")
    lab.machine.memory.write(100 * MIB, b"changed")
    lab.run("savevm b")
    yield _measure(lab, "%diff, 256 MiB of random RAM", "%diff a b", runs)
    yield _measure(lab, "  with now", "%diff a", runs)
    _fill(lab)
    lab.run("savevm c")
    yield _measure(lab, "  all of it different", "%diff a c", runs)
    lab.machine.close()
    disk.unlink()


def _fill(lab: Lab) -> None:
    for megabyte in range(256):
        lab.machine.memory.write(megabyte * MIB, os.urandom(MIB))
