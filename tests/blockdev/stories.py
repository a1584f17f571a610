"""Stories of a disk: what it is made as, and what is done to it by us and by the real programs.

A story is drawn by whoever chooses: Hypothesis, which also looks for the shortest one that still
goes wrong, or a seeded random source, for campaigns.  `tests.blockdev.storyteller` plays it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

LARGEST_DISK = 9 << 20  # bytes; the model beside the image is a plain bytearray


class Geometry(NamedTuple):
    """How an image is laid out.

    Attributes:
        version: 2 or 3.
        cluster_size: bytes.
        refcount_bits: of a count.
        extended_l2: whether clusters have subclusters.
        compression: "zlib" or "zstd".
    """

    version: int = 3
    cluster_size: int = 65536
    refcount_bits: int = 16
    extended_l2: bool = False
    compression: str = "zlib"

    @property
    def options(self) -> str:
        """What `qemu-img create -o` is told."""
        options = [f"compat={'0.10' if self.version == 2 else '1.1'}"]
        options += [f"cluster_size={self.cluster_size}", f"refcount_bits={self.refcount_bits}"]
        if self.extended_l2:
            options.append("extended_l2=on")
        if self.compression != "zlib":
            options.append(f"compression_type={self.compression}")
        return ",".join(options)

    @property
    def counts_fill_up(self) -> bool:
        """Whether a few snapshots can bring a count to its limit.

        Many small compressed clusters share a cluster of the file, and each is a reference.
        """
        return self.refcount_bits <= 8


class Start(NamedTuple):
    """What the disk is before the first step.

    Attributes:
        kind: "empty", "compressed" (by `qemu-img convert -c`), or the format of a backing file.
        size: bytes of the disk.
        backing_size: bytes of the backing file's disk.
    """

    kind: str
    size: int
    backing_size: int = 0


class Write(NamedTuple):
    """Fresh data, in `pieces` buffers; `offset` is taken modulo the disk's size, here and below."""

    offset: int
    length: int
    pieces: int = 1


class Compress(NamedTuple):
    """Compressed clusters, which only the real program writes."""

    offset: int
    clusters: int


class WriteZeroes(NamedTuple):
    offset: int
    length: int
    may_unmap: bool = False


class Discard(NamedTuple):
    offset: int
    length: int


class Save(NamedTuple):
    """A snapshot, with so many bytes of machine state (the real program makes it without)."""

    state: int = 0


class GiveUpState(NamedTuple):
    """Machine state is written, and no snapshot comes of it."""

    state: int


class Goto(NamedTuple):
    which: int


class Delete(NamedTuple):
    which: int


class Resize(NamedTuple):
    size: int


class Reopen(NamedTuple):
    pass


Act: TypeAlias = (
    Write | Compress | WriteZeroes | Discard | Save | GiveUpState | Goto | Delete | Resize | Reopen
)


class Step(NamedTuple):
    """One thing done, by the real programs or by us."""

    act: Act
    by_real: bool = False


class Story(NamedTuple):
    geometry: Geometry
    start: Start
    steps: Sequence[Step]


class Chooser(Protocol):
    """Makes all choices of a story."""

    def one_of(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""

    def number(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""

    def several(self, make: Callable[[Chooser], T], low: int, high: int) -> list[T]:
        """A list of `low` to `high` things."""


class Seeded:
    """Chooses at random; a seed always tells the same story."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def one_of(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def several(self, make: Callable[[Chooser], T], low: int, high: int) -> list[T]:
        return [make(self) for _ in range(self.number(low, high))]


# A kind that comes twice is as likely twice.
KINDS: list[type] = [Write] * 3 + [Save, Goto, Resize] * 2
KINDS += [WriteZeroes, Discard, Compress, Delete, Reopen, GiveUpState]


def choose_story(choose: Chooser, most_steps: int) -> Story:
    """A whole story, of at most so many steps and what the real programs do before them."""
    geometry = choose_geometry(choose)
    start = choose_start(choose, geometry)
    before: list[Step] = []
    if not geometry.counts_fill_up:
        for _ in range(choose.one_of([0, 0, 1, 2])):
            written = choose_write(choose, geometry)
            before += [Step(written, by_real=True), Step(Save(), by_real=True)]
    teller = choose.one_of(["ours", "real first", "ours first", "by turns"])
    acts = choose.several(lambda choose: choose_act(choose, geometry), 1, most_steps)
    half = len(acts) // 2
    real = {
        "ours": range(0),
        "real first": range(half),
        "ours first": range(half, len(acts)),
        "by turns": range(1, len(acts), 2),
    }[teller]
    steps = [Step(act, n in real or isinstance(act, Compress)) for n, act in enumerate(acts)]
    return Story(geometry, start, [*before, *steps])


def choose_geometry(choose: Chooser) -> Geometry:
    version = choose.one_of([3, 3, 2])
    cluster_size = choose.one_of(
        [65536, 512, 1024, 4096, 16384, 32768, 131072, 262144, 1 << 20, 2 << 20]
    )
    if version == 2:
        return Geometry(version=2, cluster_size=cluster_size)
    return Geometry(
        cluster_size=cluster_size,
        refcount_bits=choose.one_of([16, 16, 1, 2, 4, 8, 32, 64]),
        extended_l2=cluster_size >= 16384 and choose.one_of([False, False, True]),
        compression=choose.one_of(["zlib", "zlib", "zstd"]),
    )


def choose_start(choose: Chooser, geometry: Geometry) -> Start:
    kind = choose.one_of(["empty", "compressed", "raw", "qcow2"])
    size = choose_size(choose, geometry)
    if kind in ("raw", "qcow2"):
        return Start(kind, size, choose_size(choose, geometry))
    return Start(kind, size)


def choose_size(choose: Chooser, geometry: Geometry) -> int:
    """Bytes of a disk: round ones, and those around the edges of clusters and tables."""
    span = geometry.cluster_size * (geometry.cluster_size // (16 if geometry.extended_l2 else 8))
    edge = choose.one_of([geometry.cluster_size, span, 1 << 20])
    count = choose.number(1, max(1, min(LARGEST_DISK // edge, 9)))
    size = count * edge + choose.one_of([0, 0, 512, -512])
    return min(max(size, 512), LARGEST_DISK)


def choose_offset(choose: Chooser, geometry: Geometry) -> int:
    offset = choose.number(0, LARGEST_DISK)
    return (
        offset
        // choose.one_of([geometry.cluster_size, 512, 1])
        * (choose.one_of([geometry.cluster_size, 512, 1]))
    )


def choose_length(choose: Chooser, geometry: Geometry) -> int:
    size = geometry.cluster_size
    return choose.one_of(
        [512, 1, 4096, size, size - 1, size + 1, 3 * size, 65536, 200_000, 1 << 20]
    )


def choose_write(choose: Chooser, geometry: Geometry) -> Write:
    offset, length = choose_offset(choose, geometry), choose_length(choose, geometry)
    return Write(offset, length, choose.one_of([1, 2, 3]))


def choose_act(choose: Chooser, geometry: Geometry) -> Act:
    kind = choose.one_of(KINDS)
    if kind is Write:
        return choose_write(choose, geometry)
    if kind is WriteZeroes:
        offset, length = choose_offset(choose, geometry), choose_length(choose, geometry)
        return WriteZeroes(offset, length, choose.one_of([False, True]))
    if kind is Discard:
        return Discard(choose_offset(choose, geometry), choose_length(choose, geometry))
    if kind is Compress:
        return Compress(choose_offset(choose, geometry), choose.number(1, 3))
    if kind is Save:
        return Save(choose.one_of([0, 0, 1, 36_000, geometry.cluster_size, 300_017]))
    if kind is GiveUpState:
        return GiveUpState(choose.one_of([1, 65536, 300_017]))
    if kind is Goto:
        return Goto(choose.number(0, 3))
    if kind is Delete:
        return Delete(choose.number(0, 3))
    if kind is Resize:
        return Resize(choose_size(choose, geometry))
    return Reopen()
