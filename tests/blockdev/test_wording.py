"""What QEMU says of damage, row by row: the real program stands beside."""

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.check import check
from blockdev.qcow2.header import Header
from blockdev.snapshot import Snapshot
from tests.blockdev.test_damage import real_complaint, real_reason, reason

FEATURE_NAMES = 112  # where the extension with them begins in a new image of version 3


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def patch(path: Path, *patches: tuple[int, bytes]) -> None:
    with path.open("r+b") as file:
        for offset, data in patches:
            file.seek(offset)
            file.write(data)


def name_of(feature: int, name: str) -> bytes:
    return bytes([0, feature]) + name.encode().ljust(46, b"\0")


# What can't be told by one field of the header; see also `HEADER_FAULTS`.
HEADERS = {
    "compression type": [(104, b"\5")],
    "compression type without its bit": [(104, b"\1")],
    "compression bit without its type": [(72, u64(8))],
    "both wrong": [(72, u64(8)), (104, b"\7")],
    "backing name too long": [(8, u64(600)), (16, u32(2000))],
    "backing name past the cluster": [(8, u64(65530)), (16, u32(100))],
    "subclusters too small": [(20, u32(12)), (72, u64(16))],
    "snapshot table beyond any file": [(60, u32(1)), (64, u64(1 << 63))],
    "L1 table beyond any file": [(40, u64(1 << 63))],
    "refcount table beyond any file": [(48, u64(1 << 63))],
    "many snapshots out of place": [(60, u32(70_000)), (64, u64(3))],
    "a feature with a name": [(FEATURE_NAMES + 8, name_of(40, "new thing")), (72, u64(1 << 40))],
    "features with names and one without": [
        (FEATURE_NAMES + 8, name_of(40, "new thing") + name_of(41, "x" * 46)),
        (72, u64(7 << 40)),
    ],
    "names past the cluster": [(FEATURE_NAMES + 4, u32(70_000)), (72, u64(1 << 40))],
    "extension too large": [(FEATURE_NAMES + 4, u32(70_000))],
    "backing format too long": [(FEATURE_NAMES, u32(0xE2792ACA)), (FEATURE_NAMES + 4, u32(300))],
    "encryption header of none": [(FEATURE_NAMES, u32(0x0537BE77)), (FEATURE_NAMES + 4, u32(16))],
}


@pytest.mark.parametrize("fault", HEADERS)
def test_a_header_that_cannot_be_is_refused_in_the_real_words(
    fault: str, graph: Graph, make_image: Callable[..., Path]
) -> None:
    path = make_image()
    patch(path, *HEADERS[fault])
    assert reason(graph, path) == real_reason(path)


@pytest.mark.parametrize("size", [0, 3, 60, 71, 103])
def test_a_file_that_ends_in_the_header_is_refused_in_the_real_words(
    size: int, graph: Graph, make_image: Callable[..., Path]
) -> None:
    path = make_image()
    os.truncate(path, size)
    assert reason(graph, path) == real_reason(path)


def test_a_corrupt_image_and_a_missing_backing_file_have_the_real_words(
    graph: Graph, make_image: Callable[..., Path], tmp_path: Path, qemu_io: str
) -> None:
    base = make_image("base.qcow2")
    corrupt = make_image("corrupt.qcow2")
    patch(corrupt, (72, u64(2)))
    over = make_image("over.qcow2", "8M", "-b", str(base), "-F", "qcow2")
    base.unlink()
    for path in (corrupt, over):
        command = [qemu_io, "-c", "quit", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        words = said.removeprefix(f"qemu-io: can't open device {path}: ").rstrip("\n")
        assert reason(graph, path, read_only=False) == words


def real_snapshot(path: Path, option: str, name: str) -> list[str]:
    command = ["qemu-img", "snapshot", option, name, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return [line.removeprefix("qemu-img: ") for line in done.stderr.splitlines()]


def our_snapshot(
    node: BlockNode, reports: list[str], option: str, name: str, id: str = ""
) -> list[str]:
    """What qemu-img would print of our answer: its own prefix is the tool's, not the engine's."""
    reports.clear()
    acts: dict[str, Callable[[], object]] = {
        "-a": lambda: node.snapshot_goto(name),
        "-d": lambda: node.snapshot_delete(id, name),
        "-c": lambda: node.snapshot_create(Snapshot(name=name, date_sec=1), None),
    }
    with pytest.raises(QemuError) as caught:
        acts[option]()
    if option == "-c":
        value = caught.value.errno_value
        return [f"Could not create snapshot '{name}': {-value} ({os.strerror(value)})"]
    what = "apply" if option == "-a" else "delete"
    return [*reports, f"Could not {what} snapshot '{name}': {caught.value}"]


@pytest.mark.parametrize(
    ("offset", "fault"), [(0, u64(0x50200)), (8, u32(1 << 30))], ids=["place", "length"]
)
@pytest.mark.parametrize("option", ["-a", "-d"])
def test_a_snapshots_own_table_that_cannot_be_is_told_in_the_real_words(
    offset: int,
    fault: bytes,
    option: str,
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    reports: list[str],
    qemu_img: str,
) -> None:
    path = make_image()
    subprocess.run([qemu_img, "snapshot", "-c", "s1", str(path)], check=True)
    table = Header.unpack(path.read_bytes()).snapshots_offset
    patch(path, (table + offset, fault))
    real = real_snapshot(path, option, "s1")
    assert our_snapshot(open_image(path), reports, option, "s1", "1") == real


@pytest.mark.parametrize("option", ["-a", "-d"])
def test_a_snapshot_that_is_not_there_is_told_in_the_real_words(
    option: str,
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    reports: list[str],
) -> None:
    path = make_image()
    real = real_snapshot(path, option, "nope")
    assert our_snapshot(open_image(path), reports, option, "nope", "7") == real


def test_another_format_has_no_snapshots_in_the_real_words(
    graph: Graph, tmp_path: Path, reports: list[str]
) -> None:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(1 << 20))
    real = real_snapshot(path, "-c", "x")
    node = graph.open_image(str(path), driver="raw", read_only=False, cache=CacheMode())
    assert our_snapshot(node, reports, "-c", "x") == [line for line in real if "Could not" in line]


def test_a_count_that_is_full_is_told_in_the_real_words(
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    reports: list[str],
    qemu_io: str,
) -> None:
    for bits in (1, 2, 64):
        path = make_image(f"{bits}.qcow2", "8M", "-o", f"refcount_bits={bits}")
        subprocess.run([qemu_io, "-c", "write -q -P 1 0 300k", str(path)], check=True)
        l1_table = 3 << 16
        l2_table = int.from_bytes(path.read_bytes()[l1_table : l1_table + 8], "big") >> 16 & 0xFFFF
        if bits == 64:
            patch(path, ((2 << 16) + 8 * l2_table, b"\xff" * 8))
        elif bits == 2:
            patch(path, ((2 << 16) + l2_table // 4, b"\xff"))
        copy = shutil.copy(path, path.with_name("copy.qcow2"))
        real = real_snapshot(copy, "-c", "x")
        node = open_image(path)
        assert our_snapshot(node, reports, "-c", "x") == real
        assert node.read(0, 300 << 10) == b"\1" * (300 << 10)
        assert not node.snapshots()


def test_a_refcount_block_out_of_place_is_told_in_the_real_words(
    make_image: Callable[..., Path], open_image: Callable[..., BlockNode], reports: list[str]
) -> None:
    path = make_image()
    patch(path, (1 << 16, u64((2 << 16) + 512)))
    copy = shutil.copy(path, path.with_name("copy.qcow2"))
    real = real_complaint(copy, "write 0 512")
    node = open_image(path)
    with pytest.raises(QemuError, match="Input/output error"):
        node.write(0, [b"x" * 512])
    assert reports == real
    assert path.read_bytes()[72:80] == copy.read_bytes()[72:80]


@pytest.mark.parametrize(
    "size", [513, 3000 << 40, (1 << 63) - (1 << 30), (1 << 63) - (1 << 30) + 1, (1 << 63) - 512]
)
def test_a_size_that_cannot_be_is_refused_in_the_real_words(
    size: int, make_image: Callable[..., Path], open_image: Callable[..., BlockNode], qemu_img: str
) -> None:
    path = make_image()
    command = [qemu_img, "resize", "--shrink", "-f", "qcow2", str(path), str(size)]
    real = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    node = open_image(path)
    with pytest.raises(QemuError) as caught:
        node.truncate(size)
    assert f"qemu-img: {caught.value}\n" == real
    node.write(0, [b"x" * 512])
    assert node.size == 8 << 20


@pytest.mark.parametrize("size", [-1, -512, -(1 << 70)])
def test_a_negative_size_is_refused(
    size: int, make_image: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = make_image()
    before = path.read_bytes()
    with pytest.raises(QemuError, match="Image size cannot be negative"):
        open_image(path).truncate(size)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "fault",
    [
        [(60, u32(70_000))],
        [(60, u32(1)), (64, u64(3))],
        [(60, u32(1)), (64, u64(0x40000)), (0x40024, u32(1025))],
    ],
    ids=["too many", "out of place", "too much extra data"],
)
def test_a_snapshot_table_that_cannot_be_stops_a_check_in_the_real_words(
    fault: list[tuple[int, bytes]],
    graph: Graph,
    make_image: Callable[..., Path],
    qemu_img: str,
) -> None:
    path = make_image()
    os.truncate(path, 0x50000)
    patch(path, *fault)
    done = subprocess.run([qemu_img, "check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    with pytest.raises(QemuError) as caught:
        check(graph.open_file(str(path), read_only=True, cache=CacheMode()))
    real, end, _ = done.stderr.partition("qemu-img: Check failed: ")
    assert end
    assert f"qemu-img: {caught.value}\n" == real
