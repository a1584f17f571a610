import errno
import filecmp
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blockdev.errors import QemuError
from blockdev.image_create import too_large
from blockdev.qcow2.create import create_image
from blockdev.qcow2.create_words import read_options

GEOMETRIES = [
    (compat, cluster_size, refcount_bits, extended_l2)
    for compat in ("0.10", "1.1")
    for cluster_size in (512, 1024, 4096, 16384, 65536, 2 << 20)
    for refcount_bits in (1, 2, 8, 16, 64)
    for extended_l2 in ("off", "on")
    if (compat == "1.1" or (refcount_bits == 16 and extended_l2 == "off"))
    and (extended_l2 == "off" or cluster_size >= 16384)
]
SIZES = [0, 1, (1 << 30) + 512]


@pytest.fixture
def theirs(qemu_img: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`qemu-img create` of ``theirs.qcow2``; backing files aren't opened."""

    def make(words: dict[str, str], size: int) -> subprocess.CompletedProcess[str]:
        options = ",".join(f"{name}={text}" for name, text in words.items())
        command = [qemu_img, "create", "-q", "-u", "-f", "qcow2", "theirs.qcow2", str(size)]
        command += ["-o", options] if options else []
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return make


def make_ours(folder: Path, words: dict[str, str], size: int) -> Path:
    path = folder / "ours.qcow2"
    create_image(str(path), size, **read_options(words))
    return path


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "-".join(map(str, g)))
def test_an_image_is_the_same_byte_for_byte(
    geometry: tuple[str, int, int, str], theirs: Callable[..., Any], tmp_path: Path
) -> None:
    compat, cluster_size, refcount_bits, extended_l2 = geometry
    words = {
        "compat": compat,
        "cluster_size": str(cluster_size),
        "refcount_bits": str(refcount_bits),
        "extended_l2": extended_l2,
    }
    for size in SIZES:
        assert not theirs(words, size).returncode
        ours = make_ours(tmp_path, words, size)
        assert filecmp.cmp(ours, tmp_path / "theirs.qcow2", shallow=False), size


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"compression_type": "zstd"},
        {"lazy_refcounts": "on", "compression_type": "zstd", "extended_l2": "on"},
        {"backing_file": "base.qcow2", "backing_fmt": "qcow2"},
        {"backing_file": "base.raw", "backing_fmt": "raw", "compat": "v2"},
        {"backing_file": "b" * 1023, "backing_fmt": "raw"},
        {"backing_file": "b" * 368, "backing_fmt": "raw", "cluster_size": "512"},
    ],
    ids=str,
)
def test_options_leave_the_same_bytes(
    words: dict[str, str], theirs: Callable[..., Any], tmp_path: Path
) -> None:
    assert not theirs(words, 1 << 20).returncode
    ours = make_ours(tmp_path, words, 1 << 20)
    assert filecmp.cmp(ours, tmp_path / "theirs.qcow2", shallow=False)


@pytest.mark.parametrize("refcount_bits", [16, 64])
def test_a_refcount_table_of_several_clusters_counts_itself(
    refcount_bits: int, check: Callable[[Path], int], tmp_path: Path
) -> None:
    path = tmp_path / "disk.qcow2"
    create_image(str(path), 100 << 30, cluster_size=512, refcount_bits=refcount_bits)
    assert int.from_bytes(path.read_bytes()[56:60], "big") > 1
    assert check(path) == 0


@pytest.mark.parametrize("preallocation", ["metadata", "falloc", "full"])
@pytest.mark.parametrize("cluster_size", [512, 4096, 65536])
@pytest.mark.parametrize("extended_l2", ["off", "on"])
def test_a_preallocated_image_maps_its_whole_disk(
    preallocation: str,
    cluster_size: int,
    extended_l2: str,
    qemu_img: str,
    theirs: Callable[..., Any],
    check: Callable[[Path], int],
    tmp_path: Path,
) -> None:
    if extended_l2 == "on" and cluster_size < 16384:
        cluster_size = 16384
    size = (3 << 20) + 512
    words = {
        "preallocation": preallocation,
        "cluster_size": str(cluster_size),
        "extended_l2": extended_l2,
    }
    assert not theirs(words, size).returncode
    ours = make_ours(tmp_path, words, size)
    assert check(ours) == 0

    def run(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert run(qemu_img, "compare", str(ours), str(tmp_path / "theirs.qcow2"))
    counts = [
        json.loads(run(qemu_img, "check", "--output=json", str(path)))["allocated-clusters"]
        for path in (ours, tmp_path / "theirs.qcow2")
    ]
    assert counts[0] == counts[1] == -(-size // cluster_size)
    if preallocation != "metadata":
        assert ours.stat().st_blocks * 512 >= size


REFUSED = [
    {"cluster_size": "1000"},
    {"cluster_size": "256"},
    {"cluster_size": "4M"},
    {"cluster_size": "1x"},
    {"cluster_size": "64KB"},
    {"cluster_size": ""},
    {"cluster_size": "-1"},
    {"cluster_size": str(1 << 64)},
    {"compat": "0.9"},
    {"compat": "0.10", "cluster_size": "1000", "extended_l2": "on"},
    {"compat": "0.10", "lazy_refcounts": "on"},
    {"compat": "0.10", "lazy_refcounts": "on", "refcount_bits": "3"},
    {"compat": "0.10", "refcount_bits": "8"},
    {"compat": "0.10", "refcount_bits": "8", "compression_type": "zstd"},
    {"compat": "0.10", "compression_type": "zstd"},
    {"refcount_bits": "0"},
    {"refcount_bits": "128"},
    {"refcount_bits": "-1"},
    {"refcount_bits": "x"},
    {"refcount_bits": "16.5"},
    {"refcount_bits": "9" * 30},
    {"extended_l2": "on", "cluster_size": "8k"},
    {"extended_l2": "1"},
    {"compression_type": "lz4"},
    {"preallocation": "foo"},
    {"preallocation": "full", "backing_file": "b", "backing_fmt": "raw"},
    {"backing_fmt": "raw"},
    {"backing_file": ""},
    {"backing_file": "b" * 1024, "backing_fmt": "raw"},
    {"backing_file": "b" * 390, "backing_fmt": "raw", "cluster_size": "512"},
    {"foo": "1"},
]


@pytest.mark.parametrize("words", REFUSED, ids=str)
def test_what_qemu_refuses_is_refused_in_its_words(
    words: dict[str, str], theirs: Callable[..., Any], tmp_path: Path
) -> None:
    answer = theirs(words, 1 << 20)
    assert answer.returncode == 1
    with pytest.raises(QemuError) as refusal:
        make_ours(tmp_path, words, 1 << 20)
    assert answer.stderr == f"qemu-img: theirs.qcow2: {refusal.value}\n"
    assert not (tmp_path / "ours.qcow2").exists()


@pytest.mark.parametrize(
    ("size", "words"),
    [(129 << 30, {"cluster_size": "512"}), (64 << 50, {}), (7 << 60, {"cluster_size": "2M"})],
)
def test_a_disk_no_l1_table_can_map_is_refused_in_qemus_words(
    size: int, words: dict[str, str], theirs: Callable[..., Any], tmp_path: Path
) -> None:
    answer = theirs(words, size)
    with pytest.raises(QemuError) as refusal:
        make_ours(tmp_path, words, size)
    assert refusal.value.errno_value == errno.EFBIG
    assert answer.stderr == f"qemu-img: theirs.qcow2: {too_large('qcow2')}\n"


@pytest.mark.parametrize("text", ["64k", "0x10000", "65536b", "0.0625M", " 64K", "65536"])
def test_a_size_is_read_as_qemu_reads_it(
    text: str, theirs: Callable[..., Any], tmp_path: Path
) -> None:
    assert not theirs({"cluster_size": text}, 1 << 20).returncode
    ours = make_ours(tmp_path, {"cluster_size": text}, 1 << 20)
    assert filecmp.cmp(ours, tmp_path / "theirs.qcow2", shallow=False)


@pytest.mark.parametrize(
    "words",
    [{"encryption": "on"}, {"encrypt.format": "luks"}, {"nocow": "on"}, {"data_file": "x"}],
    ids=str,
)
def test_what_cannot_be_made_is_refused_in_one_sentence(words: dict[str, str]) -> None:
    with pytest.raises(QemuError, match=r"^[^\n]* cannot be [^\n]*$"):
        read_options(words)


def test_switching_off_what_cannot_be_made_is_allowed() -> None:
    assert read_options({"encryption": "off", "nocow": "off"}) == {}


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "disk.qcow2"
    with pytest.raises(QemuError) as refusal:
        create_image(str(path), 1 << 20)
    assert str(refusal.value) == f"Could not create '{path}': No such file or directory"
