"""`make crash`: cuts every operation short at every place, and judges what is left.

--quick   under 40 seconds     --long   hours: each state through everything     --verbose
--only TEXT    the cases whose name has TEXT       --without-qemu   no yardstick
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.crash.campaign import Effort, Verdict, Workshop, fast_folder, run
from tests.crash.operations import GEOMETRIES, SMALLEST, USUAL, Case, Geometry, cases
from tests.crash.replay import Depth

PROCESSES = 2
_SHOWN_DANGERS, _SHOWN_FAULTS = 5, 4


class Scale(NamedTuple):
    """How much is tried: of ours, and of QEMU as the yardstick."""

    geometries: list[Geometry]
    stories: int  # random sequences, in each geometry
    ours: Effort
    real: Effort
    real_geometries: list[Geometry]


SCALES = {
    "quick": Scale(
        [USUAL, SMALLEST],
        0,
        Effort(Depth(8, (512,), 8), states=32, by_real=2, by_engine=2),
        Effort(Depth(8, (512,), 8), states=30, by_real=0, by_engine=0),
        [],
    ),
    "default": Scale(
        GEOMETRIES,
        3,
        Effort(Depth(24, (512, 2048), 24), states=160, by_real=8, by_engine=8),
        Effort(Depth(24, (512,), 24), states=120, by_real=2, by_engine=0),
        [USUAL],
    ),
    "long": Scale(
        GEOMETRIES,
        12,
        Effort(Depth(200, (512, 2048), 200), states=1000, by_real=None, by_engine=None),
        Effort(Depth(200, (512, 2048), 200), states=1000, by_real=None, by_engine=None),
        GEOMETRIES,
    ),
}


class Job(NamedTuple):
    """A recording to make and to judge."""

    case: Case
    effort: Effort
    real: bool


class Result(NamedTuple):
    """What came of a job; `trouble` is a traceback when the campaign itself failed."""

    job: Job
    verdict: Verdict
    seconds: float
    trouble: str


_workshop: Workshop | None = None


def begin(folder: str) -> None:
    """Give this process a folder of its own; the images made in it serve many jobs."""
    global _workshop
    own = Path(folder) / str(os.getpid())
    own.mkdir()
    _workshop = Workshop(own)


def work(job: Job) -> Result:
    assert _workshop is not None
    began = time.monotonic()
    trouble = ""
    verdict = Verdict()
    try:
        verdict = run(job.case, job.effort, _workshop, real=job.real)
    except Exception:
        trouble = traceback.format_exc()
    return Result(job, verdict, time.monotonic() - began, trouble)


def jobs(scale: Scale, only: str, *, with_real: bool) -> Iterator[Job]:
    for case in cases(scale.geometries, scale.stories):
        if only not in case.name:
            continue
        yield Job(case, scale.ours, real=False)
        is_goto = case.geometry is USUAL and case.operation == "snapshot goto"
        if with_real and case.real_can and (case.geometry in scale.real_geometries or is_goto):
            yield Job(case, scale.real, real=True)


class Row(NamedTuple):
    """A line of the table: an operation over all its images, or one case."""

    name: str
    ours: list[Result]
    real: list[Result]

    def __str__(self) -> str:
        ours = [result.verdict for result in self.ours]
        real = [result.verdict for result in self.real]
        found = [str(len(ours)), _range(v.writes for v in ours), _range(v.barriers for v in ours)]
        found += [str(sum(v.states for v in ours)), str(sum(v.by_real for v in ours))]
        found += [str(sum(len(v.dangers) for v in ours))]
        if real:
            dangers = sum(len(v.dangers) for v in real)
            text = f"{dangers} of {sum(v.states for v in real)}"
            prefixes = sum(v.dangerous_prefixes for v in real)
            if prefixes:
                text += f", {prefixes} of {sum(v.prefixes for v in real)} killed"
            found.append(text)
        else:
            found.append("-")
        return _line(self.name, found)


_WIDTHS = (6, 7, 8, 7, 8, 9)


def _line(name: str, found: list[str]) -> str:
    columns = "  ".join(text.rjust(width) for text, width in zip(found, _WIDTHS, strict=False))
    return f"{name:44.44}  {columns}  {found[-1]}"


def _range(numbers: Iterable[int]) -> str:
    known = sorted(set(numbers))
    return str(known[0]) if len(known) == 1 else f"{known[0]}-{known[-1]}"


def rows(results: list[Result], *, each: bool) -> list[Row]:
    found: dict[str, Row] = {}
    for result in results:
        if result.trouble:
            continue
        case = result.job.case
        name = case.name if each else _operation(case)
        row = found.setdefault(name, Row(name, [], []))
        (row.real if result.job.real else row.ours).append(result)
    return [row for row in found.values() if row.ours]


def _operation(case: Case) -> str:
    return "random sequences" if case.operation.startswith("story") else case.operation


def show_dangers(result: Result) -> None:
    who = "QEMU" if result.job.real else "OURS"
    print(f"\n{who}: {result.job.case.name}")
    for danger in result.verdict.dangers[:_SHOWN_DANGERS]:
        print(f"  {danger.crash}")
        for fault in danger.faults[:_SHOWN_FAULTS]:
            print(f"    {fault}")
    left = len(result.verdict.dangers) - _SHOWN_DANGERS
    if left > 0:
        print(f"  and {left} more states")


def show(results: list[Result], *, each: bool) -> bool:
    """Print the table and all that is wrong; whether nothing is."""
    header = ["images", "writes", "barriers", "states", "by qemu", "dangerous", "of QEMU's own"]
    print(_line("operation", header))
    for row in rows(results, each=each):
        print(row)
    for result in results:
        if result.trouble:
            print(f"\nTROUBLE: {result.job.case.name}\n{result.trouble}")
    real = [result for result in results if result.job.real]
    ours = [result for result in results if not result.job.real]
    for result in real:
        if result.verdict.dangers and each:
            show_dangers(result)
    for result in ours:
        if result.verdict.dangers:
            show_dangers(result)
    states = sum(result.verdict.states for result in ours)
    dangers = sum(len(result.verdict.dangers) for result in ours)
    theirs = sum(len(result.verdict.dangers) for result in real)
    proved = sum(result.verdict.proved for result in real)
    print(
        f"\n{dangers} of {states} states of ours are dangerous; of QEMU's {theirs} of "
        f"{sum(result.verdict.states for result in real)}, and in {proved} of those that were "
        "written to, a snapshot changed."
    )
    return not dangers and not any(result.trouble for result in results)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make crash ARGS=...", description=__doc__)
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick")
    parser.add_argument("--long", dest="scale", action="store_const", const="long")
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--without-qemu", action="store_true")
    options = parser.parse_args(words)
    scale = SCALES[options.scale or "default"]
    began = time.monotonic()
    work_list = list(jobs(scale, options.only, with_real=not options.without_qemu))
    results: dict[Job, Result] = {}
    with (
        tempfile.TemporaryDirectory(prefix="crash-", dir=fast_folder()) as folder,
        multiprocessing.Pool(PROCESSES, begin, [folder]) as pool,
    ):
        for result in pool.imap_unordered(work, work_list):
            results[result.job] = result
            if sys.stderr.isatty():
                print(f"\r{len(results)} of {len(work_list)}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    is_well = show([results[job] for job in work_list], each=options.verbose)
    print(f"{time.monotonic() - began:.0f} seconds, {os.cpu_count()} processors")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
