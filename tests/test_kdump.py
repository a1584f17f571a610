"""Compressed dumps of the guest's memory, read back, and laid beside the real program's."""

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.session import Session

PAGE = 4096
MACHINE = "-M isapc -S -m 4 -nodefaults -display none -monitor stdio".split()


class Dump(NamedTuple):
    """What a dump says."""

    header: bytes  # without what is only padding
    sub_header: bytes
    notes: bytes
    bitmaps: bytes
    pages: dict[int, bytes]  # by their number, all but zero pages


def unflatten(data: bytes) -> bytes:
    assert data[:32] == struct.pack(">16sQQ", b"makedumpfile", 1, 1)
    assert not any(data[32:PAGE])
    image, at = bytearray(), PAGE
    while True:
        offset, size = struct.unpack_from(">qq", data, at)
        at += 16
        if offset < 0:
            assert (offset, size) == (-1, -1)
            assert at == len(data)
            return bytes(image)
        if len(image) < offset + size:
            image.extend(bytes(offset + size - len(image)))
        image[offset : offset + size] = data[at : at + size]
        at += size


def read(path: Path) -> Dump:
    image = unflatten(path.read_bytes())
    kind, block, sub_blocks, bitmap_blocks = struct.unpack_from("<IIII", image, 424)
    assert (kind, block) == (1, PAGE)
    sub_header = image[PAGE : PAGE + 104]
    notes_at, notes_size = struct.unpack_from("<QQ", sub_header, 48)
    bitmap_at = (1 + sub_blocks) * PAGE
    bitmaps = image[bitmap_at : bitmap_at + bitmap_blocks * PAGE]
    numbers = [
        byte * 8 + bit
        for byte, value in enumerate(bitmaps[: len(bitmaps) // 2])
        for bit in range(8)
        if value >> bit & 1
    ]
    pages, zeros = {}, set()
    for index, number in enumerate(numbers):
        described_at = bitmap_at + len(bitmaps) + 24 * index
        offset, size, flags, page_flags = struct.unpack_from("<QIIQ", image, described_at)
        assert page_flags == 0
        content = image[offset : offset + size]
        page = zlib.decompress(content) if flags else content
        assert len(page) == PAGE
        if any(page):
            pages[number] = page
        else:
            zeros.add(offset)
    assert len(zeros) == 1  # they share one
    return Dump(image[:464], sub_header, image[notes_at : notes_at + notes_size], bitmaps, pages)


def dump(program: str, folder: Path, name: str, words: str = "") -> Dump:
    (folder / "low").write_bytes(bytes(range(256)) * 100)
    load = ["-device", "loader,file=low,addr=0x3000,force-raw=on"]
    session = Session([program, *MACHINE, *load], folder)
    assert session(f"dump-guest-memory {words}-z {name}") == ""
    while "active" in (status := session("info dump")):
        pass
    assert status == "Status: completed\n"
    session.quit()
    return read(folder / name)


def test_a_dump_is_laid_out_as_qemus_is(hmp: str, qemu: str, tmp_path: Path) -> None:
    ours, theirs = dump(hmp, tmp_path, "ours"), dump(qemu, tmp_path, "theirs")
    assert ours[:4] == theirs[:4]
    firmware = range(0xC0000 // PAGE, 0x100000 // PAGE)
    for number, page in theirs.pages.items():
        if number not in firmware and number < 1024:
            assert ours.pages[number] == page
    assert ours.pages[3] == (bytes(range(256)) * 16)


def test_a_dump_goes_on_beside_the_machine(hmp: str, tmp_path: Path) -> None:
    assert dump(hmp, tmp_path, "ours", "-d ").pages[3] == (bytes(range(256)) * 16)


@pytest.mark.parametrize("place", ["full", "nowhere/x"])
def test_a_dump_that_can_not_be_written_is_told(place: str, hmp: str, tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    session = Session([hmp, *MACHINE], tmp_path)
    answer = session(f"dump-guest-memory -z {place}")
    assert answer.startswith("Error: ")
    assert answer.count("\n") == 1
    assert session("info status") == "VM status: paused (prelaunch)\n"
    assert session.quit() == 0
