"""Kills the program while it saves, loads and deletes snapshots under a writing load.

What must hold afterwards: nothing in the image is dangerous, every snapshot whose command was
answered is there and whole, and the real program can go on with it.
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.qcow2.check import CheckResult, check

DISK = 8 << 20  # bytes
PLAIN = ["-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio"]
COMMANDS = ["savevm", "loadvm", "delvm"]

_PROMPT = b"(qemu) "
_PATIENCE = 60.0  # seconds for an answer
_LAYOUTS = [
    "cluster_size=65536",
    "cluster_size=4096",
    "cluster_size=65536,extended_l2=on",
    "compat=0.10",
    "cluster_size=512,refcount_bits=64",
    "cluster_size=1048576,refcount_bits=8",
]


class Line(NamedTuple):
    """A line for the monitor, and what it does to the disk: at most one of these."""

    text: str
    write: tuple[int, int, int] | None = None  # offset, length, byte
    save: str = ""
    load: str = ""
    delete: str = ""


class Model:
    """What the disk and the snapshots are after the lines that were answered."""

    def __init__(self) -> None:
        self.disk = bytearray(DISK)
        self.kept: dict[str, bytes] = {}

    def follow(self, line: Line) -> None:
        if line.write is not None:
            offset, length, byte = line.write
            self.disk[offset : offset + length] = bytes([byte]) * length
        if line.save:
            self.kept[line.save] = bytes(self.disk)
        if line.load:
            self.disk[:] = self.kept[line.load]
        if line.delete:
            del self.kept[line.delete]


class Outcome(NamedTuple):
    """What one kill left.

    Attributes:
        during: the command that was running; "" when it had been answered already.
        check: 0 clean, 2 errors, 3 leaks, in `qemu-img check`'s words.
        took_effect: whether the command that was running had been carried out.
        faults: what should not be.
    """

    during: str
    check: int
    took_effect: bool
    faults: list[str]


class Program:
    """The program at work; lines go in ahead of the answers."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._said = b""
        self.wait(1)

    @property
    def prompts(self) -> int:
        return self._said.count(_PROMPT)

    def feed(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")

    def wait(self, prompts: int) -> None:
        """Until so many prompts have come."""
        deadline = time.monotonic() + _PATIENCE
        while self.prompts < prompts:
            assert self._listen(deadline - time.monotonic()), f"no answer: {self._said[-500:]!r}"

    def _listen(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(seconds, 0))
        data = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
        self._said += data
        return bool(data)

    def kill(self) -> str:
        """End it at once; what it had said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        while self._listen(_PATIENCE):
            pass
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        return self._said.decode("utf-8", "replace")


class Attempt:
    """One process, killed once.

    Args:
        folder: for the image; empty.
        program: the program's command, such as the path of `hmp`.
        seed: decides the load, what runs when the kill comes, and when that is.
    """

    def __init__(self, folder: Path, program: list[str], seed: int) -> None:
        self._random = random.Random(seed)
        self._path = folder / "disk.qcow2"
        self._raw = folder / "copy.raw"
        self._program = program
        self._layout = _LAYOUTS[seed // 3 % len(_LAYOUTS)]
        self._target = COMMANDS[seed % 3]
        self._saved = 0

    def run(self, seconds: dict[str, float]) -> Outcome:
        """Work, kill, and look.

        Args:
            seconds: how long each command takes, roughly; made better by what is seen.
        """
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", self._layout]
        subprocess.run([*command, str(self._path), str(DISK)], check=True)
        drive = f"if=none,id=d,file={self._path},format=qcow2"
        program = Program([*self._program, *PLAIN, "-drive", drive])
        lines = list(self._load())
        for line in lines:
            program.feed(line.text)
        model = Model()
        for line in lines:
            model.follow(line)
        program.wait(len(lines) + 1)
        # The command has writes before and behind it, all fed at once.
        ahead = [self._write() for _ in range(3)]
        lines += [*ahead, self._last(model), *(self._write() for _ in range(3))]
        for line in lines[program.prompts - 1 :]:
            program.feed(line.text)
        program.wait(len(lines) - 3)
        time.sleep(self._random.random() * seconds[self._target])
        answered = program.kill().count(_PROMPT.decode()) - 1
        is_hit = answered == len(lines) - 4
        seconds[self._target] *= 1.15 if is_hit else 0.85
        before, after = Model(), Model()
        for line in lines[:answered]:
            before.follow(line)
        for line in lines[: answered + 1]:
            after.follow(line)
        running = lines[answered] if answered < len(lines) else None
        return self._judge(self._target if is_hit else "", before, after, running)

    def _write(self) -> Line:
        offset = self._random.randrange(DISK - (1 << 20)) // 512 * 512
        length = self._random.choice([512, 65536, 300_032, 1 << 20])
        byte = self._random.randrange(1, 256)
        text = f'qemu-io d "write -P {byte} {offset} {length}"'
        return Line(text, write=(offset, length, byte))

    def _load(self) -> Iterator[Line]:
        """Writes with snapshots between them; at least one is there at the end."""
        kept: list[str] = []
        for _ in range(self._random.randint(2, 5)):
            for _ in range(self._random.randint(1, 6)):
                yield self._write()
            self._saved += 1
            kept.append(f"s{self._saved}")
            yield Line(f"savevm {kept[-1]}", save=kept[-1])
            if len(kept) > 2 and self._random.random() < 0.3:
                name = kept.pop(self._random.randrange(len(kept)))
                yield Line(f"delvm {name}", delete=name)
            if self._random.random() < 0.3:
                name = self._random.choice(kept)
                yield Line(f"loadvm {name}", load=name)
        for _ in range(self._random.randint(0, 4)):
            yield self._write()

    def _last(self, model: Model) -> Line:
        name = self._random.choice(list(model.kept))
        if self._target == "savevm":
            return Line("savevm last", save="last")
        if self._target == "loadvm":
            return Line(f"loadvm {name}", load=name)
        return Line(f"delvm {name}", delete=name)

    # --- afterwards

    def _judge(self, during: str, before: Model, after: Model, running: Line | None) -> Outcome:
        command = ["qemu-img", "check", "-q", str(self._path)]
        status = subprocess.run(command, check=False, capture_output=True).returncode
        faults: list[str] = []
        result = self._check()
        if result.is_dangerous:
            faults += ["dangerous:", *result.findings()]
        names = self._names()
        if names not in ([*before.kept], [*after.kept]):
            faults.append(f"{names} are there, not {[*before.kept]} or {[*after.kept]}")
        took_effect = names == [*after.kept] != [*before.kept]
        disks = [bytes(model.disk) for model in (before, after)]
        found = self._content()
        if running is not None and running.write is not None:
            # A write may have been cut short anywhere.
            offset, length, _ = running.write
            disks = [
                d[:offset] + found[offset : offset + length] + d[offset + length :] for d in disks
            ]
        if found not in disks:
            faults.append("the disk is neither as before nor as after")
        elif disks[0] != disks[1]:
            took_effect = found == disks[1]
        wanted = {**after.kept, **before.kept}
        # What is written now must not reach what the snapshots hold.
        for when in ("after the kill", "after more writes"):
            for name in names:
                if name in wanted and self._content(name) != wanted[name]:
                    faults.append(f"{name} has changed {when}")
            write = ["qemu-io", "-c", f"write -q -P 255 0 {DISK}", str(self._path)]
            if subprocess.run(write, check=False, capture_output=True).returncode:
                faults.append("the real program can't write to it")
        for name in names:
            faults += self._load_for_real(name)
        return Outcome(during, status, took_effect, faults)

    def _check(self) -> CheckResult:
        graph = Graph(lambda text: None)
        try:
            return check(graph.open_file(str(self._path), read_only=True, cache=CacheMode()))
        finally:
            graph.close()

    def _names(self) -> list[str]:
        listing = subprocess.run(
            ["qemu-img", "snapshot", "-l", str(self._path)],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split()[1] for line in listing.stdout.splitlines()[2:]]

    def _content(self, snapshot: str = "") -> bytes:
        which = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        command = ["qemu-img", "convert", "-f", "qcow2", *which, "-O", "raw"]
        subprocess.run([*command, str(self._path), str(self._raw)], check=True)
        return self._raw.read_bytes()

    def _load_for_real(self, name: str) -> list[str]:
        """Let the real machine load a snapshot: its state must be whole too."""
        drive = f"if=none,id=d,file={self._path},format=qcow2"
        done = subprocess.run(
            ["qemu-system-x86_64", *PLAIN, "-S", "-drive", drive, "-loadvm", name],
            input="quit\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
        return [f"-loadvm {name}: {done.stderr}"] if done.returncode or done.stderr else []


def campaign(program: list[str], kills: int, seed: int = 0) -> int:
    """Kill until so many kills came in the middle of a command; how many had faults."""
    during: Counter[str] = Counter()
    effects: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    seconds = dict.fromkeys(COMMANDS, 0.01)
    bad = attempts = 0
    while during.total() < kills and attempts < 6 * kills:
        with tempfile.TemporaryDirectory() as folder:
            outcome = Attempt(Path(folder), program, seed + attempts).run(seconds)
        if outcome.during:
            during[outcome.during] += 1
            effects[outcome.during] += outcome.took_effect
            statuses[outcome.check] += 1
        if outcome.faults:
            bad += 1
            print(f"kill {seed + attempts}:", *outcome.faults, sep="\n  ")
        attempts += 1
    print(f"{attempts} kills, {during.total()} in the middle of a command, {bad} with faults")
    for name, count in sorted(during.items()):
        print(f"  {name}: {count}, of these carried out {effects[name]}")
    print("  qemu-img check:", ", ".join(f"{s}: {count}" for s, count in sorted(statuses.items())))
    return bad
