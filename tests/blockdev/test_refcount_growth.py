"""Room for what is longer than one refcount block counts, and for the blocks themselves."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.image import Image
from blockdev.snapshot import Snapshot, find_by_name

CLUSTER = 512


def create(node: BlockNode, name: str) -> None:
    node.snapshot_create(Snapshot(name=name, date_sec=1), None)


def delete(node: BlockNode, name: str) -> None:
    found = find_by_name(node.snapshots(), name)
    assert found is not None
    node.snapshot_delete(found.id, name)


@pytest.fixture
def small(make_image: Callable[..., Path]) -> Callable[..., Path]:
    """An image with clusters of 512 bytes."""

    def make(size: str, refcount_bits: int = 64) -> Path:
        options = f"cluster_size={CLUSTER},refcount_bits={refcount_bits}"
        return make_image("small.qcow2", size, "-o", options)

    return make


@pytest.mark.parametrize(
    ("size", "refcount_bits"),
    [("512M", 16), ("1G", 16), ("4G", 8), ("160M", 64), ("1G", 64), ("8G", 64), ("8G", 32)],
)
def test_a_snapshot_of_a_large_disk_with_small_clusters_finds_room(
    size: str,
    refcount_bits: int,
    small: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
) -> None:
    path = small(size, refcount_bits)
    node = open_image(path)
    end = node.size - 70_000
    for name in (b"one", b"two", b"three"):
        node.write(0, [name * 10_000])
        node.write(end, [name * 10_000])
        create(node, name.decode())
    node.write(0, [b"now" * 10_000])
    node.flush()
    assert check(path) == 0
    for name in (b"two", b"one"):
        node.snapshot_goto(name.decode())
        assert node.read(0, 30_000) == (name * 10_000)[:30_000]
        assert node.read(end, 30_000) == (name * 10_000)[:30_000]
        delete(node, name.decode())
        node.flush()
        assert check(path) == 0


def test_a_snapshot_table_longer_than_a_block_counts_finds_room(
    small: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
) -> None:
    path = small("1M")
    node = open_image(path)
    names = [f"{n:0200}" for n in range(300)]  # over 64 KiB of table; a block counts 32
    for name in names:
        create(node, name)
    node.flush()
    assert check(path) == 0
    assert [snapshot.name for snapshot in node.snapshots()] == names
    for name in names[::2]:
        delete(node, name)
    node.flush()
    assert check(path) == 0


def test_longer_tables_of_several_snapshots_use_the_room_of_deleted_ones(
    small: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = small("1G")
    node = open_image(path)
    sizes = []
    for round in range(4):
        create(node, f"s{round}")
        delete(node, f"s{round}")
        node.flush()
        sizes.append(path.stat().st_size)
    assert sizes[1:] == sizes[:1] * 3


@pytest.mark.parametrize("far_region", [3, 70])  # too near, and far enough for an L1 table
def test_regions_without_a_block_are_used_where_they_are_enough_and_left_where_not(
    far_region: int,
    small: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
    qemu_img: str,
) -> None:
    """The L1 table lies behind the rest, and the real repair counts nothing between them."""
    path = small("128M")
    subprocess.run(["qemu-io", "-c", f"write -q 0 {40 * CLUSTER}", str(path)], check=True)
    image = bytearray(path.read_bytes())
    l1, l1_entries = struct.unpack_from(">Q", image, 40)[0], struct.unpack_from(">I", image, 36)[0]
    table_bytes = l1_entries * 8
    far = far_region * 64 * CLUSTER
    image.extend(bytes(far + table_bytes - len(image)))
    image[far : far + table_bytes] = image[l1 : l1 + table_bytes]
    struct.pack_into(">Q", image, 40, far)
    path.write_bytes(image)
    command = [qemu_img, "check", "-q", "-r", "all", str(path)]
    subprocess.run(command, capture_output=True, check=False)
    assert check(path) == 0
    node = open_image(path)
    create(node, "long")
    node.flush()
    assert check(path) == 0
    for n in range(2, 7):
        node.write(0, [bytes([n]) * 4000 * CLUSTER])
        create(node, f"s{n}")
    node.flush()
    assert check(path) == 0
    node.snapshot_goto("s3")
    assert node.read(0, 4000 * CLUSTER) == b"\3" * 4000 * CLUSTER


def test_a_table_longer_than_qemu_reads_is_refused_and_nothing_changes(
    small: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
) -> None:
    path = small("1M")
    node = open_image(path)
    node.write(0, [b"kept" * 1000])
    node.flush()
    before = path.read_bytes()
    assert isinstance(node, Image)
    with pytest.raises(QemuError, match="File too large"):
        node.metadata.allocator.allocate(1 << 26, exactly=True)
    node.flush()
    assert path.read_bytes() == before
    create(node, "still")
    node.flush()
    assert check(path) == 0


def test_a_write_is_kept_off_a_new_refcount_block(
    small: Callable[..., Path], graph: Graph, reports: list[str]
) -> None:
    """A damaged entry points past the end of the file, where a new block comes to lie."""
    path = small("1M")
    file_clusters = path.stat().st_size // CLUSTER
    block = 64 * CLUSTER  # the start of the second region
    assert file_clusters < 64
    node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
    node.write(0, [b"x"])
    graph.close()
    image = bytearray(path.read_bytes())
    l1 = struct.unpack_from(">Q", image, 40)[0]
    l2 = struct.unpack_from(">Q", image, l1)[0] & ~(1 << 63)
    struct.pack_into(">Q", image, l2 + 8, block | 1 << 63)
    path.write_bytes(image)
    node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
    node.write(CLUSTER * 2, [b"y" * 60 * CLUSTER])
    with pytest.raises(QemuError, match="Input/output error"):
        node.write(CLUSTER, [b"z" * CLUSTER])
    assert reports == [
        "qcow2: Marking image as corrupt: Preventing invalid write on metadata (overlaps with "
        "refcount block); further corruption events will be suppressed"
    ]
    graph.close()
