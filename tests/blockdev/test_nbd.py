"""The nbd driver over the real `qemu-nbd`, and over servers that break the protocol."""

import errno
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.nbd import NbdNode, open_nbd
from blockdev.node import CacheMode
from blockdev.status import DATA, ZERO, status
from tests.nbd import RealServer, ScriptedServer

Serve = Callable[..., RealServer]

KIB, MIB = 1 << 10, 1 << 20
SIZE = 8 * MIB
GREETING = struct.pack(">QQH", nbd.INITIAL_MAGIC, nbd.OPTION_MAGIC, 3)


def open_url(url: str, *, read_only: bool = False) -> NbdNode:
    graph = Graph(print)
    return open_nbd(
        graph, None, url, read_only=read_only, cache=CacheMode(), may_be_read_only=False
    )


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def server(serve: Serve, disk: Path, tmp_path: Path) -> RealServer:
    return serve(disk, "-f", "raw", "--discard=unmap")


def test_what_is_written_is_in_the_file(server: RealServer, disk: Path) -> None:
    node = open_url(server.url)
    model = bytearray(SIZE)
    draw = random.Random(8)
    for step in range(200):
        offset = draw.randrange(SIZE)
        size = draw.randrange(min(SIZE - offset, 300 * KIB) + 1)
        if step % 4 == 3:
            node.write_zeroes(offset, size, may_unmap=step % 8 == 3)
            model[offset : offset + size] = bytes(size)
        else:
            data = draw.randbytes(size)
            node.write(offset, [data[: size // 3], data[size // 3 :]])
            model[offset : offset + size] = data
        offset = draw.randrange(SIZE)
        size = draw.randrange(100 * KIB)
        expected = bytes(model[offset : offset + size]).ljust(size, b"\0")
        assert node.read(offset, size) == expected
    node.flush()
    node.close()
    assert disk.read_bytes() == model


def test_holes_are_told_from_data(server: RealServer) -> None:
    node = open_url(server.url)
    node.write(MIB, [b"x" * MIB])
    found = []
    offset = 0
    while offset < SIZE:
        answer = status(node, offset, SIZE - offset)
        found.append((offset, answer.length, answer.flags & (DATA | ZERO)))
        offset += answer.length
    assert found == [(0, MIB, ZERO), (MIB, MIB, DATA), (2 * MIB, 6 * MIB, ZERO)]
    node.close()


def test_requests_larger_than_one_may_be(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "large.raw"
    size = nbd.MAX_PAYLOAD + 3 * MIB
    path.write_bytes(bytes(size))
    server = serve(path, "-f", "raw")
    node = open_url(server.url)
    data = random.Random(1).randbytes(size - 10)
    node.write(7, [data[:MIB], data[MIB:]])
    assert node.read(7, len(data)) == data
    node.close()
    server.stop()
    assert path.read_bytes() == bytes(7) + data + bytes(3)


def test_an_export_has_a_fixed_size(server: RealServer) -> None:
    node = open_url(server.url)
    for refused in (
        lambda: node.truncate(SIZE + 1),
        lambda: node.write(SIZE - 1, [b"xy"]),
        lambda: node.write_zeroes(SIZE - 512, 1024),
    ):
        with pytest.raises(QemuError, match="Cannot grow NBD nodes") as error:
            refused()
        assert error.value.errno_value == errno.EINVAL
    node.truncate(SIZE // 2)
    assert node.size == SIZE
    node.close()


def test_an_export_that_is_only_read(serve: Serve, disk: Path, tmp_path: Path) -> None:
    server = serve(disk, "-f", "raw", "-r")
    with pytest.raises(QemuError, match=r"^Could not open image: Permission denied$"):
        open_url(server.url)
    node = open_url(server.url, read_only=True)
    assert node.read(0, 512) == bytes(512)
    with pytest.raises(QemuError, match="Can't reopen read-only mount as read/write"):
        node.reopen(read_only=False)
    node.close()
    server.stop()


def test_no_such_export(server: RealServer) -> None:
    with pytest.raises(QemuError) as refused:
        open_url(server.url.replace("disk", "nope"))
    said = "Requested export not available\nserver reported: export 'nope' not present"
    assert str(refused.value) == said


def test_a_server_that_dies_and_comes_back(server: RealServer) -> None:
    node = open_url(server.url)
    node.write(0, [b"kept"])
    server.stop()
    for _ in range(2):
        with pytest.raises(QemuError, match=r"^Input/output error$"):
            node.read(0, 512)
    server.start()
    assert node.read(0, 4) == b"kept"
    node.close()


def test_another_disk_in_its_place_is_not_written(server: RealServer, disk: Path) -> None:
    node = open_url(server.url)
    server.stop()
    with disk.open("r+b") as file:
        file.truncate(SIZE - MIB)
    server.start()
    with pytest.raises(QemuError, match=r"^Input/output error$"):
        node.write(0, [b"lost"])
    server.stop()
    assert disk.read_bytes() == bytes(SIZE - MIB)


# --- servers that are none


def _reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", nbd.OPTION_REPLY_MAGIC, option, kind, len(data)) + data


UNSTRUCTURED = [GREETING, _reply(nbd.OPT_STRUCTURED_REPLY, nbd.REP_ERR_UNSUP)]


def _export(size: int = SIZE, blocks: tuple[int, int, int] = (1, 4096, 1 << 20)) -> bytes:
    go = nbd.OPT_GO
    return (
        _reply(go, nbd.REP_INFO, struct.pack(">HIII", nbd.INFO_BLOCK_SIZE, *blocks))
        + _reply(go, nbd.REP_INFO, struct.pack(">HQH", nbd.INFO_EXPORT, size, 1))
        + _reply(go, nbd.REP_ACK)
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            [b""],
            "Failed to read initial magic: Unexpected end-of-file before all data were read",
        ),
        ([b"x" * 18], "Bad initial magic received: 0x7878787878787878"),
        ([b"NBDMAGIC" + b"y" * 10], "Bad server magic received: 0x7979797979797979"),
        ([GREETING, b"z" * 20], "Unexpected option reply magic"),
        (
            [GREETING, _reply(9, 1)],
            "Unexpected option type 9 (list meta context), expected 8 (structured reply)",
        ),
        (
            [GREETING, _reply(8, 1)[:-4] + b"\x7f\xff\xff\xff"],
            "Option 8 ('structured reply') response length is 2147483647 (it should be zero)",
        ),
        (
            [*UNSTRUCTURED, _reply(nbd.OPT_GO, nbd.REP_ERR_INVALID, b"bad")],
            "Invalid parameters for option 7 (go)\nserver reported: bad",
        ),
        (
            [*UNSTRUCTURED, _reply(nbd.OPT_GO, nbd.REP_INFO)[:-4] + b"\xff\xff\xff\xff"],
            "server error 0x3 (go) message is too long",
        ),
        ([*UNSTRUCTURED, _reply(nbd.OPT_GO, 1)], "broken server omitted NBD_INFO_EXPORT"),
        ([*UNSTRUCTURED, _export(1 << 63)], "export length is too large"),
        (
            [*UNSTRUCTURED, _export(blocks=(3, 4096, 4096))],
            "server minimum block size 3 is not a power of two",
        ),
        (
            [*UNSTRUCTURED, _export(blocks=(512, 4096, 0))],
            "server maximum block size 0 is not valid",
        ),
    ],
)
def test_a_handshake_that_fails(answers: list[bytes], said: str, tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, answers)
    with pytest.raises(QemuError) as refused:
        open_url(server.url)
    server.join()
    assert str(refused.value) == said


def test_the_oldest_way_to_choose_an_export(tmp_path: Path) -> None:
    answers = [
        *UNSTRUCTURED,
        _reply(nbd.OPT_GO, nbd.REP_ERR_UNSUP),
        struct.pack(">QH", SIZE, 1),
        struct.pack(">IIQ", nbd.SIMPLE_REPLY_MAGIC, 0, 1) + b"data",
    ]
    server = ScriptedServer(tmp_path, answers)
    node = open_url(server.url)
    assert node.size == SIZE
    assert node.read(0, 4) == b"data"
    node.close()
    server.join()


STRUCTURED = [
    GREETING,
    _reply(nbd.OPT_STRUCTURED_REPLY, nbd.REP_ACK),
    _reply(nbd.OPT_SET_META_CONTEXT, nbd.REP_ACK),
    _export(),
]


def _chunk(kind: int, data: bytes, *, handle: int = 1, last: bool = True) -> bytes:
    return struct.pack(">IHHQI", nbd.STRUCTURED_REPLY_MAGIC, last, kind, handle, len(data)) + data


OFFSET_DATA, OFFSET_HOLE = nbd.CHUNK_OFFSET_DATA, nbd.CHUNK_OFFSET_HOLE
HOLE = struct.pack(">QI", 4, 4)


def test_chunks_make_up_what_was_asked_for(tmp_path: Path) -> None:
    chunks = _chunk(OFFSET_HOLE, HOLE, last=False) + _chunk(OFFSET_DATA, bytes(8) + b"abcd")
    server = ScriptedServer(tmp_path, [*STRUCTURED, chunks])
    node = open_url(server.url)
    assert node.read(0, 8) == b"abcd\0\0\0\0"
    node.close()
    server.join()


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack(">IIQ", nbd.SIMPLE_REPLY_MAGIC, 0, 1) + bytes(8),
        struct.pack(">IIQ", nbd.SIMPLE_REPLY_MAGIC, 5, 2),
        _chunk(OFFSET_DATA, bytes(8) + b"abcd"),
        _chunk(OFFSET_DATA, bytes(8) + b"abcdefghi"),
        _chunk(OFFSET_DATA, struct.pack(">Q", (1 << 64) - 1) + b"a"),
        _chunk(OFFSET_DATA, bytes(8) + b"abcdefgh", handle=9),
        _chunk(OFFSET_HOLE, struct.pack(">QI", 0, 0xFFFFFFFF)),
        _chunk(nbd.CHUNK_ERROR, b"\0\0"),
        _chunk(nbd.CHUNK_ERROR, bytes(6)),
        _chunk(nbd.CHUNK_NONE, b"", last=False) * 3,
        _chunk(nbd.CHUNK_BLOCK_STATUS, bytes(12)),
        _chunk(OFFSET_DATA, b"")[:-4] + b"\xff\xff\xff\xff",
        b"",
    ],
)
def test_a_reply_that_is_none_is_one_error(answer: bytes, tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, [*STRUCTURED, answer])
    node = open_url(server.url)
    with pytest.raises(QemuError, match=r"^Input/output error$"):
        node.read(0, 8)
    node.close()
    server.join()


def test_a_part_of_a_block_has_a_status_all_the_same(tmp_path: Path) -> None:
    context = struct.pack(">I", 7) + nbd.ALLOCATION
    option = nbd.OPT_SET_META_CONTEXT
    meta = _reply(option, nbd.REP_META_CONTEXT, context) + _reply(option, nbd.REP_ACK)
    answers = [*STRUCTURED[:2], meta, _export(blocks=(512, 4096, 1 << 20))]
    extent = _chunk(nbd.CHUNK_BLOCK_STATUS, struct.pack(">III", 7, 1, 3))
    server = ScriptedServer(tmp_path, [*answers, extent])
    node = open_url(server.url)
    found = node.own_status(100, 5000, wants_zeros=True, in_slices=False)
    assert (found.length, found.flags & (DATA | ZERO)) == (412, DATA)
    node.close()
    server.join()


def test_blocks_are_read_and_written_whole(tmp_path: Path) -> None:
    answers = [*STRUCTURED[:3], _export(blocks=(512, 4096, 1 << 20))]
    first = _chunk(OFFSET_DATA, bytes(8) + b"a" * 512)
    last = _chunk(OFFSET_DATA, struct.pack(">Q", 512) + b"b" * 512, handle=2)
    done = _chunk(nbd.CHUNK_NONE, b"", handle=3)
    server = ScriptedServer(tmp_path, [*answers, first, last, done])
    node = open_url(server.url)
    node.write(500, [b"x" * 24])
    node.close()
    server.join()
    request = server.heard[-28 - 1024 - 28 : -28]  # what comes after it takes leave
    _, _, command, _, offset, size = struct.unpack(">IHHQQI", request[:28])
    assert (command, offset, size) == (nbd.CMD_WRITE, 0, 1024)
    assert request[28:] == b"a" * 500 + b"x" * 24 + b"b" * 500


def test_an_error_of_the_servers_disk_leaves_the_connection(tmp_path: Path) -> None:
    full = _chunk(nbd.CHUNK_ERROR, struct.pack(">IH", 28, 3) + b"out")
    data = _chunk(OFFSET_DATA, bytes(8) + b"ok", handle=2)
    server = ScriptedServer(tmp_path, [*STRUCTURED, full, data])
    node = open_url(server.url)
    with pytest.raises(QemuError, match=r"^No space left on device$"):
        node.read(0, 2)
    assert node.read(0, 2) == b"ok"
    node.close()
    server.join()


@given(data=st.binary(max_size=60), count=st.integers(1, 4))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_noise_is_an_error_and_nothing_else(data: bytes, count: int, tmp_path: Path) -> None:
    server = ScriptedServer(tmp_path, [*STRUCTURED[:count], data])
    try:
        node = open_url(server.url)
        node.read(0, 8)
        node.close()
    except QemuError:
        pass
    server.join()
