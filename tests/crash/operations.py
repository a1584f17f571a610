"""What is recorded: operations by name, the images they start from, and the geometries."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.crash.steps import (
    GUEST_STEPS,
    Abandon,
    CompressedWrite,
    Create,
    Delete,
    Discard,
    Flush,
    Goto,
    GuestWrite,
    Resize,
    Step,
    Zeroes,
)


class Geometry(NamedTuple):
    """The widths and sizes of an image.

    Attributes:
        disk_clusters: clusters of the disks that most operations work on.
        options: for ``qemu-img create -o``.
    """

    name: str
    cluster_size: int
    disk_clusters: int
    version: int = 3
    refcount_bits: int = 16
    extended_l2: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        options = [f"cluster_size={self.cluster_size}"]
        options.append("compat=1.1" if self.version == 3 else "compat=0.10")
        if self.refcount_bits != 16:
            options.append(f"refcount_bits={self.refcount_bits}")
        if self.extended_l2:
            options.append("extended_l2=on")
        return tuple(options)

    @property
    def table_reach(self) -> int:
        """Bytes of the guest's that one L2 table maps."""
        return self.cluster_size // (16 if self.extended_l2 else 8) * self.cluster_size


USUAL = Geometry("64k", 1 << 16, 64)
FOUR_K = Geometry("4k", 1 << 12, 640)
SMALLEST = Geometry("512", 512, 320)
VERSION_2 = Geometry("v2", 1 << 16, 64, version=2)
WIDE = Geometry("512/64bit", 512, 320, refcount_bits=64)
NARROW = Geometry("4k/8bit", 1 << 12, 640, refcount_bits=8)
EXTENDED = Geometry("16k/ext", 1 << 14, 96, extended_l2=True)
GEOMETRIES = [USUAL, FOUR_K, SMALLEST, VERSION_2, WIDE, NARROW, EXTENDED]


class Start(NamedTuple):
    """How an image comes about that an operation starts from.

    Attributes:
        steps: done to a fresh image.
        by_engine: our engine makes it; otherwise the real programs do.
        is_dirty: lazy counts, and the last step's program was killed.
        autoclear: unknown autoclear bits to set.
        has_backing: over a raw file with data of its own.
    """

    name: str
    size: int
    steps: tuple[Step, ...] = ()
    by_engine: bool = False
    is_dirty: bool = False
    autoclear: int = 0
    has_backing: bool = False


class Case(NamedTuple):
    """One operation on one image."""

    operation: str
    geometry: Geometry
    start: Start
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        return f"{self.operation} ({self.start.name}, {self.geometry.name})"

    @property
    def is_atomic(self) -> bool:
        """Whether the disk changes as a whole or not at all."""
        return not any(isinstance(step, (*GUEST_STEPS, Resize)) for step in self.steps)

    @property
    def real_can(self) -> bool:
        """Whether the real programs have all of it."""
        return all(step.on_real() for step in (*self.start.steps, *self.steps))


class _Images:
    """The starts of one geometry."""

    def __init__(self, geometry: Geometry) -> None:
        c = self.c = geometry.cluster_size
        self.size = geometry.disk_clusters * c
        self.far = self.size // c * 3 // 4 * c
        self.reach = geometry.table_reach
        self.geometry = geometry
        data = (GuestWrite("one", 0, 6 * c), GuestWrite("far", self.far, 2 * c))
        snapshots = (
            *data,
            Create("s1"),
            GuestWrite("two", c, 3 * c),
            GuestWrite("more", 8 * c, 2 * c),
            Create("s2"),
            GuestWrite("three", c // 2, 2 * c),
        )
        self.fresh = Start("fresh", self.size)
        self.fresh_ours = Start("fresh, ours", self.size, by_engine=True)
        self.written = Start("written", self.size, data)
        self.shared = Start("all shared", self.size, (*data, Create("s1")))
        self.apart = Start(
            "nothing shared",
            self.size,
            (*data, Create("s1"), GuestWrite("two", 0, 6 * c), GuestWrite("two", self.far, 2 * c)),
        )
        self.snapshots = Start("snapshots", self.size, snapshots)
        self.ours = Start("snapshots, ours", self.size, snapshots, by_engine=True)
        self.with_state = Start(
            "machine states, ours",
            self.size,
            (*data, Create("s1", 2 * c + 100), GuestWrite("two", c, 3 * c), Create("s2", c)),
            by_engine=True,
        )
        self.backing = Start("over a backing file", self.size, data, has_backing=True)
        self.compressed = Start(
            "compressed",
            self.size,
            (CompressedWrite("packed", 0, 4 * c), Create("s1"), GuestWrite("two", c, c)),
        )
        self.autoclear = Start("unknown autoclear bits", self.size, data, autoclear=0xF0)
        self.dirty = Start("dirty", self.size, (GuestWrite("one", 0, 6 * c),), is_dirty=True)
        # Sizes that need other L1 tables; the usual geometry's reach is 512 MiB, mostly holes.
        big = self.big = self.size + 2 * self.reach
        self.grown = Start(
            "grown",
            self.size,
            (*data, Create("s1"), Resize(big), GuestWrite("two", big - 2 * c, c), Create("s2")),
        )
        self.gone_back = Start(
            "gone back to the smaller", self.size, (*self.grown.steps, Goto("s1"))
        )


def _guest_cases(at: _Images) -> Iterator[Case]:
    c, far, geometry = at.c, at.far, at.geometry

    def case(operation: str, start: Start, *steps: Step) -> Case:
        return Case(operation, geometry, start, steps)

    new = (GuestWrite("new", c // 2, 2 * c), Flush())
    yield case("first write: new L2 table", at.fresh, *new)
    yield case("first write: new L2 table", at.fresh_ours, *new)
    yield case("new data cluster", at.written, GuestWrite("new", 20 * c, 3 * c), Flush())
    yield case("write in place", at.written, GuestWrite("new", c // 2, 3 * c), Flush())
    for start in (at.shared, at.snapshots, at.ours):
        copy = (GuestWrite("new", c // 2, 4 * c), GuestWrite("end", far, 700), Flush())
        yield case("copy-on-write, copied L2 table", start, *copy)
    yield case("copy-on-write over a backing file", at.backing, GuestWrite("new", 9 * c, 700))
    several = [
        step for n in range(3) for step in (GuestWrite(f"w{n}", n * c + c // 2, 2 * c), Flush())
    ]
    yield case("several flushes", at.snapshots, *several)
    yield case("closed without a flush", at.snapshots, GuestWrite("new", 3 * c, 6 * c))
    for start in (at.written, at.snapshots):
        yield case("write zeroes", start, Zeroes(c + c // 2, 3 * c), Flush())
        yield case("write zeroes, unmap", start, Zeroes(c, 4 * c, may_unmap=True), Flush())
        yield case("discard", start, Discard(c, 3 * c), Discard(far, 2 * c), Flush())
    yield case("discard, then write", at.snapshots, Discard(c, 4 * c), *new)
    yield case("write over compressed clusters", at.compressed, *new)
    yield case("unknown autoclear bits", at.autoclear, *new)
    if geometry.version == 3:
        yield case("dirty image", at.dirty, GuestWrite("new", 5 * c, 3 * c), Flush())
        yield case("dirty image, snapshot create", at.dirty, Create("new"))
    yield case("resize: longer", at.written, Resize(at.big), Flush())
    if geometry.version == 3:  # version 2 can't be resized with snapshots
        yield case("resize: longer", at.snapshots, Resize(at.big), GuestWrite("new", at.big - c, c))
    yield case("resize: shorter", at.written, Resize(at.far), Flush())


def _snapshot_cases(at: _Images) -> Iterator[Case]:
    c, geometry = at.c, at.geometry

    def case(operation: str, start: Start, *steps: Step) -> Case:
        return Case(operation, geometry, start, steps)

    for start in (at.fresh, at.written, at.shared, at.snapshots, at.ours, at.backing):
        yield case("snapshot create", start, Create("new"))
    yield case("snapshot create with machine state", at.written, Create("new", 3 * c + 100))
    yield case("snapshot create with machine state", at.ours, Create("new", 3 * c + 100))
    yield case("snapshot create, compressed clusters", at.compressed, Create("new"))
    dirty = GuestWrite("new", c // 2, 4 * c)
    yield case("snapshot create after writes", at.snapshots, dirty, Create("new"))
    yield case("machine state given up", at.snapshots, Abandon(3 * c), Flush())
    for start in (at.snapshots, at.ours, at.apart):
        yield case("snapshot goto", start, Goto("s1"))
    yield case("snapshot goto, nothing changed since", at.shared, Goto("s1"))
    yield case("snapshot goto with machine state", at.with_state, Goto("s1"))
    yield case("snapshot goto, compressed clusters", at.compressed, Goto("s1"))
    yield case("snapshot goto after writes", at.snapshots, dirty, Goto("s1"))
    yield case("snapshot goto, then write", at.ours, Goto("s1"), dirty, Flush())
    yield case("snapshot delete, then write", at.ours, Delete("s1"), dirty, Flush())
    if geometry.version == 3:
        yield case("snapshot goto, smaller disk", at.grown, Goto("s1"))
        yield case("snapshot goto, larger disk", at.gone_back, Goto("s2"))
    for start in (at.shared, at.snapshots, at.ours):
        yield case("snapshot delete, shared", start, Delete("s1"))
    yield case("snapshot delete, nothing shared", at.apart, Delete("s1"))
    yield case("snapshot delete with machine state", at.with_state, Delete("s1"))
    yield case("snapshot delete, compressed clusters", at.compressed, Delete("s1"))
    again = (Delete("s2"), Create("s2", c + 5))
    yield case("snapshot replaced by its namesake", at.ours, *again)


def _growth_cases() -> Iterator[Case]:
    c = SMALLEST.cluster_size
    disk = Start("fresh", 700 * c)
    yield Case("new refcount block", SMALLEST, disk, (GuestWrite("new", 0, 600 * c), Flush()))
    start = Start("snapshots", 700 * c, (GuestWrite("one", 0, 200 * c), Create("s1")))
    steps: tuple[Step, ...] = (GuestWrite("new", c, 150 * c), Flush())
    yield Case("new refcount block", SMALLEST, start, steps)
    c = WIDE.cluster_size
    full = Start("table nearly full", 4800 * c, (GuestWrite("one", 0, 3850 * c),))
    steps = (GuestWrite("new", 3850 * c, 300 * c), Flush())
    yield Case("refcount table growth", WIDE, full, steps)
    yield Case("refcount table growth", WIDE, full, (Create("s1", 300 * c),))
    half = Start("table half full", 4800 * c, (GuestWrite("one", 0, 2000 * c), Create("s1")))
    steps = (GuestWrite("new", c // 2, 1999 * c), Flush())
    yield Case("refcount table growth", WIDE, half, steps)
    # Runs that are longer than a region of 64 clusters: the snapshot's own L1 table.
    data = (GuestWrite("one", 0, 2 * c),)
    large = Start("L1 table of 10 regions", 10 * 4096 * WIDE.table_reach, data)
    yield Case("refcount blocks in a row", WIDE, large, (Create("s1"),))
    full = (GuestWrite("one", 0, 3150 * c),)
    large = large._replace(name="table nearly full", steps=full)
    yield Case("refcount table growth in a row", WIDE, large, (Create("s1"), Create("s2")))
    # So long that some new blocks are counted by one that itself is counted by another.
    steps = (*data, Create("s1"), Create("s2"))
    larger = Start("L1 table of 70 regions", 70 * 4096 * WIDE.table_reach, steps, by_engine=True)
    yield Case("refcount blocks in a row", WIDE, larger, (Create("s3"),))


def story(geometry: Geometry, seed: int) -> Case:
    """A random sequence of steps on an image with snapshots."""
    at = _Images(geometry)
    chance = random.Random(seed)
    start = chance.choice([at.snapshots, at.ours, at.shared])
    names = ["s1"] if start is at.shared else ["s1", "s2"]
    steps: list[Step] = []
    c = at.c
    for n in range(7):
        offset = chance.choice([0, c // 2, 3 * c, 7 * c, at.far])
        size = chance.choice([c // 2, c, 2 * c + 512, 5 * c])
        makers: list[Callable[[], Step]] = [
            lambda n=n, o=offset, s=size: GuestWrite(f"w{n}", o, s),  # type: ignore[misc]  # defaults bind
            Flush,
            lambda n=n: Create(f"t{n}", chance.choice([0, c + 9])),  # type: ignore[misc]  # defaults bind
            lambda: Goto(chance.choice(names)),
            lambda: Delete(chance.choice(names)),
        ]
        weights = [8, 3, 3, 2 if names else 0, 2 if names else 0]
        step = chance.choices(makers, weights)[0]()
        if isinstance(step, Create):
            names.append(step.name)
        elif isinstance(step, Delete):
            names.remove(step.name)
        steps.append(step)
    return Case(f"story {seed}", geometry, start, tuple(steps))


def cases(geometries: list[Geometry], stories: int = 0) -> list[Case]:
    """All of them, geometry by geometry."""
    found: list[Case] = []
    for geometry in geometries:
        at = _Images(geometry)
        found += [*_guest_cases(at), *_snapshot_cases(at)]
        found += [story(geometry, seed) for seed in range(stories)]
    if SMALLEST in geometries:
        found += _growth_cases()
    return found
