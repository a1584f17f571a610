"""Where two snapshots differ, held against what qemu-img takes out of them."""

import subprocess
import tempfile
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.qcow2.compare import SECTOR_SIZE, DiskState, differing_ranges
from blockdev.qcow2.create import create_image
from blockdev.qcow2.image import Image
from blockdev.snapshot import Snapshot

KIB = 1 << 10
SIZE = 256 * KIB + 512  # the last cluster is a part of one

steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.integers(0, SIZE - 1),
            st.integers(1, 20 * KIB),
            st.integers(0, 3),
        ),
        st.tuples(st.just("zero"), st.integers(0, 60), st.integers(1, 4)),
        st.tuples(st.just("discard"), st.integers(0, 60), st.integers(1, 4)),
        st.tuples(st.just("snapshot")),
        st.tuples(st.just("goto"), st.integers(1, 3)),
    ),
    max_size=10,
)


def sectors(a: bytes, b: bytes) -> set[int]:
    """The sectors that differ."""
    size = max(len(a), len(b))
    a, b = a.ljust(size, b"\0"), b.ljust(size, b"\0")
    return {
        start // SECTOR_SIZE
        for start in range(0, size, SECTOR_SIZE)
        if a[start : start + SECTOR_SIZE] != b[start : start + SECTOR_SIZE]
    }


def told(a: DiskState, b: DiskState) -> set[int]:
    """The sectors of the ranges, which must be in order, apart from each other."""
    found: set[int] = set()
    end = -1
    for offset, size in differing_ranges(a, b):
        assert offset > end
        assert size > 0
        end = offset + size
        found |= set(range(offset // SECTOR_SIZE, -(-end // SECTOR_SIZE)))
    return found


def play(image: Image, step: tuple[object, ...]) -> None:
    cluster = 4 * KIB
    match step:
        case ("write", int(offset), int(size), int(value)):
            image.write(offset, [bytes([value]) * min(size, image.size - offset)])
        case ("zero", int(first), int(count)):
            image.write_zeroes(first * cluster, count * cluster)
        case ("discard", int(first), int(count)):
            image.discard(first * cluster, count * cluster)
        case ("snapshot",):
            name = f"s{len(image.snapshots()) + 1}"
            image.snapshot_create(Snapshot(name=name, date_sec=1), None)
        case ("goto", int(number)) if number <= len(image.snapshots()):
            image.snapshot_goto(f"s{number}")


def taken_out(qemu_img: str, path: Path, tag: str) -> bytes:
    """A snapshot's bytes, as qemu-img has them; now, without a tag."""
    out = path.with_suffix(".out")
    options = ["-l", f"snapshot.name={tag}"] if tag else []
    subprocess.run(
        [qemu_img, "convert", "-U", *options, "-O", "raw", str(path), str(out)], check=True
    )
    return out.read_bytes()


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.booleans())
def test_the_ranges_are_those_of_a_comparison_byte_by_byte(
    qemu_img: str, story: list[tuple[object, ...]], with_backing: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, base = Path(folder) / "d.qcow2", Path(folder) / "base.raw"
        base.write_bytes(b"\1\2\3" * 30_000)
        options = ["-b", str(base), "-F", "raw"] if with_backing else []
        create = [qemu_img, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k"]
        subprocess.run([*create, *options, str(path), str(SIZE)], check=True)
        graph = Graph(print)
        image = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
        assert isinstance(image, Image)
        for step in story:
            play(image, step)
        image.write_back()
        states = {"": image.state_of(None)}
        states |= {snapshot.name: image.state_of(snapshot) for snapshot in image.snapshots()}
        contents = {tag: taken_out(qemu_img, path, tag) for tag in states}
        for a, b in combinations(states, 2):
            assert told(states[a], states[b]) == sectors(contents[a], contents[b])
        graph.close()


@pytest.mark.parametrize("sizes", [(1 << 20, 3 << 20), (3 << 20, 1 << 20), (1 << 20, 1 << 38)])
def test_a_disk_that_was_resized(tmp_path: Path, sizes: tuple[int, int]) -> None:
    """What only the larger one has is compared with zeros, and holes of it are not read."""
    path = tmp_path / "d.qcow2"
    create_image(str(path), sizes[0])
    graph = Graph(print)
    image = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
    assert isinstance(image, Image)
    image.write(sizes[0] - 512, [b"x" * 512])
    image.snapshot_create(Snapshot(name="a", date_sec=1), None)
    if sizes[1] > sizes[0]:
        image.truncate(sizes[1])
        image.write(sizes[1] - 512, [b"y" * 512])
        expected = {(sizes[1] - 512) // SECTOR_SIZE}
    else:
        image.snapshot_delete("1", "a")
        image.truncate(sizes[1])
        image.snapshot_create(Snapshot(name="a", date_sec=1), None)
        image.truncate(sizes[0])
        image.write(sizes[0] - 512, [b"x" * 512])
        expected = {(sizes[0] - 512) // SECTOR_SIZE}
    before, now = image.state_of(image.snapshots()[0]), image.state_of(None)
    assert told(before, now) == told(now, before) == expected
    graph.close()
