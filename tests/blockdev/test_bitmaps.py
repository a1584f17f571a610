"""Persistent bitmaps of the real program: kept, and marked once they may lack something."""

import hashlib
import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.header import Header
from blockdev.snapshot import Snapshot
from tests.blockdev.test_damage import real_reason, reason


@pytest.fixture
def image(make_image: Callable[..., Path], qemu_img: str, qemu_io: str) -> Path:
    """One bitmap that records, with something in it, and one that is disabled."""
    path = make_image()
    for words in (["--add", str(path), "on"], ["--add", "--disable", str(path), "off"]):
        subprocess.run([qemu_img, "bitmap", *words], check=True)
    subprocess.run([qemu_io, "-c", "write -q -P 1 0 300k", str(path)], check=True)
    return path


def flags(path: Path) -> dict[str, set[str]]:
    """What the real program says of each bitmap."""
    command = ["qemu-img", "info", "-U", "--output=json", str(path)]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    bitmaps = said["format-specific"]["data"].get("bitmaps", [])
    return {bitmap["name"]: set(bitmap["flags"]) for bitmap in bitmaps}


def use(path: Path, act: Callable[[BlockNode], object], *, read_only: bool = False) -> None:
    graph = Graph(lambda text: None)
    node = graph.open_image(str(path), driver="qcow2", read_only=read_only, cache=CacheMode())
    act(node)
    graph.close()


def save(node: BlockNode) -> None:
    area = node.open_vmstate()
    area.write([b"state" * 50_000])
    node.snapshot_create(Snapshot(name="s", date_sec=1, vm_state_size=250_000), area)


@pytest.mark.parametrize("read_only", [True, False])
def test_an_image_that_is_not_changed_keeps_its_bitmaps(image: Path, *, read_only: bool) -> None:
    before = hashlib.sha256(image.read_bytes()).digest()
    use(image, lambda node: node.read(0, 1 << 20), read_only=read_only)
    assert hashlib.sha256(image.read_bytes()).digest() == before
    assert flags(image) == {"on": {"auto"}, "off": set()}


def test_a_snapshot_changes_nothing_that_a_bitmap_says(image: Path, qemu_img: str) -> None:
    use(image, save)
    use(image, lambda node: node.snapshot_delete("1", "s"))
    assert flags(image) == {"on": {"auto"}, "off": set()}
    subprocess.run([qemu_img, "check", "-q", str(image)], check=True)


CHANGES = {
    "write": lambda node: node.write(70_000, [b"x" * 70_000]),
    "zeroes": lambda node: node.write_zeroes(0, 100_000),
    "discard": lambda node: node.discard(0, 65536),
    "larger": lambda node: node.truncate(64 << 20),
    "smaller": lambda node: node.truncate(1 << 20),
    "goto": lambda node: node.snapshot_goto("s"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_marks_the_bitmaps_that_may_lack_it(
    change: str, image: Path, qemu_img: str, qemu_io: str
) -> None:
    use(image, save)
    use(image, CHANGES[change])
    keeps_size = change in ("write", "zeroes", "discard")
    assert flags(image) == {"on": {"auto", "in-use"}, "off": set() if keeps_size else {"in-use"}}
    use(image, lambda node: node.snapshot_delete("1", "s"))
    subprocess.run([qemu_img, "check", "-q", str(image)], check=True)
    # All is as it would be after a crash of the real program: they can go, others come.
    subprocess.run([qemu_img, "bitmap", "--remove", str(image), "on"], check=True)
    subprocess.run([qemu_img, "bitmap", "--add", str(image), "new"], check=True)
    subprocess.run([qemu_io, "-c", "write -q 0 64k", str(image)], check=True)
    assert flags(image)["new"] == {"auto"}
    subprocess.run([qemu_img, "check", "-q", str(image)], check=True)


def extension_at(path: Path) -> int:
    data = path.read_bytes()
    offset = Header.unpack(data).header_length
    while struct.unpack_from(">I", data, offset)[0] != 0x23852875:
        offset += 8 + -(-struct.unpack_from(">I", data, offset + 4)[0] // 8) * 8
    return offset


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (4, struct.pack(">I", 16)),
        (12, struct.pack(">I", 1)),
        (8, struct.pack(">I", 0)),
        (8, struct.pack(">I", 70_000)),
        (24, struct.pack(">Q", 0x30200)),
        (16, struct.pack(">Q", 1 << 40)),
    ],
    ids=["length", "reserved", "none", "many", "unaligned", "large"],
)
def test_an_extension_that_cannot_be_is_refused_in_the_real_words(
    at: int, value: bytes, image: Path, graph: Graph
) -> None:
    place = extension_at(image) + at
    with image.open("r+b") as file:
        file.seek(place)
        file.write(value)
    assert reason(graph, image) == real_reason(image)


def test_a_directory_over_a_table_is_not_written(
    image: Path, open_image: Callable[..., BlockNode], reports: list[str]
) -> None:
    l1_table = Header.unpack(image.read_bytes()).l1_table_offset
    place = extension_at(image) + 24
    with image.open("r+b") as file:
        file.seek(place)
        file.write(struct.pack(">Q", l1_table))
    node = open_image(image)
    with pytest.raises(QemuError, match="Input/output error"):
        node.write(0, [b"x" * 512])
    assert "overlaps with active L1 table" in reports[0]
