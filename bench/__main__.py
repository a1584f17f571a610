"""``make bench``: what a user waits for, in hmp and in QEMU.

``make bench ARGS='shell engine'`` measures only those parts.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import engine, images, lab, shell, transport
from bench.pairs import Amount, Figure, Result, Session, compare, process_seconds, start_seconds

OURS = str(Path(__file__).resolve().parent.parent / ".venv" / "bin" / "hmp")
REAL = "qemu-system-x86_64"
PLAIN = "-M none -nodefaults -display none -monitor stdio".split()
PC = "-M pc -S -nodefaults -display none -monitor stdio".split()
MIB = 1 << 20


def start_up(runs: int, folder: str) -> Iterator[Result]:
    yield compare(
        "start to the answer of info status",
        lambda: start_seconds([OURS, *PLAIN], folder),
        lambda: start_seconds([REAL, *PLAIN], folder),
        runs=4 * runs,
        limit=2.0,
    )
    yield compare(
        "the same of -M pc -S",
        lambda: start_seconds([OURS, *PC], folder),
        lambda: start_seconds([REAL, *PC], folder),
        runs=4 * runs,
        limit=1.5,
    )
    yield compare(
        "  of this: --version",
        lambda: process_seconds([OURS, "--version"]),
        lambda: process_seconds([REAL, "--version"]),
        runs=4 * runs,
    )


def random_ram(folder: str, megabytes: int) -> list[str]:
    """Options that fill a machine's memory with what no two pages have alike."""
    ram = Path(folder) / "ram"
    with ram.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MIB))
    return ["-device", f"loader,file={ram},addr=0,force-raw=on"]


def fresh_disk(folder: str) -> Path:
    disk = Path(folder) / "disk.qcow2"
    disk.unlink(missing_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"], check=True)
    return disk


def snapshots(runs: int, folder: str, megabytes: int, *, random: bool) -> Iterator[Result]:
    """Savevm and loadvm of one machine after the other, on a disk of its own each time."""
    arguments = [*PLAIN, "-m", str(megabytes)]
    if random:
        arguments += random_ram(folder, megabytes)
    times: dict[tuple[str, str], list[float]] = {}

    def run(program: str) -> None:
        disk = fresh_disk(folder)
        session = Session([program, *arguments, "-drive", f"if=none,file={disk}"], folder)
        session.wait_for(b"(qemu) ")
        for command in ("savevm a", "loadvm a", "delvm a"):
            times.setdefault((program, command), []).append(session.command(command))
        session.quit()
        os.sync()  # so that the next one doesn't wait for this one's pages

    for _ in range(runs + 1):
        run(OURS)
        run(REAL)
    kind = "random" if random else "untouched"
    limits = {"savevm a": 1.0, "loadvm a": 1.5 if random else 1.0, "delvm a": None}
    for command, limit in limits.items():
        yield Result(
            f"{command.split()[0]}, {megabytes} MiB of {kind} RAM",
            times[OURS, command][1:],
            times[REAL, command][1:],
            limit,
        )


def memory_while_saving(folder: str, megabytes: int) -> Amount:
    """How much more memory a savevm takes at its peak than the machine did before."""
    arguments = [*PLAIN, "-m", str(megabytes), *random_ram(folder, megabytes)]
    disk = fresh_disk(folder)
    session = Session([OURS, *arguments, "-drive", f"if=none,file={disk}"], folder)
    session.wait_for(b"(qemu) ")
    session.command("info status")  # its memory is filled when it answers
    before = session.reset_peak_memory()
    session.command("savevm a")
    extra = session.peak_memory() - before
    session.quit()
    return Amount(f"extra memory, savevm of {megabytes} MiB of random RAM", extra / MIB, 32)


def machine_state(runs: int, folder: str) -> Iterator[Result | Amount]:
    for megabytes in (16, 256, 1024):
        yield from snapshots(runs, folder, megabytes, random=True)
        yield from snapshots(runs, folder, megabytes, random=False)
    yield memory_while_saving(folder, 1024)


def rich_shell(runs: int, folder: str) -> Iterator[Result | Figure]:
    yield from shell.start_up(OURS, folder, runs)
    yield from shell.waits(OURS, folder, runs)


PARTS: dict[str, Callable[[int, str], Iterator[Result | Figure | Amount]]] = {
    "start": start_up,
    "socket": lambda runs, folder: transport.round_trips(OURS, REAL, folder, runs),
    "state": machine_state,
    "metadata": lambda runs, folder: engine.metadata(folder, runs),
    "many": lambda runs, folder: engine.many(folder, runs),
    "guest": lambda runs, folder: engine.guest(folder, runs),
    "shell": rich_shell,
    "images": lambda runs, folder: images.image_programs(folder, runs),
    "map": lambda runs, folder: lab.map_(folder, runs),
    "diff": lambda runs, folder: lab.diff(folder, runs),
}
GROUPS = {
    "machine": ["start", "socket", "state"],
    "engine": ["metadata", "many", "guest"],
    "shell": ["shell"],
    "tools": ["images"],
    "lab": ["map", "diff"],
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs that count of each program")
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        choices=[*GROUPS, *PARTS, []],
        help=f"only these: {', '.join([*GROUPS, *PARTS])}",
    )
    options = parser.parse_args()
    if shutil.which(REAL) is None or shutil.which("qemu-img") is None:
        print("bench: the real programs are not installed", file=sys.stderr)
        return 1
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'':44} {'hmp':>12} {'QEMU':>12} {'ratio':>7}  target")
    parts = [name for part in options.parts or GROUPS for name in GROUPS.get(part, [part])]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for part in parts:
            for result in PARTS[part](options.runs, folder):
                print(result.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
