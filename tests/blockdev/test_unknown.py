"""What a later version of the format adds stays in the file, whatever is done to the image."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.node import BlockNode
from blockdev.snapshot import Snapshot

OLD_LENGTH, NEW_LENGTH = 112, 136  # bytes of the header
FIELDS = bytes(range(1, 1 + NEW_LENGTH - OLD_LENGTH))
EXTENSION = struct.pack(">II", 0x12345678, 13) + b"keep this, do".ljust(16, b"\0")
EXTRA = bytes(range(100, 132))  # behind the 24 bytes of a snapshot's extra data that are known


def add_unknown(path: Path, compatible: int) -> None:
    """Let the header have more fields and an extension, and a snapshot's entry more extra data."""
    image = bytearray(path.read_bytes())
    rest = image[OLD_LENGTH : 65536 - len(FIELDS) - len(EXTENSION)]
    image[OLD_LENGTH:65536] = FIELDS + EXTENSION + rest
    struct.pack_into(">I", image, 100, NEW_LENGTH)
    struct.pack_into(">Q", image, 80, compatible)
    table = struct.unpack_from(">Q", image, 64)[0]
    size = struct.unpack_from(">I", image, table + 36)[0]
    assert size == 24
    struct.pack_into(">I", image, table + 36, size + len(EXTRA))
    place = table + 40 + size
    image[place : place + 100 + len(EXTRA)] = EXTRA + image[place : place + 100]
    path.write_bytes(image)


def names(node: BlockNode) -> list[str]:
    return [snapshot.name for snapshot in node.snapshots()]


def change_everything(node: BlockNode) -> None:
    node.write(100_000, [b"new" * 50_000])
    node.snapshot_create(Snapshot(name="second", date_sec=1), None)
    node.write(0, [b"newer" * 50_000])
    node.snapshot_goto("first")
    node.snapshot_delete("2", "second")
    node.snapshot_create(Snapshot(name="third", date_sec=1), None)
    node.truncate(20 << 20)
    node.flush()


@pytest.mark.parametrize("compatible", [0, 1 << 62 | 6])
def test_fields_extensions_and_extra_data_are_kept(
    compatible: int,
    make_image: Callable[..., Path],
    open_image: Callable[..., BlockNode],
    check: Callable[[Path], int],
    qemu_img: str,
) -> None:
    path = make_image()
    subprocess.run([qemu_img, "snapshot", "-c", "first", str(path)], check=True)
    add_unknown(path, compatible)
    assert check(path) == 0
    node = open_image(path)
    assert names(node) == ["first"]
    change_everything(node)
    assert names(node) == ["first", "third"]
    image = path.read_bytes()
    assert image[OLD_LENGTH:NEW_LENGTH] == FIELDS
    assert image[NEW_LENGTH : NEW_LENGTH + len(EXTENSION)] == EXTENSION
    assert struct.unpack_from(">Q", image, 80)[0] == compatible
    table = struct.unpack_from(">Q", image, 64)[0]
    size = struct.unpack_from(">I", image, table + 36)[0]
    assert image[table + 40 + 24 : table + 40 + size] == EXTRA
    assert check(path) == 0
