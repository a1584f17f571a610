"""The image programs on a large image, whole processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.pairs import Result, compare, process_seconds

OURS = str(Path(__file__).resolve().parent.parent / ".venv" / "bin" / "hmp-img")
REAL = "qemu-img"
LIMIT = 1.2


def image_programs(folder: str, runs: int) -> Iterator[Result]:
    """An image of 20 GiB with all its metadata, and 2 GiB of data at two places."""
    image, made = str(Path(folder) / "big.qcow2"), Path(folder) / "made"
    options = ["-o", "preallocation=metadata", image, "20G"]
    subprocess.run([REAL, "create", "-q", "-f", "qcow2", *options], check=True)
    writes = ["-c", "write -q -P 1 1G 1G", "-c", "write -q -P 2 8G 1G"]
    subprocess.run(["qemu-io", *writes, image], check=True)

    def seconds(program: str, *words: str) -> Callable[[], float]:
        def run() -> float:
            made.unlink(missing_ok=True)
            return process_seconds([program, *words])

        return run

    for words in (
        ["map", "--output=json", image],
        ["check", image],
        ["compare", image, image],
        ["convert", "-O", "qcow2", image, str(made)],
        ["convert", "-O", "raw", image, str(made)],
    ):
        shown = " ".join(word for word in words if not word.startswith("/"))
        yield compare(
            f"{shown}, 2 of 20 GiB",
            seconds(OURS, *words),
            seconds(REAL, *words),
            runs=runs,
            limit=LIMIT,
        )
    made.unlink(missing_ok=True)
    Path(image).unlink()
