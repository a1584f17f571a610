"""The server's side of a conversation, without a socket: whatever a client says is answered."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev import nbd_protocol as nbd
from blockdev.errors import QemuError
from blockdev.nbd_export import NbdExport
from blockdev.nbd_session import NbdSession
from blockdev.null import NullNode
from blockdev.status import DATA, BlockStatus

SIZE = 1 << 20
HELLO = struct.pack(">I", 3)


class Disk(NullNode):
    """A disk that reads as one letter, notes what is done to it, and fails at will."""

    def __init__(self) -> None:
        super().__init__("disk", "null-co", size=SIZE)
        self.calls: list[tuple[object, ...]] = []
        self.failure: QemuError | None = None

    def read(self, offset: int, size: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        return b"d" * size

    def own_status(self, offset, size, *, wants_zeros, in_slices) -> BlockStatus:
        return BlockStatus(DATA, size)

    def write(self, offset, buffers) -> None:
        self.calls.append(("write", offset, b"".join(buffers)))

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self.calls.append(("zeroes", offset, size, may_unmap))

    def discard(self, offset: int, size: int) -> None:
        self.calls.append(("discard", offset, size))

    def flush(self) -> None:
        self.calls.append(("flush",))


class Client:
    """Says things to a session, and hears what comes back."""

    def __init__(self, *, is_writable: bool = True) -> None:
        self.disk = Disk()
        export = NbdExport(
            "id", self.disk, name="disk", description="", is_writable=is_writable, drive=None
        )
        self.session = NbdSession(lambda: [export])
        self.is_greeted = False

    def __call__(self, data: bytes) -> bytes:
        self.session.feed(data)
        while self.session.step():
            pass
        output, self.session.output = self.session.output, []
        return b"".join(output)

    def greet(self) -> None:
        self(HELLO)
        self.is_greeted = True

    def option(self, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        answer = self(struct.pack(">QII", nbd.OPTION_MAGIC, option, len(data)) + data)
        found = []
        while answer:
            magic, replied, kind, size = struct.unpack_from(">QIII", answer)
            assert (magic, replied) == (nbd.OPTION_REPLY_MAGIC, option)
            found.append((kind, answer[20 : 20 + size]))
            answer = answer[20 + size :]
        return found

    def go(self, *, is_structured: bool = False) -> "Client":
        if not self.is_greeted:
            self.greet()
        if is_structured:
            assert self.option(nbd.OPT_STRUCTURED_REPLY) == [(nbd.REP_ACK, b"")]
        self.option(nbd.OPT_GO, struct.pack(">I4sH", 4, b"disk", 0))
        assert self.session.export is not None
        return self

    def request(
        self, command: int, offset: int, size: int, data: bytes = b"", flags: int = 0
    ) -> bytes:
        fields = (nbd.REQUEST_MAGIC, flags, command, 7, offset, size)
        return self(struct.pack(">IHHQQI", *fields) + data)


def simple(number: int) -> bytes:
    return struct.pack(">IIQ", nbd.SIMPLE_REPLY_MAGIC, number, 7)


def test_the_greeting_comes_unasked() -> None:
    assert Client()(b"") == b"NBDMAGICIHAVEOPT\0\3"


def test_what_a_client_is_told_of_an_export() -> None:
    client = Client()
    client.greet()
    assert client.option(nbd.OPT_LIST) == [(nbd.REP_SERVER, b"\0\0\0\4disk"), (nbd.REP_ACK, b"")]
    wanted = struct.pack(">I4sHH", 4, b"disk", 1, nbd.INFO_NAME)
    assert client.option(nbd.OPT_INFO, wanted) == [
        (nbd.REP_INFO, b"\0\1disk"),
        (nbd.REP_INFO, struct.pack(">HIII", nbd.INFO_BLOCK_SIZE, 1, 4096, 32 << 20)),
        (nbd.REP_INFO, struct.pack(">HQH", nbd.INFO_EXPORT, SIZE, 0xD6D)),
        (nbd.REP_ACK, b""),
    ]
    assert client.session.export is None


@pytest.mark.parametrize(
    ("option", "data", "kind", "said"),
    [
        (nbd.OPT_GO, b"\0\0\0\4nope\0\0", nbd.REP_ERR_UNKNOWN, b"export 'nope' not present"),
        (nbd.OPT_GO, b"\0\0\0\5nope\0\0", nbd.REP_ERR_INVALID, None),
        (nbd.OPT_GO, b"\xff\xff\xff\xff", nbd.REP_ERR_INVALID, None),
        (nbd.OPT_LIST, b"x", nbd.REP_ERR_INVALID, None),
        (nbd.OPT_STARTTLS, b"", nbd.REP_ERR_POLICY, b"TLS not configured"),
        (99, b"", nbd.REP_ERR_UNSUP, b"Unsupported option 99 (<unknown>)"),
        (nbd.OPT_SET_META_CONTEXT, b"", nbd.REP_ERR_INVALID, None),
    ],
)
def test_an_option_is_refused_and_the_talk_goes_on(
    option: int, data: bytes, kind: int, said: bytes | None
) -> None:
    client = Client()
    client.greet()
    ((got, text),) = client.option(option, data)
    assert got == kind
    assert text
    assert said in (None, text)
    assert client.go().session.export is not None


def test_requests() -> None:
    client = Client().go()
    assert client.request(nbd.CMD_READ, 5, 3) == simple(0) + b"ddd"
    assert client.request(nbd.CMD_WRITE, 8, 4, b"data", nbd.FUA) == simple(0)
    assert client.request(nbd.CMD_TRIM, 0, 512) == simple(0)
    assert client.request(nbd.CMD_WRITE_ZEROES, 0, 512) == simple(0)
    assert client.request(nbd.CMD_WRITE_ZEROES, 0, 512, flags=nbd.NO_HOLE) == simple(0)
    assert client.request(nbd.CMD_FLUSH, 0, 0) == simple(0)
    assert client.disk.calls == [
        ("write", 8, b"data"),
        ("flush",),
        ("discard", 0, 512),
        ("zeroes", 0, 512, True),
        ("zeroes", 0, 512, False),
        ("flush",),
    ]
    client.request(nbd.CMD_DISC, 0, 0)
    assert client.session.is_over


def test_what_can_not_be_has_its_error() -> None:
    client = Client().go()
    assert client.request(nbd.CMD_READ, SIZE, 1) == simple(22)
    assert client.request(nbd.CMD_WRITE, SIZE - 1, 2, b"xy") == simple(28)
    assert client.request(nbd.CMD_READ, 0, (32 << 20) + 1) == simple(22)
    assert client.request(nbd.CMD_BLOCK_STATUS, 0, 1) == simple(22)
    assert client.request(77, 0, 0) == simple(22)
    client.disk.failure = QemuError("no", 117)
    assert client.request(nbd.CMD_READ, 0, 1) == simple(22)
    client.disk.failure = QemuError("no")
    assert client.request(nbd.CMD_READ, 0, 1) == simple(5)
    assert client.disk.calls == []
    assert client.request(nbd.CMD_WRITE, 0, (32 << 20) + 1) == simple(22)
    assert client.session.is_over


def test_nobody_writes_what_is_only_read() -> None:
    client = Client(is_writable=False).go()
    for command in (nbd.CMD_WRITE, nbd.CMD_TRIM, nbd.CMD_WRITE_ZEROES):
        assert client.request(command, 0, 1, b"x" * (command == nbd.CMD_WRITE)) == simple(1)
    assert client.disk.calls == []


def test_structured_replies_and_the_state_of_blocks() -> None:
    client = Client()
    client.greet()
    client.option(nbd.OPT_STRUCTURED_REPLY)
    query = struct.pack(">I4sII", 4, b"disk", 1, len(nbd.ALLOCATION)) + nbd.ALLOCATION
    assert client.option(nbd.OPT_SET_META_CONTEXT, query) == [
        (nbd.REP_META_CONTEXT, bytes(4) + nbd.ALLOCATION),
        (nbd.REP_ACK, b""),
    ]
    client.option(nbd.OPT_GO, struct.pack(">I4sH", 4, b"disk", 0))
    head = struct.pack(">IHHQI", nbd.STRUCTURED_REPLY_MAGIC, 1, nbd.CHUNK_OFFSET_DATA, 7, 10)
    assert client.request(nbd.CMD_READ, 9, 2) == head + struct.pack(">Q", 9) + b"dd"
    head = struct.pack(">IHHQI", nbd.STRUCTURED_REPLY_MAGIC, 1, nbd.CHUNK_BLOCK_STATUS, 7, 12)
    assert client.request(nbd.CMD_BLOCK_STATUS, 0, 99) == head + struct.pack(">III", 0, 99, 0)
    refused = client.request(nbd.CMD_READ, SIZE, 1)
    assert refused[4:8] == struct.pack(">HH", 1, nbd.CHUNK_ERROR)
    assert refused[20:] == struct.pack(">IH", 22, 18) + b"operation past EOF"


def test_a_message_may_come_in_pieces() -> None:
    whole, pieces = Client(), Client()
    said = HELLO + struct.pack(">QII4x4sH", nbd.OPTION_MAGIC, nbd.OPT_GO, 10, b"", 0)
    said += struct.pack(">IHHQQI", nbd.REQUEST_MAGIC, 0, nbd.CMD_READ, 7, 0, 4)
    expected = whole(said)
    assert b"".join(pieces(said[at : at + 1]) for at in range(len(said))) == expected


@given(data=st.binary(max_size=200), start=st.sampled_from(["new", "greeted", "chosen"]))
@settings(max_examples=150, deadline=None)
def test_noise_never_is_more_than_an_answer(data: bytes, start: str) -> None:
    client = Client()
    if start != "new":
        client.greet()
    if start == "chosen":
        client.go(is_structured=len(data) % 2 == 0)
    client(data)
    assert client.session.is_over or not client.session.step()


@given(
    requests=st.lists(
        st.tuples(
            st.integers(0, 9), st.integers(0, SIZE + 1), st.integers(0, 4096), st.integers(0, 31)
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_each_request_has_one_reply(requests: list[tuple[int, int, int, int]]) -> None:
    client = Client().go()
    for command, offset, size, flags in requests:
        data = b"x" * size if command == nbd.CMD_WRITE else b""
        answer = client.request(command, offset, size, data, flags)
        if command == nbd.CMD_DISC:
            assert client.session.is_over
            return
        assert answer[:4] == struct.pack(">I", nbd.SIMPLE_REPLY_MAGIC)
        is_read = command == nbd.CMD_READ and answer[4:8] == bytes(4)
        assert len(answer) == 16 + (size if is_read else 0)
