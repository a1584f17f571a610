"""Compressed pages: between both programs, and those that can't be."""

import errno
import os
import random
import re
import zlib
from pathlib import Path

import pytest

from machine.memory import RamBlock
from machine.migration.compression import LONGEST, compressed_records, read_compressed
from machine.migration.qemufile import QEMUFileReader, StreamError
from tests.machine.machines import Bytes
from tests.machine.reference import incoming
from tests.machine.test_stream import SECTION_RAM, START, be32, be64, part, ram_start
from tests.programs import MEGABYTES, MIB, Programs, has_arrived, status, wait_until

COMPRESS = 0x100
PAGE = 4096


def read(data: bytes) -> tuple[bytes, list[str]]:
    reports: list[str] = []
    return read_compressed(QEMUFileReader(Bytes(data)), reports.append), reports


def test_records_hold_their_pages() -> None:
    block = RamBlock("ram", MIB)
    pages = [os.urandom(PAGE), bytes(PAGE), b"text " * 819 + b"."]
    block.write(7 * PAGE, b"".join(pages))
    for level in (0, 1, 9):
        records, compressed, size = compressed_records(block, 7 * PAGE, 3, level)
        assert compressed == 2
        assert bytes(records[1]) == be64(8 * PAGE | 0x22) + b"\0"
        for index in (0, 2):
            whole = bytes(records[index])
            assert whole[:8] == be64((7 + index) * PAGE | COMPRESS | 0x20)
            assert read(whole[8:]) == (pages[index], [])
            size -= len(whole) - 12
        assert size == 0


GOOD = zlib.compress(random.Random(1).randbytes(PAGE))
REFUSED = {
    "too long": (be32(LONGEST + 1), ["Invalid compressed data length: 4111"], errno.EINVAL),
    "negative": (be32(0xFFFFFFFF), ["Invalid compressed data length: -1"], errno.EINVAL),
    "no zlib": (be32(4) + b"junk", ["decompress data failed"], errno.EIO),
    "half a page": (
        be32(len(half := zlib.compress(bytes(2048)))) + half,
        ["decompress data failed"],
        errno.EIO,
    ),
    "a bomb": (
        be32(len(bomb := zlib.compress(bytes(2 * MIB)))) + bomb,
        ["decompress data failed"],
        errno.EIO,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_page_is_refused(name: str) -> None:
    data, said, errno_value = REFUSED[name]
    reports: list[str] = []
    with pytest.raises(StreamError) as refused:
        read_compressed(QEMUFileReader(Bytes(data)), reports.append)
    assert (reports, refused.value.errno_value) == (said, errno_value)


def test_a_page_cut_anywhere_is_refused() -> None:
    whole = be32(len(GOOD)) + GOOD
    for size in (*range(20), *range(20, len(whole), 97), len(whole) - 1):
        with pytest.raises(StreamError):
            read(whole[:size])


@pytest.mark.parametrize(("first", "second"), [("hmp", "qemu"), ("qemu", "hmp"), ("hmp", "hmp")])
def test_memory_goes_along_compressed(first: str, second: str, start: Programs) -> None:
    data = os.urandom(MIB) + b"text " * (MIB // 4) + bytes(MIB)
    (start.folder / "ram.bin").write_bytes(data)
    source = start(first, "-device", "loader,file=ram.bin,addr=0x1000,force-raw=on")
    target = start(second, "-incoming", "unix:socket")
    for session in (source, target):
        assert session("migrate_set_capability compress on") == ""
    assert source("migrate -d unix:socket") == ""
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: has_arrived(target))
    memory = start.memory(target)
    assert memory[PAGE : PAGE + len(data)] == data
    assert not any(memory[PAGE + len(data) :])
    assert len(memory) == MEGABYTES * MIB
    assert source.stderr() + target.stderr() == ""
    counts = dict(re.findall(r"^(.*): (\d+)", source("info migrate"), re.M))
    assert int(counts["compression pages"]) > 500
    assert int(counts["transferred ram"]) < 1400


@pytest.mark.parametrize("name", ["too long", "negative"])
def test_the_real_program_refuses_it_in_the_same_words(
    name: str, qemu: str, tmp_path: Path
) -> None:
    data, said, errno_value = REFUSED[name]
    page = be64(COMPRESS) + b"\3ram" + data
    stream = START + ram_start() + part(page)
    options = ["-m", "1", "-global", "migration.x-compress=on"]
    arrival = incoming(qemu, tmp_path, stream, options)
    failed = f"load of migration failed: {os.strerror(errno_value)}"
    assert arrival.reports == [*said, SECTION_RAM, failed]
