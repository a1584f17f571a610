"""What is wrong with the image a crash left behind, and whether that is dangerous.

At every instant the stored count of each host cluster must be at least the number of references to
it, and the mark "ours alone" may only stand where there is one reference.  A count too high is a
leak; a missing mark costs a needless copy; a mark on a cluster that only counts as shared is a
leak in disguise.  Everything else loses data sooner or later.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.crash.layout import SECTOR, DamagedError, Disk, Layout, SnapshotContent

CLEAN, LEAKS, ERRORS = 0, 3, 2  # what `qemu-img check` exits with
_GRAIN = 4  # every write of the guest's in a campaign begins and ends at a multiple of this


class Soundness(NamedTuple):
    """The counts and marks of an image.

    Attributes:
        dangers: what can lose data, in words.
        check_exit: what `qemu-img check`, which doesn't tell danger from blemish, exits with.
        is_wrong: something isn't only a leak or a missing mark, though it may be no danger: who
            opens an image marked as dirty puts it right first.
    """

    dangers: list[str]
    check_exit: int
    is_wrong: bool

    @property
    def is_clean(self) -> bool:
        return self.check_exit == CLEAN and not self.dangers


class Contents(NamedTuple):
    """All that the users of an image can get back from it."""

    disk: Disk
    snapshots: dict[str, SnapshotContent]  # by id


class Expectation(NamedTuple):
    """What may be found after a crash.

    Attributes:
        versions: the contents after each step that had begun and might be there, from the last
            one that was promised to be durable.
        is_atomic: the disk must be one of the versions as a whole; otherwise each sector must.
    """

    versions: list[Contents]
    is_atomic: bool


def soundness(layout: Layout) -> Soundness:
    """Rule 1: counts and marks against the references that are really there."""
    try:
        references = layout.references()
        counts = layout.counts()
        marked = layout.marked()
        unmarked = layout.unmarked()
    except DamagedError as error:
        return Soundness([str(error)], ERRORS, True)
    end = -(-len(layout.data) // layout.cluster_size)
    too_low = [n for n, wanted in references.items() if counts.get(n, 0) < wanted]
    shared = [n for n in marked if n == -1 or references[n] != 1]
    past_end = [n for n in references if n >= end]
    dangers = []
    if not layout.is_dirty:  # who opens it to write must count anew first
        dangers += [
            f"cluster {n} has {references[n]} references and counts {counts.get(n, 0)}"
            for n in sorted(too_low)
        ]
        dangers += [
            f"cluster {n} is marked as ours alone and has {references[n]} references"
            for n in sorted(set(shared))
        ]
    blemishes = any(counts.get(n, 0) != 1 for n in marked) or any(
        counts.get(n, 0) == 1 for n in unmarked
    )
    is_wrong = bool(too_low or shared or past_end)
    if is_wrong or blemishes:
        return Soundness(dangers, ERRORS, is_wrong)
    leaks = any(n < end and count > references[n] for n, count in counts.items())
    return Soundness(dangers, LEAKS if leaks else CLEAN, False)


def contents(layout: Layout) -> Contents:
    """What the users of the image get back.

    Raises:
        DamagedError: something can't be read.
    """
    return Contents(layout.active_disk(), layout.snapshots())


def content_faults(found: Contents, expected: Expectation) -> list[str]:
    """What differs from everything that may be there."""
    faults = snapshot_faults(found.snapshots, expected)
    if any(found.disk == version.disk for version in expected.versions):
        return faults
    disks = [v.disk for v in expected.versions if v.disk.size == found.disk.size]
    if not disks:
        return [*faults, f"the disk has {found.disk.size} bytes"]
    if expected.is_atomic:
        return [*faults, "the disk is neither as before nor as after"]
    for number in sorted({n for disk in [found.disk, *disks] for n in disk.clusters}):
        wrong = _wrong_sectors(number, found.disk, disks)
        if wrong:
            return [*faults, f"the disk's cluster {number} has sectors never there: {wrong[:4]}"]
    return faults


def _wrong_sectors(number: int, found: Disk, disks: list[Disk]) -> list[int]:
    there = [disk.clusters.get(number) for disk in [found, *disks]]
    if there[0] in there[1:]:
        return []
    size = max(len(data) for data in there if data is not None)
    data, *allowed = [data if data is not None else bytes(size) for data in there]
    return [
        at // SECTOR
        for at in range(0, size, SECTOR)
        if not _is_possible(data[at : at + SECTOR], [each[at : at + SECTOR] for each in allowed])
    ]


def _is_possible(sector: bytes, allowed: list[bytes]) -> bool:
    """Whether a sector is as it was once, or where small writes met in it, each piece of it."""
    return sector in allowed or all(
        sector[at : at + _GRAIN] in [each[at : at + _GRAIN] for each in allowed]
        for at in range(0, len(sector), _GRAIN)
    )


def snapshot_faults(found: dict[str, SnapshotContent], expected: Expectation) -> list[str]:
    """Snapshots that aren't what they were or will be."""
    if any(found == version.snapshots for version in expected.versions):
        return []
    faults = []
    names = [sorted(version.snapshots) for version in expected.versions]
    if sorted(found) not in names:
        faults.append(f"snapshots {sorted(found)} are there, not {names}")
    for id, snapshot in found.items():
        known = [v.snapshots[id] for v in expected.versions if id in v.snapshots]
        if not known:
            continue
        if all(snapshot.disk != k.disk for k in known):
            faults.append(f"snapshot {snapshot.name}: {difference(snapshot.disk, known[0].disk)}")
        if all(snapshot.state != k.state for k in known):
            faults.append(f"snapshot {snapshot.name} has another machine state")
    return faults or ["the snapshots are a mixture"]


def difference(found: Disk, wanted: Disk) -> str:
    """Where a disk isn't what it should be."""
    if found.size != wanted.size:
        return f"{found.size} bytes instead of {wanted.size}"
    numbers = found.clusters.keys() | wanted.clusters.keys()
    changed = [n for n in sorted(numbers) if found.clusters.get(n) != wanted.clusters.get(n)]
    return f"clusters {changed[:6]} have changed"
