import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.raw import RawNode
from hmp.tools.dump import dump_lines, transfer_text
from hmp.tools.io import COMMANDS, IoTarget, run

MEBIBYTE = 1 << 20
# Times and rates differ from run to run. QEMU doesn't start the clock of `aio_write -z`, so its
# time may have hours.
TIME = re.compile(r"(?m) ops; [\d:.]+(?: sec)? \(.*\)$")
TERSE_TIME = re.compile(r"(?m)^(\d+,\d+),[\d:.]+,[\d.]+,[\d.]+$")


class Answer(NamedTuple):
    out: str
    err: str
    went_well: bool


def without_times(text: str) -> str:
    return TERSE_TIME.sub(r"\1,<time>", TIME.sub(" ops; <time>", text))


def real_answer(qemu_io: str, folder: Path, image: Path, form: str, *lines: str) -> Answer:
    """What qemu-io answers; `form` is the format, with a `-r` behind it for read-only."""
    options = [word for line in lines for word in ("-c", line)]
    done = subprocess.run(
        [qemu_io, "-f", *form.split(), *options, image.name],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    texts = [
        without_times(data.decode("utf-8", "surrogateescape"))
        for data in (done.stdout, done.stderr)
    ]
    return Answer(*texts, done.returncode == 0)


def our_answer(image: Path, form: str, *lines: str) -> Answer:
    """The same of ours, with reports worded as a program words them."""
    out: list[str] = []
    err: list[str] = []
    driver, *read_only = form.split()
    graph = Graph(err.append)
    node = graph.open_image(str(image), driver=driver, read_only=bool(read_only), cache=CacheMode())
    went_well = True
    for line in lines:
        went_well &= run(
            line,
            IoTarget(node),
            out.append,
            err.append,
            lambda text: err.append(f"qemu-io: {text}\n"),
            sleep=lambda seconds: None,
        )
    graph.close()
    return Answer(without_times("".join(out)), without_times("".join(err)), went_well)


@pytest.fixture(scope="session")
def originals(
    qemu_img: str, qemu_io: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A raw disk full of different bytes and a qcow2 one with two clusters, of 1 MiB each."""
    folder = tmp_path_factory.mktemp("originals")
    raw, qcow2 = folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(bytes((i * 7 + i // 256) & 255 for i in range(MEBIBYTE)))
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", qcow2, "1M"], check=True)
    fill = [qemu_io, "-c", "write -q -P 1 64k 100k", qcow2]
    subprocess.run(fill, check=True)
    return {"raw": raw, "qcow2": qcow2}


@pytest.fixture
def disk(originals: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Makes a copy of an original."""

    def copy(driver: str) -> Path:
        return Path(shutil.copy(originals[driver], tmp_path / f"ours.{driver}"))

    return copy


@pytest.fixture
def node(disk: Callable[[str], Path]) -> Iterator[BlockNode]:
    graph = Graph(pytest.fail)
    yield graph.open_image(str(disk("raw")), driver="raw", read_only=False, cache=CacheMode())
    graph.close()


READS = """
read|read 0|read 0 512 512|read 0 512|r 0 512|read 1M 0|read 2M 0|read 0 0|read 1M 512
read -v 5 40|read -v 0 3|read -v 0x100 257|read -Cv 0 16|read -qv 0 16|read -C 0 512
read -q 0 512|read -Cq 0 512|read -p 0 512|read -a 0 512|read -Z 0 512|r -Z 0 1|read --foo 0 1
read -- 0 512|read 0 512 -v|read 0 -- 512|read - 0 1|read -: 0 1|read -é 0 1|read -vP0 0 4
read -P 5 0 512|read -P 0 0 1|read -P0 0 1|read -P -v 0 1|read 0 512 -P|read -qP 1 0 16
read -P 300 0 512|read -P -1 0 512|read -P x 0 512|read -P 0x 0 512|read -P 010 0 512
read -P 08 0 1|read -P +7 1 1|read -P 99999999999999999999 0 1|read -P 0b1 0 1
read -s 0 0 512|read -l 5 0 512|read -l 5 x 512|read -l 5 0 3G|read -P 5 -s 512 0 512
read -P 5 -s 2 0 512|read -P 5 -s 2 -l 1000 0 512|read -P 0 -l 1 0 512|read -P 5 -s 600 0 512
read -P 7 -s 1 -l 1 0 512|read -P 5 -l 0 0 512|read -P 5 -s x 0 512|read -P zz -Z 0 5
read -b 1 512|read -b 0 3|read 1048575 512|read 0 2G|read 0 4G|read 0 2147483137|read x 5
read 0 1.5k|read 0 0x200|read 0 0x1k|read 0 1b|read 0 1kb|read 0 1e3|read 0 .5k|read 0 1.k
read 8E 1|read 9E 1|read 7E 1|read 99999999999999999999 0|read 99999999999999999999k 0|read 1e 0
read -- -1 512|read 0 -1|read 0 1.5|read 0 0x1.5|read '0' 512|read "0" 512|read\t0 512
readv|readv 0|readv 0 512|readv 0 512 1k 3|readv -v 0 8 8|readv -P 3 0 5 5|readv -Pz 0 5
readv 0 5 x|readv 0 2G|readv 0 1G 1G|readv 0 512 0|readv -q 0 512|readv -C 0 512 512|readv -v 0
readv -s 0 512|readv 1M 512|readv - 1
aio_read|aio_read 0 512|aio_read -v 0 8 8|aio_read -P 3 0 5 5|aio_read -i 0 5|aio_read -i x 5
aio_read 1M 5|aio_read x 5|aio_read -C 0 5|aio_read -q 0 5|aio_read -z 0 5|aio_read 0 2G
"""
WRITES = """
write|write 0|write 0 512 512|write 0 512|w 0 512|write 1M 512|write 1023.5k 1k|write 1M 0
write -P 256 0 1|write -P 255 0 1|write -P 0x0f 5 1000|write -z 0 512|write -z 1 5|write -zu 0 64k
write -zP 3 0 512|write -z -P x 0 5|write -u 0 512|write -n 0 512|write -nu 0 5|write -fu 0 5
write -c 1 512|write -c 0 3|write -cf 0 512|write -b 1 512|write -bz 0 512|write -bf x 5
write -f 0 512|write -q 0 512|write -C 0 512|write -p 0 512|write -s nofile 0 512|write -s . 0 5
write -s source 3 1000|write -s source 0 5|write -s empty 0 5|write -s source -P 3 0 512
write -s nofile x 5|write -v 0 512|write 0 2147483137|write -z 0 3G|write -zn 0 3G|write -P
write -cz 0 512|write -fz 0 512|write -zs source 0 5|write -s source 0 0
writev|writev 0 512 512|writev -P 7 0 5 5|writev -f 0 5|writev 1M 5|writev 0 x|writev -qC 0 5
writev -z 0 5|writev 0 2G|writev 0 5 5 5 x
aio_write|aio_write 0 512|aio_write -P 9 0 512 512|aio_write -z 0 512|aio_write -z 0 512 512
aio_write -zP 3 0 512|aio_write -u 0 512|aio_write -zu 0 512|aio_write -i 0 512|aio_write -f 0 512
aio_write 1M 512|aio_write -q 0 5|aio_write -C 0 5|aio_write -z 0 3G|aio_write -z x 5|aio_write -z 0
discard|discard 0|discard 0 1 2|discard 1M 512|discard -q 0 512|discard -C 0 512|discard x 5
discard 0 64k|discard 0 2G|discard -z 0 5|discard 0 0|d 0 512
"""
OTHERS = """
||  |#x|bogus|bogus 1 2|length|l|length 1| length |flush|f|flush 1|aio_flush|aio_flush 1|info|i
info 1|help ?|? read|help read|help r|help bogus|help a b|? x y|help write|help writev|help readv
help aio_read|help aio_write|help discard|help reopen|help sigraise|help sleep|help abort|help info
truncate|truncate x|truncate -m bogus 2M|truncate -x 2M|truncate -m|truncate -- -1|truncate 9E
truncate -m off x|truncate x -m off|truncate -moff x|truncate 1 2 3 4
reopen|reopen -w|reopen -rw|reopen -c bogus|reopen -Z|reopen -o|reopen -o foo=1|reopen x
sleep|sleep x|sleep 0x1|sleep 08|sleep -1|sleep 1 2|sleep 1k|sigraise|sigraise 0|sigraise 65
sigraise 66|sigraise x|abort 1|break a b|break a|remove_break a|resume a|resume|wait_break
"""
RAW_ONLY = (
    "alloc|alloc 0|alloc 5 5|alloc 1M|alloc 1048575 512|alloc 0 2M|alloc 2M|alloc x|map|map 1"
)
QCOW2 = """
read 0 512|read 1M 0|read 1M 512|read 2M 0|read -v 65530 16|read -P 1 64k 100k|read -P 0 64k 100k
read -P 0 164k 512|readv 60k 5k 5k|aio_read -C 0 1M|write 0 512|write 1M 512|write 1M 0
write -P 9 60k 200k|write -f 5 5|write -z 0 1M|write -z 70k 512|write -c 1 512|write -s source 3 70k
writev 0 512 512|writev 1M 5|aio_write -z 64k 64k|aio_write 1M 5|discard 1M 512|discard 0 0
length|info|flush|aio_flush|reopen|truncate x|write 512k 512k|write 1023.5k 1k|read 3T 0
write -zn 0 64k|write -zn 64k 128k|write -zn 4k 4k|alloc 0|alloc 64k|alloc 60k 200k|alloc 0 1M|map
"""
READ_ONLY = """
write 0 512|write 0|write x y|writev 0 512|aio_write 0 512|discard 0 512|truncate 2M|write -Z 0 4
read 0 4|reopen -r|flush
"""


def lines_of(*tables: str) -> list[str]:
    return [
        line for table in tables for row in table.strip("\n").split("\n") for line in row.split("|")
    ]


CASES = [
    *[("raw", line) for line in lines_of(READS, WRITES, OTHERS, RAW_ONLY)],
    *[("qcow2", line) for line in lines_of(QCOW2)],
    *[("raw -r", line) for line in lines_of(READ_ONLY)],
]


@pytest.mark.parametrize(("form", "line"), CASES)
def test_a_line_is_answered_as_by_qemu_io(
    qemu_io: str,
    qemu_img: str,
    disk: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    line: str,
) -> None:
    driver = form.split()[0]
    (tmp_path / "source").write_bytes(b"ab cd" * 70)
    (tmp_path / "empty").touch()
    ours = disk(driver)
    theirs = Path(shutil.copy(ours, tmp_path / f"theirs.{driver}"))
    monkeypatch.chdir(tmp_path)
    wanted = real_answer(qemu_io, tmp_path, theirs, form, line)
    assert our_answer(ours, form, line) == wanted
    # A program's discard reaches the file, the monitor's doesn't.
    if line.split()[:1] in (["discard"], ["d"]):
        return
    if driver == "raw":
        assert ours.read_bytes() == theirs.read_bytes()
    else:
        subprocess.run([qemu_img, "compare", "-q", ours, theirs], check=True)


def test_there_are_more_than_a_hundred_lines_to_compare() -> None:
    assert len(CASES) > 300


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_what_a_session_wrote_is_read_back_and_is_what_qemu_io_wrote(
    qemu_io: str, qemu_img: str, disk: Callable[[str], Path], tmp_path: Path, driver: str
) -> None:
    ours = disk(driver)
    theirs = Path(shutil.copy(ours, tmp_path / f"theirs.{driver}"))
    lines = [
        "write -P 0x5a 100k 300k",
        "writev -P 7 120k 1k 3 5",
        "read -v 122875 16",
        "write -z 200k 64k",
        "read -P 0 200k 64k",
        "aio_write -P 8 1023k 512 512",
        "aio_flush",
        "read -P 8 1023k 1k",
        "read -P 8 1022k 2k",
        "flush",
        "length",
    ]
    wanted = real_answer(qemu_io, tmp_path, theirs, driver, *lines)
    assert our_answer(ours, driver, *lines) == wanted
    subprocess.run([qemu_img, "compare", "-q", ours, theirs], check=True)
    if driver == "qcow2":
        subprocess.run([qemu_img, "check", "-q", ours], check=True)


def test_help_lists_what_qemu_io_lists_but_the_words_of_the_program(
    qemu_io: str, disk: Callable[[str], Path], tmp_path: Path
) -> None:
    image = disk("raw")
    listed = real_answer(qemu_io, tmp_path, image, "raw", "help").out.splitlines()
    own = ("close", "open", "quit")
    wanted = [line for line in listed if line.split(" ")[0] not in own]
    assert len(wanted) == len(listed) - len(own)
    assert our_answer(image, "raw", "help").out.splitlines() == wanted


# Measured with qemu-io over a clock that gave exactly these times.
@pytest.mark.parametrize(
    ("size", "elapsed_ns", "shown"),
    [
        (512, 1, "512 bytes, 1 ops; 00.00 sec (476.837 GiB/sec and 1000000000.0000 ops/sec)"),
        (512, 499_999, "512 bytes, 1 ops; 00.00 sec (1000.002 KiB/sec and 2000.0040 ops/sec)"),
        (512, 4_999_999, "512 bytes, 1 ops; 00.00 sec (100 KiB/sec and 200.0000 ops/sec)"),
        (512, 5_000_000, "512 bytes, 1 ops; 00.01 sec (100 KiB/sec and 200.0000 ops/sec)"),
        (512, 15_000_000, "512 bytes, 1 ops; 00.01 sec (33.333 KiB/sec and 66.6667 ops/sec)"),
        (512, 995_000_000, "512 bytes, 1 ops; 00.99 sec (514.572864 bytes/sec and 1.0050 ops/sec)"),
        (512, 999_999_999, "512 bytes, 1 ops; 01.00 sec (512 bytes/sec and 1.0000 ops/sec)"),
        (512, 10**9, "512 bytes, 1 ops; 0:00:01.00 (512 bytes/sec and 1.0000 ops/sec)"),
        (1024, 59_999_999_999, "1 KiB, 1 ops; 0:00:60.00 (17.066667 bytes/sec and 0.0167 ops/sec)"),
        (5, 3661 * 10**9, "5 bytes, 1 ops; 1:01:01.00 (0.001366 bytes/sec and 0.0003 ops/sec)"),
        (512, 36 * 10**14, "512 bytes, 1 ops; 1000:00:00.00 (0 bytes/sec and 0.0000 ops/sec)"),
        (0, 10**6, "0 bytes, 1 ops; 00.00 sec (0 bytes/sec and 1000.0000 ops/sec)"),
        (1025, 10**6, "1.001 KiB, 1 ops; 00.00 sec (1000.977 KiB/sec and 1000.0000 ops/sec)"),
        (10240, 1, "10 KiB, 1 ops; 00.00 sec (9.313 TiB/sec and 1000000000.0000 ops/sec)"),
        (1048575, 10**6, "1023.999 KiB, 1 ops; 00.00 sec (999.999 MiB/sec and 1000.0000 ops/sec)"),
        (512, 0, "512 bytes, 1 ops; 00.00 sec (inf EiB/sec and inf ops/sec)"),
    ],
)  # fmt: skip
def test_times_and_rates_are_worded_as_by_qemu_io(size: int, elapsed_ns: int, shown: str) -> None:
    heading, line = transfer_text("wrote", 7, size, elapsed_ns, terse=False).splitlines()
    assert heading == f"wrote {size}/{size} bytes at offset 7"
    assert line == shown


@pytest.mark.parametrize(
    ("elapsed_ns", "shown"),
    [
        (999, "512,1,0:00:00.00,512512512.513,1001001.001\n"),
        (9_999_999, "512,1,0:00:00.01,51200.005,100.000\n"),
        (1_234_567_890, "512,1,0:00:01.23,414.720,0.810\n"),
        (3_661_987_654_321, "512,1,1:01:01.99,0.140,0.000\n"),
        (0, "512,1,0:00:00.00,inf,inf\n"),
    ],
)
def test_terse_times_and_rates_are_worded_as_by_qemu_io(elapsed_ns: int, shown: str) -> None:
    assert transfer_text("read", 0, 512, elapsed_ns, terse=True) == shown


def test_a_transfer_is_timed_with_the_clock_that_was_given(node: BlockNode) -> None:
    ticks = iter([1_000, 12_346_678])
    out: list[str] = []
    assert run("read 0 512", IoTarget(node), out.append, pytest.fail, clock_ns=lambda: next(ticks))
    assert "512 bytes, 1 ops; 00.01 sec (40.500 KiB/sec and 81.0000 ops/sec)\n" in "".join(out)


def test_offsets_beyond_4_gib_make_the_dump_wider() -> None:
    assert list(dump_lines(b"Az09 ~\xe9", (1 << 32) + 1)) == [
        "100000001:  41 7a 30 39 20 7e e9  Az09...\n"
    ]


def test_a_long_read_is_verified_and_dumped_across_pieces(tmp_path: Path) -> None:
    image = tmp_path / "long.raw"
    image.write_bytes(b"\x01" * (2 * MEBIBYTE + 512))
    good = our_answer(image, "raw", "read -P 1 -s 3 3 2097149")
    assert good.went_well
    with image.open("r+b") as file:
        file.seek(MEBIBYTE + 5)
        file.write(b"\x02")
    assert our_answer(image, "raw", "read -P 1 -s 3 3 2097149").out.startswith(
        "Pattern verification failed at offset 6, 2097146 bytes\nread 2097149/2097149 bytes"
    )
    dump = our_answer(image, "raw", f"read -v {MEBIBYTE - 3} 1048600").out
    assert "\n00100000d:" not in dump
    assert "\n0010000d:  01 01" in dump
    assert "000ffffd:  01 01 01 01 01 01 01 01 02 01" in dump


# QEMU's monitor, asked about an empty CD drive; it doesn't survive `info`, `alloc` and `reopen`.
@pytest.mark.parametrize(
    ("line", "shown", "went_well"),
    [
        ("read 0 512", "read failed: No medium found\n", False),
        ("read 0 0", "read failed: No medium found\n", False),
        ("readv 0 512", "readv failed: No medium found\n", False),
        ("aio_read 0 512", "readv failed: No medium found\n", True),
        ("write 0 512", "write failed: No medium found\n", False),
        ("write -z 0 5", "write failed: No medium found\n", False),
        ("aio_write 0 512", "aio_write failed: No medium found\n", True),
        ("discard 0 0", "discard failed: No medium found\n", False),
        ("length", "getlength: No medium found\n", False),
        ("map", "Failed to query image length: No medium found\n", False),
        ("truncate 5", "No medium inserted\n", False),
        ("flush", "", True),
        ("info", "No medium found\n", False),
        ("alloc 0", "is_allocated failed: No medium found\n", False),
        ("reopen", "No medium found\n", False),
    ],
)
def test_a_drive_without_medium_is_told_apart(line: str, shown: str, went_well: bool) -> None:
    out: list[str] = []
    assert run(line, IoTarget(None), out.append, pytest.fail) == went_well
    assert "".join(out) == shown


def test_the_monitor_shows_reports_and_not_what_goes_to_stderr(node: BlockNode) -> None:
    out: list[str] = []
    err: list[str] = []
    node.read_only = True
    for line in ("write 0 512", "read -q 0 0x1k", "bogus"):
        run(line, IoTarget(node), out.append, err.append)
    assert "".join(out) == (
        "Block node is read-only\n"
        "warning: Using a multiplier suffix on hex numbers is deprecated: 0x1k\n"
    )
    assert err == ['command "bogus" not found\n']


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("read -b 0 512", "read failed: Operation not supported\n"),
        ("write -b 0 512", "write failed: Operation not supported\n"),
        ("reopen -r", "qemu-io: The options of an open image can't be changed here\n"),
        ("reopen -c none", "qemu-io: The options of an open image can't be changed here\n"),
        ("wait_break a", "Could not wait for a: Operation not supported\n"),
    ],
)
def test_what_nodes_can_not_do_is_refused_and_changes_nothing(
    disk: Callable[[str], Path], line: str, reason: str
) -> None:
    image = disk("qcow2")
    before = image.read_bytes()
    answer = our_answer(image, "qcow2", line)
    assert answer.out + answer.err == reason
    assert not answer.went_well
    assert image.read_bytes() == before


def test_discard_keeps_the_bytes_as_a_drive_without_discard_does(
    disk: Callable[[str], Path],
) -> None:
    image = disk("raw")
    before = image.read_bytes()
    assert our_answer(image, "raw", "discard 0 64k").went_well
    assert image.read_bytes() == before


class CountingNode(RawNode):
    """Raw, and counts its flushes."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        super().flush()


@pytest.mark.parametrize(
    ("line", "flushes", "flushes_without_cache"),
    [
        ("write 0 512", 0, 1),
        ("write -f 0 512", 1, 1),
        ("write -zf 0 512", 1, 1),
        ("writev -f 0 512", 1, 1),
        ("aio_write -z 0 512", 0, 1),
        ("aio_write -f 0 512", 1, 1),
        ("flush", 1, 1),
        ("aio_flush", 0, 0),
        ("read 0 512", 0, 0),
    ],
)
def test_a_flush_follows_a_write_that_asks_for_it_or_has_no_cache(
    node: BlockNode, line: str, flushes: int, flushes_without_cache: int
) -> None:
    assert node.file is not None
    for write_through, wanted in ((False, flushes), (True, flushes_without_cache)):
        counting = CountingNode("counting", node.file, read_only=False, cache=CacheMode())
        target = IoTarget(counting, write_through=write_through)
        assert run(line, target, lambda text: None, pytest.fail)
        assert counting.flushes == wanted


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("1500", [1.5]),
        ("0x10", [0.016]),
        ("9223372036854", [1e9]),
        ("9223372036855", []),  # a time past 64 bits is over at once
        ("99999999999999999999999", []),
    ],
)
def test_sleep_waits_as_long_as_it_was_told(typed: str, seconds: list[float]) -> None:
    waited: list[float] = []
    assert run(f"sleep {typed}", IoTarget(None), pytest.fail, pytest.fail, sleep=waited.append)
    assert waited == seconds


@pytest.mark.parametrize(
    ("line", "signal"), [("abort", 6), ("sigraise 15", 15), ("sigraise 64", 64)]
)
def test_a_signal_ends_the_program(line: str, signal: int) -> None:
    program = f"from hmp.tools.io import IoTarget, run; run({line!r}, IoTarget(None), print, print)"
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert done.returncode == -signal


def test_every_command_answers_to_its_own_name_alone() -> None:
    names = [name for command in COMMANDS for name in (command.name, command.alias) if name]
    assert len(names) == len(set(names))
