"""Snapshots at the limits of the format: how many, what ids, what names."""

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.node import BlockNode
from blockdev.qcow2.check import check as check_file
from blockdev.snapshot import Snapshot

CLUSTER = 65536
MOST = 65536


def entry(id: str, name: str, l1_table: int) -> bytes:
    fixed = struct.pack(
        ">QIHHIIQII", l1_table, 1, len(id), len(name), 1, 0, 0, 0, 24
    ) + struct.pack(">QQQ", 0, 8 << 20, 0)
    data = fixed + id.encode() + name.encode()
    return data.ljust(-(-len(data) // 8) * 8, b"\0")


@pytest.fixture
def crowded(
    make_image: Callable[..., Path], qemu_img: str
) -> Callable[[list[tuple[str, str]]], Path]:
    """An empty image with the snapshots of some entries, which share an empty L1 table."""

    def make(ids: list[tuple[str, str]]) -> Path:
        path = make_image("crowded.qcow2", "8M", "-o", "refcount_bits=32")
        l1_table, first = 4, 5  # clusters
        table = b"".join(entry(id, name, l1_table * CLUSTER) for id, name in ids)
        counts = [len(ids)] + [1] * -(-len(table) // CLUSTER)
        with path.open("r+b") as file:
            file.seek(60)
            file.write(struct.pack(">IQ", len(ids), first * CLUSTER))
            file.seek(2 * CLUSTER + 4 * l1_table)  # in the refcount block
            file.write(struct.pack(f">{len(counts)}I", *counts))
            file.seek(first * CLUSTER)
            file.write(table)
            file.truncate((first + len(counts) - 1) * CLUSTER)
        return path

    return make


def real_create(path: Path, name: str) -> str:
    command = ["qemu-img", "snapshot", "-c", name, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_the_table_may_be_full_and_no_more(
    crowded: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    qemu_img: str,
) -> None:
    path = crowded([(str(n), f"s{n}") for n in range(1, MOST)])
    node = open_image(path)
    node.write(0, [b"x" * 100_000])
    node.snapshot_create(Snapshot(name="last", date_sec=1), None)
    assert [s.id for s in node.snapshots()] == [str(n) for n in range(1, MOST + 1)]
    node.flush()
    copy = shutil.copy(path, path.with_name("copy.qcow2"))
    with pytest.raises(QemuError) as caught:
        node.snapshot_create(Snapshot(name="more", date_sec=1), None)
    value = caught.value.errno_value
    words = f"qemu-img: Could not create snapshot 'more': {-value} ({os.strerror(value)})\n"
    assert real_create(copy, "more") == words
    node.snapshot_goto("s1")
    assert node.read(0, 100_000) == bytes(100_000)
    node.snapshot_goto(str(MOST))
    assert node.read(0, 100_000) == b"x" * 100_000
    node.snapshot_delete("30000", "s30000")
    node.snapshot_create(Snapshot(name="again", date_sec=1), None)
    assert node.snapshots()[-1].id == str(MOST + 1)
    node.flush()
    assert node.file is not None
    result = check_file(node.file)  # the real program takes long
    assert (result.corruption_count, result.leak_count) == (0, 0)


@pytest.mark.parametrize(
    "id",
    [
        "4294967295",
        "9223372036854775807",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
        "00000000000000000000000000007",
        "9" * 5000,
        "12abc",
        " 7",
        "+8",
        "-2",
        "-18446744073709551616",
        "x",
        "²",
    ],
)
def test_the_next_id_is_the_one_that_qemu_takes(
    id: str, crowded: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = crowded([("3", "a"), (id, "b")])
    copy = shutil.copy(path, path.with_name("copy.qcow2"))
    assert real_create(copy, "new") == ""
    node = open_image(path)
    node.snapshot_create(Snapshot(name="new", date_sec=1), None)
    theirs = open_image(copy, read_only=True)
    assert [s.id for s in node.snapshots()] == [s.id for s in theirs.snapshots()]


def test_a_name_longer_than_the_format_has_room_for_is_refused(
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
) -> None:
    path = make_image()
    node = open_image(path)
    longest = "n" * 0xFFFF
    node.snapshot_create(Snapshot(name=longest, date_sec=1), None)
    with pytest.raises(QemuError, match="File name too long"):
        node.snapshot_create(Snapshot(name=longest + "n", date_sec=1), None)
    node.write(0, [b"x" * 512])
    node.snapshot_goto(longest)
    assert node.read(0, 512) == bytes(512)
    node.flush()
    assert check(path) == 0
    node.snapshot_delete("1", longest)
    node.flush()
    assert check(path) == 0
