"""What an image says of the file under it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.node import BlockNode
from blockdev.snapshot import Snapshot

MIB = 1 << 20


def io(path: Path, *lines: str) -> str:
    words = [word for line in lines for word in ("-c", line)]
    command = ["qemu-io", "-f", "qcow2", *words, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def over(make_image: Callable[..., Path]) -> Callable[..., Path]:
    """An image over a name that needn't be there yet."""

    def make(name: str, backing: str, size: str = "1M", *, format: str = "qcow2") -> Path:
        return make_image(name, size, "-u", "-b", backing, "-F", format)

    return make


@pytest.mark.parametrize("format", ["qcow2", "raw"])
def test_the_named_format_is_used_whatever_the_file_looks_like(
    format: str,
    make_image: Callable[..., Path],
    over: Callable[..., Path],
    open_image: Callable[..., BlockNode],
) -> None:
    base = make_image("base.qcow2", "1M")
    io(base, "write -q -P 7 0 1M")
    node = open_image(over("over.qcow2", str(base), format=format))
    assert node.backing is not None
    assert node.backing.driver == format
    expected = b"\7" * 512 if format == "qcow2" else base.read_bytes()[:512]
    assert node.read(0, 512) == expected


def test_a_name_is_looked_for_beside_the_image_all_along_a_chain(
    make_image: Callable[..., Path],
    over: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    tmp_path: Path,
    check: Callable[[Path], int],
) -> None:
    (tmp_path / "deep").mkdir()
    io(make_image("deep/base.qcow2", "1M"), "write -q -P 1 0 1M")
    io(over("deep/middle.qcow2", "base.qcow2"), "write -q -P 2 64k 64k")
    top = over("top.qcow2", "deep/middle.qcow2")
    node = open_image(top)
    node.write(2 * 65536 + 100, [b"\3" * 100])
    node.snapshot_create(Snapshot(name="x", date_sec=1), None)
    node.write(0, [b"\4" * 10])
    wanted = (b"\4" * 10 + b"\1" * (65536 - 10) + b"\2" * 65536 + b"\1" * 100 + b"\3" * 100).ljust(
        MIB, b"\1"
    )
    assert node.read(0, MIB) == wanted
    node.flush()
    assert check(top) == 0
    node.snapshot_goto("x")
    assert node.read(0, MIB) == b"\1" * 10 + wanted[10:]


def test_past_the_end_of_a_shorter_backing_file_there_are_zeros(
    make_image: Callable[..., Path], over: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    base = make_image("base.qcow2", "66048")  # a cluster and a sector
    io(base, "write -q -P 7 0 66048")
    path = over("over.qcow2", str(base))
    node = open_image(path)
    assert node.read(0, MIB) == (b"\7" * 66048).ljust(MIB, b"\0")
    node.write(66048 + 512, [b"x"])  # copies the rest of the cluster
    node.write(131072 - 1, [b"yz"])
    wanted = bytearray((b"\7" * 66048).ljust(MIB, b"\0"))
    wanted[66560:66561] = b"x"
    wanted[131071:131073] = b"yz"
    assert node.read(0, MIB) == wanted
    node.flush()
    raw = path.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", path, raw], check=True)
    assert raw.read_bytes() == wanted


@pytest.mark.parametrize("name", ['json:{"driver":"nosuch"}', "json:{", "qcow2:x", "nowhere"])
def test_a_name_that_is_no_file_is_refused_in_one_sentence(
    name: str, over: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    with pytest.raises(QemuError) as caught:
        open_image(over("over.qcow2", name))
    assert str(caught.value).startswith("Could not open backing file: ")
    assert "\n" not in str(caught.value)


def test_an_image_under_itself_is_refused(
    over: Callable[..., Path], open_image: Callable[..., BlockNode]
) -> None:
    path = over("over.qcow2", "over.qcow2")
    with pytest.raises(QemuError, match="Could not open backing file: the chain leads back"):
        open_image(path)
    path = over("one.qcow2", "two.qcow2")
    over("two.qcow2", "./one.qcow2")
    with pytest.raises(QemuError, match="the chain leads back to itself"):
        open_image(path)
