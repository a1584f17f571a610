"""`make soak ARGS='...'`: all campaigns, or those that are named.

stories [COUNT [FIRST]]   stories from seed FIRST on      (10000)
story SEED                one of them, made short
fuzz [COUNT [FIRST]]      damaged images                  (100000)
kills [COUNT]             killed processes                (50)
clients [SECONDS [SEED]]  clients that come and vanish    (300)
lines [FOR_EACH [SEED]]   almost right lines, beside QEMU (120: 20,000 on each machine)

The variable WORKERS says how many processes work at once; as many as there are cores without it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.blockdev.fuzzing import Campaign, Finding, make_specimens
from tests.blockdev.stories import Seeded, Story, choose_story
from tests.hmp.duel import NONE, PC, Duel
from tests.hmp.near_misses import near_misses
from tests.soak.clients import storm
from tests.soak.kills import campaign as kill
from tests.soak.shorten import fault_of, shorten

MOST_STEPS = 30
WORKERS = int(os.environ.get("WORKERS", os.cpu_count() or 1))
HMP = Path(sys.executable).with_name("hmp")


def story_of(seed: int) -> Story:
    return choose_story(Seeded(seed), MOST_STEPS)


def _fault(seed: int) -> tuple[int, str]:
    return seed, fault_of(story_of(seed))


def tell_stories(count: int = 10_000, first: int = 0) -> int:
    """Play so many stories; how many went wrong."""
    bad: dict[str, list[int]] = {}
    started = time.monotonic()
    with multiprocessing.Pool(WORKERS) as pool:
        seeds = range(first, first + count)
        for done, (seed, fault) in enumerate(pool.imap_unordered(_fault, seeds), 1):
            if fault:
                bad.setdefault(fault, []).append(seed)
                print(f"story {seed}: {fault}", flush=True)
            if done % 500 == 0:
                print(f"  {done} stories in {time.monotonic() - started:.0f} s", flush=True)
    wrong = sum(map(len, bad.values()))
    print(f"{count} stories, {wrong} went wrong")
    for fault, seeds_of_it in sorted(bad.items(), key=lambda item: -len(item[1])):
        print(f"  {len(seeds_of_it)} x {fault}: {seeds_of_it[:8]}")
    return wrong


def tell_story(seed: int) -> int:
    """Play one story; if it goes wrong, look for the shortest that does."""
    story = story_of(seed)
    fault = fault_of(story)
    if fault:
        print(fault)
        story = shorten(story)
        print(f"{story.geometry}\n{story.start}", *story.steps, sep="\n")
        print(fault_of(story))
    return bool(fault)


def damage_images(count: int = 100_000, first: int = 0) -> int:
    """Open and use so many damaged images; how many findings there were."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make_specimens(Path(folder))
        campaign = Campaign(Path(folder), first, first + count, WORKERS)
        told = shown = 0
        for _ in campaign.run():
            for finding in campaign.findings[shown:]:
                print(f"image {finding.seed}: {finding.fault}", flush=True)
            shown = len(campaign.findings)
            if campaign.done >= told + 5000:
                told = campaign.done
                print(f"  {told} images in {time.monotonic() - started:.0f} s", flush=True)
    print(f"{campaign.done} damaged images, opened {campaign.opened} times")
    kinds: dict[str, list[Finding]] = {}
    for finding in campaign.findings:
        kinds.setdefault(finding.fault, []).append(finding)
    for fault, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"  {len(found)} x {fault}: {[finding.seed for finding in found[:8]]}")
        print(f"    {found[0].image[:300]}\n    {found[0].doing}\n{found[0].trace}")
    return len(campaign.findings)


def kill_processes(count: int = 50) -> int:
    """Kill so many processes at work; how many left something wrong."""
    return kill([str(HMP)], count)


def rage_as_clients(seconds: int = 300, seed: int = 0) -> int:
    """Be two hundred clients for so long; how much went wrong."""
    return storm(str(HMP), seconds, seed)


def compare_lines(for_each: int = 120, seed: int = 0) -> int:
    """Ask both programs so many lines of each command; how many are answered otherwise."""
    wrong = 0
    for machine in (NONE, PC):
        with (
            tempfile.TemporaryDirectory() as folder,
            Duel(str(HMP), "qemu-system-x86_64", machine, Path(folder)) as duel,
        ):
            count = duel.fight(near_misses(seed, for_each))
        print(f"{count} lines on {machine[:8]}, {len(duel.differences)} answered otherwise")
        for line, ours, theirs in duel.differences:
            print(f"  {line!r}\n    ours: {ours[:300]!r}\n    QEMU: {theirs[:300]!r}")
        wrong += len(duel.differences)
    return wrong


CAMPAIGNS: dict[str, Callable[..., int]] = {
    "stories": tell_stories,
    "story": tell_story,
    "fuzz": damage_images,
    "kills": kill_processes,
    "clients": rage_as_clients,
    "lines": compare_lines,
}


def main(arguments: list[str]) -> int:
    if not arguments:
        return int(
            any(
                [
                    kill_processes(),
                    rage_as_clients(),
                    compare_lines(),
                    tell_stories(),
                    damage_images(),
                ]
            )
        )
    name, *numbers = arguments
    if name not in CAMPAIGNS:
        print(__doc__)
        return 2
    return int(CAMPAIGNS[name](*map(int, numbers)) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
