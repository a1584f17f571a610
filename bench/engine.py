"""The qcow2 engine beside qemu-img and qemu-io, less the real programs' own start."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.pairs import Result, process_seconds
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.snapshot import Snapshot, find_by_name

GIB = 1 << 30
MIB = 1 << 20


def engine(path: Path, work: Callable[[BlockNode], object]) -> float:
    """Seconds from opening an image over some work to its end, written and closed."""
    start = time.perf_counter()
    graph = Graph(print)
    node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
    work(node)
    graph.close()
    return time.perf_counter() - start


def real(*argv: str) -> float:
    """Seconds of a real program, without what it takes to start and open nothing."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return seconds - min(process_seconds([argv[0], "--version"]) for _ in range(3))


class Pairs:
    """Collects pairs of times by title, in the order in which they first came."""

    def __init__(self) -> None:
        self._ours: dict[str, list[float]] = {}
        self._real: dict[str, list[float]] = {}
        self._limits: dict[str, float] = {}

    def add(self, title: str, ours: float, real: float, limit: float) -> None:
        self._ours.setdefault(title, []).append(ours)
        self._real.setdefault(title, []).append(real)
        self._limits[title] = limit

    def results(self) -> Iterator[Result]:
        for title, ours in self._ours.items():
            yield Result(title, ours, self._real[title], self._limits[title])


def _delete(name: str) -> Callable[[BlockNode], object]:
    def work(node: BlockNode) -> None:
        snapshot = find_by_name(node.snapshots(), name)
        assert snapshot is not None
        node.snapshot_delete(snapshot.id, name)

    return work


def _snapshots(pairs: Pairs, image: Path, title: str, limit: float) -> None:
    """Create, goto and delete in turn; after each pair the image is as it was."""
    qemu = ["qemu-img", "snapshot"]

    def create(node: BlockNode) -> None:
        node.snapshot_create(Snapshot(name="x", date_sec=1), None)

    ours = [
        engine(image, create),
        engine(image, lambda node: node.snapshot_goto("x")),
        engine(image, _delete("x")),
    ]
    theirs = [real(*qemu, option, "x", str(image)) for option in ("-c", "-a", "-d")]
    for what, our, their in zip(("create", "goto", "delete"), ours, theirs, strict=True):
        pairs.add(f"snapshot {what}, {title}", our, their, limit)


def _shuffle(image: Path) -> None:
    """Give each data cluster another one's place, as long use of an image does."""
    from blockdev.qcow2.entries import COPIED, OFFSET_MASK
    from blockdev.qcow2.image import Image

    graph = Graph(print)
    node = graph.open_image(str(image), driver="qcow2", read_only=False, cache=CacheMode())
    assert isinstance(node, Image)
    metadata = node.metadata
    tables = [metadata.tables.get(entry & OFFSET_MASK) for entry in metadata.active.l1]
    words = [word for table in tables for word in table.words if word]
    random.Random(1).shuffle(words)
    words.reverse()
    for table in tables:
        table.set(0, [w and words.pop() | COPIED for w in table.words])
    graph.close()


def metadata(folder: str, runs: int) -> Iterator[Result]:
    """Operations on 20 GiB that are mapped but have no data."""
    pairs = Pairs()
    for cluster_size, limit in ((65536, 0.5), (4096, 0.3)):
        image = Path(folder) / f"full-{cluster_size}.qcow2"
        options = f"cluster_size={cluster_size},preallocation=metadata"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, str(image), "20G"],
            check=True,
        )
        title = f"20 GiB, {cluster_size >> 10} KiB clusters"
        for _ in range(runs):
            _snapshots(pairs, image, title, limit)
        if cluster_size == 65536:
            for _ in range(runs):
                pairs.add(
                    "open an image with 20 GiB mapped",
                    engine(image, lambda node: node.size),
                    real("qemu-io", "-c", "length", str(image)),
                    1.0,
                )
            _shuffle(image)
            # Once: QEMU takes minutes for these.
            _snapshots(pairs, image, f"{title}, shuffled", 0.1)
        image.unlink()
    yield from pairs.results()


def many(folder: str, runs: int) -> Iterator[Result]:
    """An image with 1000 snapshots."""
    image = Path(folder) / "many.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "1G"], check=True)

    def fill(node: BlockNode) -> None:
        for number in range(1000):
            node.snapshot_create(Snapshot(name=f"s{number}", date_sec=1), None)

    engine(image, fill)
    pairs = Pairs()
    qemu = ["qemu-img", "snapshot"]

    def create(node: BlockNode) -> None:
        node.snapshot_create(Snapshot(name="x", date_sec=1), None)

    for _ in range(runs):
        pairs.add(
            "list of 1000 snapshots",
            engine(image, lambda node: [s.name for s in node.snapshots()]),
            real(*qemu, "-l", str(image)),
            0.2,
        )
        ours = engine(image, create)
        engine(image, _delete("x"))
        theirs = real(*qemu, "-c", "x", str(image))
        real(*qemu, "-d", "x", str(image))
        pairs.add("create beside 1000 snapshots", ours, theirs, 0.2)
    yield from pairs.results()


def guest(folder: str, runs: int) -> Iterator[Result]:
    """Reads and writes as a guest makes them, against ``qemu-io -t writeback``."""
    pairs = Pairs()
    base = Path(folder) / "guest.qcow2"
    size = 256 * MIB
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), str(size)], check=True)
    fill = [("-c", f"write -q {n}M 16M") for n in range(0, size // MIB, 16)]
    subprocess.run(["qemu-io", *[w for pair in fill for w in pair], str(base)], check=True)
    snapshotted = Path(folder) / "snapshotted.qcow2"
    shutil.copy(base, snapshotted)
    subprocess.run(["qemu-img", "snapshot", "-c", "a", str(snapshotted)], check=True)
    empty = Path(folder) / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(empty), str(size)], check=True)
    places = random.Random(2).sample(range(0, size, 4096), 2000)
    cases: list[tuple[str, Path, str, list[int], int, float]] = [
        ("4 KiB copy-on-write after a snapshot", snapshotted, "write", places[:1000], 4096, 0.3),
        ("4 KiB random rewrite", base, "write", places, 4096, 0.6),
        ("64 KiB sequential allocate", empty, "write", list(range(0, size, 65536)), 65536, 1.0),
        ("1 MiB sequential allocate", empty, "write", list(range(0, size, MIB)), MIB, 1.0),
        ("64 KiB sequential rewrite", base, "write", list(range(0, size, 65536)), 65536, 1.0),
        ("1 MiB sequential rewrite", base, "write", list(range(0, size, MIB)), MIB, 1.0),
        ("1 MiB sequential read", base, "read", list(range(0, size, MIB)), MIB, 1.0),
    ]
    for title, start, kind, offsets, length, limit in cases:
        for _ in range(runs):
            pairs.add(title, *_guest_pair(Path(folder), start, kind, offsets, length), limit)
    yield from pairs.results()


def _guest_pair(
    folder: Path, start: Path, kind: str, offsets: list[int], length: int
) -> tuple[float, float]:
    image = folder / "run.qcow2"
    data = b"\xcd" * length

    def work(node: BlockNode) -> None:
        for offset in offsets:
            if kind == "write":
                node.write(offset, [data])
            else:
                node.read(offset, length)
        node.flush()

    shutil.copy(start, image)
    os.sync()
    ours = engine(image, work)
    shutil.copy(start, image)
    os.sync()
    script = "".join(f"{kind} -q {offset} {length}\n" for offset in offsets) + "flush\n"
    begin = time.perf_counter()
    subprocess.run(
        ["qemu-io", "-t", "writeback", str(image)],
        input=script.encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    theirs = time.perf_counter() - begin
    return ours, theirs - process_seconds(["qemu-io", "--version"])
