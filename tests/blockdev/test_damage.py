"""Damaged images: the sentence is the real one, and nothing is harmed by looking."""

import os
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

# (what, field of the header, value): read by the real tool and by us.
HEADER_FAULTS = [
    ("magic", "magic", 0),
    ("version 1", "version", 1),
    ("version 4", "version", 4),
    ("small clusters", "cluster_bits", 8),
    ("large clusters", "cluster_bits", 22),
    ("header too short", "header_length", 72),
    ("header too long", "header_length", 1 << 17),
    ("backing name past the cluster", "backing_file_offset", 1 << 40),
    ("unknown feature", "incompatible_features", 1 << 40),
    ("unknown features", "incompatible_features", (1 << 40) | (1 << 7) | 1),
    ("refcount order", "refcount_order", 7),
    ("encryption method", "crypt_method", 9),
    ("L1 too large", "l1_size", 1 << 30),
    ("L1 too small", "l1_size", 0),
    ("L1 unaligned", "l1_table_offset", 0x30200),
    ("huge disk", "size", 1 << 62),
    ("larger disk", "size", 1 << 40),
    ("refcount table unaligned", "refcount_table_offset", 0x10200),
    ("no refcount table", "refcount_table_clusters", 0),
    ("refcount table too large", "refcount_table_clusters", 1 << 20),
    ("too many snapshots", "nb_snapshots", 70_000),
]


def change(path: Path, field: str, value: int) -> None:
    with path.open("r+b") as file:
        header = Header.unpack(file.read(Header.SIZE))
        file.seek(0)
        file.write(header.replace(**{field: value}).pack())


def reason(graph: Graph, path: Path, *, read_only: bool = True) -> str:
    with pytest.raises(QemuError) as caught:
        graph.open_image(str(path), driver="qcow2", read_only=read_only, cache=CacheMode())
    return str(caught.value)


def real_reason(path: Path) -> str:
    done = subprocess.run(
        ["qemu-img", "info", "-f", "qcow2", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.removeprefix(f"qemu-img: Could not open '{path}': ").rstrip("\n")


@pytest.mark.parametrize(
    ("field", "value"), [f[1:] for f in HEADER_FAULTS], ids=[f[0] for f in HEADER_FAULTS]
)
def test_a_header_that_cannot_be_is_refused_in_the_real_words(
    field: str, value: int, graph: Graph, make_image: Callable[..., Path]
) -> None:
    path = make_image()
    change(path, field, value)
    before = path.read_bytes()
    assert reason(graph, path) == real_reason(path)
    assert path.read_bytes() == before


def test_a_snapshot_table_out_of_place_is_refused(
    graph: Graph, make_image: Callable[..., Path], qemu_img: str
) -> None:
    path = make_image()
    subprocess.run([qemu_img, "snapshot", "-c", "a", str(path)], check=True)
    change(path, "snapshots_offset", 0x50200)
    assert reason(graph, path) == real_reason(path) == "Snapshot table offset invalid"


def test_a_snapshot_with_too_much_extra_data_is_refused(
    graph: Graph, make_image: Callable[..., Path], qemu_img: str
) -> None:
    path = make_image()
    subprocess.run([qemu_img, "snapshot", "-c", "a", str(path)], check=True)
    with path.open("r+b") as file:
        header = Header.unpack(file.read(Header.SIZE))
        file.seek(header.snapshots_offset + 36)
        file.write(struct.pack(">I", 2000))
    assert reason(graph, path) == real_reason(path)


@pytest.mark.parametrize("size", [0, 3, 60, 71, 103])
def test_a_file_cut_inside_the_header_is_refused(
    size: int, graph: Graph, make_image: Callable[..., Path]
) -> None:
    path = make_image()
    path.write_bytes(path.read_bytes()[:size])
    assert reason(graph, path)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("crypt_method", 2, "encryption"),
        ("incompatible_features", 4, "an external data file"),
    ],
)
def test_what_the_engine_cannot_do_is_one_sentence(
    field: str, value: int, words: str, graph: Graph, make_image: Callable[..., Path]
) -> None:
    path = make_image()
    change(path, field, value)
    assert reason(graph, path) == f"qcow2 images with {words} are not supported"


def test_a_corrupt_image_is_only_opened_for_reading(
    graph: Graph, make_image: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = make_image()
    change(path, "incompatible_features", 2)
    text = "qcow2: Image is corrupt; cannot be opened read/write"
    assert reason(graph, path, read_only=False) == text
    assert open_image(path, read_only=True).read(0, 512) == bytes(512)


def test_a_missing_backing_file_is_named(
    graph: Graph, make_image: Callable[..., Path], tmp_path: Path
) -> None:
    base = make_image("base.qcow2")
    path = make_image("top.qcow2", "8M", "-b", "base.qcow2", "-F", "qcow2")
    base.unlink()
    missing = tmp_path / "base.qcow2"
    assert reason(graph, path) == (
        f"Could not open backing file: Could not open '{missing}': No such file or directory"
    )


def entry_at(path: Path, offset: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(">Q", value))


@pytest.fixture
def written(make_image: Callable[..., Path], qemu_io: str) -> Path:
    """An image with one data cluster; its L1 table is the fourth cluster, as qemu-img puts it."""
    path = make_image()
    subprocess.run([qemu_io, "-c", "write -q -P 1 0 64k", str(path)], check=True)
    return path


def real_complaint(path: Path, command: str) -> list[str]:
    """What qemu-io says of an image, without its program name."""
    done = subprocess.run(
        ["qemu-io", "-c", command, str(path)], capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [line.removeprefix("qemu-io: ") for line in lines if "corrupt" in line]


@pytest.mark.parametrize("where", ["L1", "L2"])
@pytest.mark.parametrize("command", ["read", "write"])
def test_an_entry_that_cannot_be_stops_the_image(
    where: str,
    command: str,
    written: Path,
    reports: list[str],
    open_image: Callable[..., BlockNode],
) -> None:
    l1 = 3 << 16
    l2 = struct.unpack(">Q", written.read_bytes()[l1 : l1 + 8])[0] & ~(1 << 63)
    if where == "L1":
        entry_at(written, l1, (1 << 63) | l2 | 0x200)
    else:
        entry_at(written, l2, (1 << 63) | 0x50200)
    copy = written.with_name("copy.qcow2")
    copy.write_bytes(written.read_bytes())
    node = open_image(written)
    act = {"read": lambda: node.read(0, 512), "write": lambda: node.write(0, [b"x" * 512])}
    with pytest.raises(QemuError, match="Input/output error"):
        act[command]()
    assert reports == real_complaint(copy, f"{command} 0 512")
    assert Header.unpack(written.read_bytes()).incompatible_features == (
        Header.unpack(copy.read_bytes()).incompatible_features
    )
    with pytest.raises(QemuError, match="No medium found"):
        node.read(0, 512)


def test_damage_in_an_image_that_is_only_read_is_reported_once(
    written: Path, reports: list[str], open_image: Callable[..., BlockNode]
) -> None:
    entry_at(written, 3 << 16, (1 << 63) | 0x40200)
    node = open_image(written, read_only=True)
    for _ in range(2):
        with pytest.raises(QemuError, match="Input/output error"):
            node.read(0, 512)
    assert reports == [
        "qcow2: Image is corrupt: L2 table offset 0x40200 unaligned (L1 index: 0); "
        "further non-fatal corruption events will be suppressed"
    ]


@pytest.mark.parametrize(
    ("offset", "fault", "text", "strerror"),
    [
        (0, 0x50200, "Snapshot L1 table offset invalid", "Invalid argument"),
        (8, 1 << 30, "Snapshot L1 table too large", "File too large"),
    ],
)
def test_a_snapshot_whose_own_table_cannot_be_is_left_alone(
    offset: int,
    fault: int,
    text: str,
    strerror: str,
    written: Path,
    reports: list[str],
    open_image: Callable[..., BlockNode],
    qemu_img: str,
) -> None:
    subprocess.run([qemu_img, "snapshot", "-c", "s1", str(written)], check=True)
    table = Header.unpack(written.read_bytes()).snapshots_offset
    with written.open("r+b") as file:
        file.seek(table + offset)
        file.write(struct.pack(">Q" if offset == 0 else ">I", fault))
    node = open_image(written)
    with pytest.raises(QemuError, match=f"Failed to load snapshot: {strerror}"):
        node.snapshot_goto("s1")
    assert reports == [text]
    with pytest.raises(QemuError, match=text):
        node.snapshot_delete("1", "s1")
    assert [snapshot.name for snapshot in node.snapshots()] == ["s1"]
    assert node.read(0, 512) == b"\1" * 512
    node.snapshot_create(Snapshot(name="s2", date_sec=1), None)


def test_an_unknown_autoclear_bit_goes_when_the_image_may_be_written(
    make_image: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = make_image()
    change(path, "autoclear_features", 1 << 30)
    open_image(path, read_only=True)
    assert Header.unpack(path.read_bytes()).autoclear_features == 1 << 30
    other = make_image("other.qcow2")
    change(other, "autoclear_features", 1 << 30)
    open_image(other)
    assert Header.unpack(other.read_bytes()).autoclear_features == 0


def test_a_file_that_may_not_be_written_is_refused(
    graph: Graph, make_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_image()
    path.chmod(0o400)
    monkeypatch.chdir(path.parent)  # the way there may be closed to others
    user = os.geteuid()
    if user == 0:
        os.chown(path, 65534, 65534)
        os.seteuid(65534)
    try:
        with pytest.raises(QemuError) as caught:
            graph.open_image(path.name, driver=None, read_only=False, cache=CacheMode())
    finally:
        os.seteuid(user)
    assert str(caught.value) == f"Could not open '{path.name}': Permission denied"


@pytest.mark.parametrize("cluster_size", ["4k", "64k"])
def test_an_image_whose_counts_are_late_is_repaired_before_it_is_written(
    cluster_size: str,
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    qemu_io: str,
    qemu_img: str,
) -> None:
    options = f"lazy_refcounts=on,cluster_size={cluster_size}"
    path = make_image("lazy.qcow2", "8M", "-o", options)
    script = ["-c", "write -q -P 7 100k 300k", "-c", "abort"]
    subprocess.run([qemu_io, *script, str(path)], check=False, capture_output=True)
    assert Header.unpack(path.read_bytes()).incompatible_features == 1
    assert open_image(path, read_only=True).read(100 << 10, 300 << 10) == b"\7" * (300 << 10)
    assert Header.unpack(path.read_bytes()).incompatible_features == 1
    other = path.with_name("other.qcow2")
    other.write_bytes(path.read_bytes())
    node = open_image(other)
    assert node.read(100 << 10, 300 << 10) == b"\7" * (300 << 10)
    node.write(0, [b"x" * 50_000])
    node.flush()
    assert Header.unpack(other.read_bytes()).incompatible_features == 0
    subprocess.run([qemu_img, "check", "-q", "-U", str(other)], check=True)


@pytest.mark.parametrize("cluster", [1, 2, 3, 4])
def test_a_write_that_would_hit_a_table_marks_the_image_corrupt(
    cluster: int, written: Path, reports: list[str], open_image: Callable[..., BlockNode]
) -> None:
    l1 = 3 << 16
    l2 = struct.unpack(">Q", written.read_bytes()[l1 : l1 + 8])[0] & ~(1 << 63)
    entry_at(written, l2, (1 << 63) | cluster << 16)
    copy = written.with_name("copy.qcow2")
    copy.write_bytes(written.read_bytes())
    node = open_image(written)
    with pytest.raises(QemuError, match="Input/output error"):
        node.write(0, [b"x" * 512])
    assert reports == real_complaint(copy, "write 0 512")
    assert "Preventing invalid write on metadata" in reports[0]
    assert written.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_named_pipe_is_no_image(read_only: bool, graph: Graph, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    name = str(tmp_path / "pipe")
    with pytest.raises(QemuError) as caught:
        graph.open_image(name, driver="raw", read_only=read_only, cache=CacheMode())
    assert str(caught.value) == f"'file' driver requires '{name}' to be a regular file"
