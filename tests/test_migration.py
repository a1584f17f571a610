"""Migration to real QEMU and back, over every transport, and peers that fail."""

import os
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.programs import MEGABYTES, MIB, Programs, has_arrived, status, wait_until
from tests.session import Session

LOADER = ("-device", "loader,file=ram.bin,addr=0,force-raw=on")
SWITCHES = ("send-configuration", "send-section-footer", "store-global-state")
DIALECTS = {
    "modern": [],
    "plain": [
        *("-M", "none,suppress-vmdesc=on"),
        *(word for name in SWITCHES for word in ("-global", f"migration.{name}=off")),
    ],
}


@pytest.fixture
def ram(tmp_path: Path) -> bytes:
    """Random RAM with holes of zeros, and the file that the loader device takes it from."""
    data = bytearray(os.urandom(MEGABYTES * MIB))
    for begin, length in ((0, 4096), (5 * MIB, 2 * MIB), (len(data) - 8192, 4096)):
        data[begin : begin + length] = bytes(length)
    (tmp_path / "ram.bin").write_bytes(data)
    return bytes(data)


# --- the transports


def by_file(start: Programs, source: Session, name: str, *options: str) -> Session:
    assert source('migrate "exec:cat > stream"') == ""
    return start(name, *options, "-incoming", "exec:cat stream")


def by_socket(uri: str) -> Callable[..., Session]:
    def transport(start: Programs, source: Session, name: str, *options: str) -> Session:
        place = uri.format(port=random.randrange(20000, 30000))
        target = start(name, *options, "-incoming", place)
        assert not has_arrived(target)  # it listens by now
        assert source(f"migrate -d {place}") == ""
        return target

    return transport


def by_descriptor(start: Programs, source: Session, name: str, *options: str) -> Session:
    """A pair of sockets: one end is passed over the source's second monitor."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as monitor:
        target = start(
            name, *options, "-incoming", f"fd:{theirs.fileno()}", pass_fds=(theirs.fileno(),)
        )
        monitor.connect(str(start.folder / "monitor"))
        socket.send_fds(monitor, [b"getfd out\n"], [ours.fileno()])
        monitor.sendall(b"migrate -d fd:out\n")
        wait_until(lambda: has_arrived(target))
    return target


def by_deferred(start: Programs, source: Session, name: str, *options: str) -> Session:
    """The target is told only later where its state comes from."""
    target = start(name, *options, "-incoming", "defer")
    assert target("migrate_incoming unix:later") == ""
    assert source("migrate -d unix:later") == ""
    return target


TRANSPORTS = {
    "exec": by_file,
    "unix": by_socket("unix:socket"),
    "tcp": by_socket("tcp:127.0.0.1:{port}"),
    "tcp6": by_socket("tcp:[::1]:{port}"),
    "fd": by_descriptor,
    "defer": by_deferred,
}
SECOND_MONITOR = ("-monitor", "unix:monitor,server=on,wait=off")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_machine_goes_there_and_comes_back(
    dialect: str, transport: str, start: Programs, ram: bytes
) -> None:
    """From hmp to QEMU to hmp, each with the memory that the loader gave the first."""
    options = DIALECTS[dialect]
    travel = TRANSPORTS[transport]
    source = start("hmp", *options, *LOADER, *SECOND_MONITOR)
    there = travel(start, source, "qemu", *options)
    wait_until(lambda: has_arrived(there))
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: source("info status") == "VM status: paused (postmigrate)\n")
    assert there("info status") == "VM status: running\n"
    assert start.memory(there) == ram
    source.quit()
    there.quit()
    # QEMU has the same memory again, so that its stream doesn't depend on ours.
    there = start("qemu", *options, *LOADER, *SECOND_MONITOR)
    back = travel(start, there, "hmp", *options)
    wait_until(lambda: has_arrived(back))
    assert back("info status") == "VM status: running\n"
    assert start.memory(back) == ram
    assert back.stderr() == ""


def test_a_paused_machine_arrives_paused(start: Programs) -> None:
    for first, second in (("hmp", "qemu"), ("qemu", "hmp")):
        source = start(first)
        source("stop")
        target = TRANSPORTS["unix"](start, source, second)
        wait_until(lambda target=target: has_arrived(target))
        assert target("info status") == "VM status: paused\n"
        wait_until(lambda source=source: status(source) == "completed")
        assert "no block device" in source("info snapshots")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_guest_that_rewrites_pages_arrives_as_it_was_stopped(
    dialect: str, start: Programs, ram: bytes
) -> None:
    options = DIALECTS[dialect]
    guest = ("-device", "hmp-guest,pages-rate=3000")
    source = start("hmp", *options, *LOADER, *guest)
    source("migrate_set_parameter max-bandwidth 20M")
    there = TRANSPORTS["unix"](start, source, "qemu", *options, "-S")
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: has_arrived(there))
    left = start.memory(source)
    assert left != ram
    assert start.memory(there) == left
    counts = dict(re.findall(r"^(.*): (\d+)", source("info migrate"), re.M))
    sent = int(counts["normal"]) + int(counts["duplicate"])
    assert sent > MEGABYTES * MIB // 4096, "nothing was sent twice"
    # And back: the guest goes on from what it finds in memory.
    back = TRANSPORTS["unix"](start, there, "hmp", *options, *guest, "-S")
    wait_until(lambda: has_arrived(back))
    assert start.memory(back) == left
    back("cont")
    wait_until(lambda: start.memory(back) != left)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_of_zeros_is_qemus_byte_for_byte(dialect: str, start: Programs) -> None:
    streams = []
    for name in ("hmp", "qemu"):
        session = start(name, *DIALECTS[dialect])
        assert session(f'migrate "exec:cat > {name}"') == ""
        stream = bytearray((start.folder / name).read_bytes())
        # Both clocks have run: the section's two values differ.
        begin = stream.index(b"\x05timer\0\0\0\0\0\0\0\2") + 14
        ticks, unused, clock = struct.unpack_from(">QQQ", stream, begin)
        assert ticks > 0
        assert clock > 0
        assert not unused
        stream[begin : begin + 24] = bytes(24)
        streams.append(bytes(stream))
    assert streams[0] == streams[1]


# --- peers that fail


class Peer:
    """The other end of a Unix socket: takes so many bytes, then leaves or just stops reading."""

    def __init__(self, path: Path, takes: int) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._takes = takes
        self.connection: socket.socket | None = None

    def take(self) -> None:
        self.connection, _ = self._listener.accept()
        left = self._takes
        while left:
            left -= len(self.connection.recv(min(left, 1 << 16)))

    def leave(self) -> None:
        assert self.connection is not None
        self.connection.close()
        self._listener.close()


def without_name(text: str) -> str:
    return re.sub(r"(?m)^(hmp|qemu-system-x86_64): ", "", text)


@pytest.mark.parametrize("takes", [0, 1, 100, 1 << 20])
def test_a_peer_that_dies_is_one_error_in_qemus_words(
    takes: int, start: Programs, ram: bytes
) -> None:
    words = {}
    for name in ("hmp", "qemu"):
        peer = Peer(start.folder / f"{name}.socket", takes)
        session = start(name, *LOADER)
        session(f"migrate -d unix:{name}.socket")
        peer.take()
        peer.leave()
        wait_until(lambda session=session: status(session).startswith("failed"))
        wait_until(lambda session=session: "Unable" in session.stderr())
        assert session("info status") == "VM status: running\n"
        words[name] = status(session), without_name(session.stderr()).splitlines()[-1]
        assert start.memory(session) == ram
    reason = r"Unable to write to socket: (Broken pipe|Connection reset by peer)"
    for shown, said in words.values():
        assert re.fullmatch(rf"failed \({reason}\)", shown)
        # Two threads of QEMU may complain at once, their lines' beginnings mixed up.
        assert re.search(rf"(^|[ :]){reason}$", said)


def is_stuck(session: Session) -> bool:
    """Whether nothing leaves any more."""
    sent = []
    for _ in range(2):
        sent += re.findall("transferred ram: .*", session("info migrate"))
        time.sleep(0.1)
    return sent[0] == sent[1]


def test_a_stalled_migration_is_ended_by_cancelling(start: Programs, ram: bytes) -> None:
    for name in ("hmp", "qemu"):
        peer = Peer(start.folder / f"{name}.socket", 5000)
        session = start(name, *LOADER)
        session(f"migrate -d unix:{name}.socket")
        peer.take()
        assert status(session) == "active"
        wait_until(lambda session=session: is_stuck(session))
        assert session("migrate -d exec:true").startswith("Error: There's a migration process in")
        assert session("migrate_cancel") == ""
        wait_until(lambda session=session: status(session) == "cancelled")
        assert session("info status") == "VM status: running\n"
        wait_until(lambda session=session: session.stderr() != "")
        assert without_name(session.stderr()) == "Unable to write to socket: Broken pipe\n"
        peer.leave()
        # Another one is possible now.
        assert session('migrate "exec:cat > stream"') == ""
        assert status(session) == "completed"


def test_a_migration_that_waits_for_its_bandwidth_is_cancelled_without_a_word(
    start: Programs, ram: bytes
) -> None:
    # QEMU says nothing or something, depending on what it is at just then.
    peer = Peer(start.folder / "socket", 5000)
    session = start("hmp", *LOADER)
    session("migrate_set_parameter max-bandwidth 100k")
    session("migrate -d unix:socket")
    peer.take()
    assert session("migrate_cancel") == ""
    wait_until(lambda: status(session) == "cancelled")
    assert session.stderr() == ""
    peer.leave()


PAIRS = [("hmp", "qemu"), ("qemu", "hmp"), ("hmp", "hmp")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pause_before_the_switchover_lasts_until_it_is_ended(
    first: str, second: str, start: Programs, ram: bytes
) -> None:
    source = start(first, *LOADER)
    assert source("migrate_set_capability pause-before-switchover on") == ""
    target = TRANSPORTS["unix"](start, source, second)
    wait_until(lambda: status(source) == "pre-switchover")
    assert source("info status") == "VM status: paused (finish-migrate)\n"
    assert source("cont") == "Error: Migration is not finalized yet\n"
    wrong = "Error: Migration not in expected state: pre-switchover\n"
    assert source("migrate_continue active") == wrong
    assert not has_arrived(target)
    assert source("migrate_continue pre-switchover") == ""
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: has_arrived(target))
    assert target("info status") == "VM status: running\n"
    assert start.memory(target) == ram
    assert source.stderr() + target.stderr() == ""


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_destination_answers_by_the_return_path(
    first: str, second: str, start: Programs, ram: bytes
) -> None:
    source = start(first, *LOADER)
    assert source("migrate_set_capability return-path on") == ""
    target = TRANSPORTS["unix"](start, source, second)
    wait_until(lambda: has_arrived(target))
    wait_until(lambda: status(source) == "completed")
    wait_until(lambda: source("info status") == "VM status: paused (postmigrate)\n")
    assert start.memory(target) == ram
    assert source.stderr() + target.stderr() == ""


def message(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


ANSWERS = {
    "nothing": b"",
    "all has arrived": message(2, bytes(4)) + message(1, bytes(4)),
    "something failed": message(1, b"\0\0\0\5"),
    "cut short": message(1, bytes(4))[:5],
    "of another size": message(1, bytes(2)),
    "unknown": message(9, b""),
    "of type 0": message(0, b""),
    "a page, please": message(4, bytes(12)),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_by_the_return_path_counts_as_in_qemu(answer: str, start: Programs) -> None:
    ends = []
    for name in ("hmp", "qemu"):
        path = start.folder / f"{name}.socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            session = start(name)
            session("migrate_set_capability return-path on")
            session(f"migrate -d unix:{name}.socket")
            peer, _ = listener.accept()
        with peer:
            received = b""
            while b'"name": "globalstate"' not in received:
                received += peer.recv(1 << 16)
            wait_until(lambda s=session: "finish-migrate" in s("info status"))
            assert status(session) == "active"
            peer.sendall(ANSWERS[answer])
        wait_until(lambda s=session: status(s) != "active")
        wait_until(lambda s=session: "finish-migrate" not in s("info status"))
        ends.append((status(session), session("info status"), without_name(session.stderr())))
    assert ends[0] == ends[1]
    assert ends[0][0] == ("completed" if answer == "all has arrived" else "failed")


def test_waiting_for_that_answer_is_ended_by_cancelling(start: Programs) -> None:
    ends = []
    for name in ("hmp", "qemu"):
        peer = Peer(start.folder / f"{name}.socket", 30_000)
        session = start(name)
        session("migrate_set_capability return-path on")
        session(f"migrate -d unix:{name}.socket")
        peer.take()
        wait_until(lambda s=session: "finish-migrate" in s("info status"))
        assert session("migrate_cancel") == ""
        wait_until(lambda s=session: status(s) == "cancelled")
        wait_until(lambda s=session: "finish-migrate" not in s("info status"))
        ends.append((session("info status"), session.stderr()))
        peer.leave()
    assert ends[0] == ends[1] == ("VM status: running\n", "")


def test_memory_is_not_waited_for_while_the_machine_runs(start: Programs) -> None:
    session = start("hmp", "-incoming", "defer")
    said = session("migrate_set_capability postcopy-ram on").splitlines()
    reason = "postcopy_ram_supported_by_host: userfaultfd not available: Function not implemented"
    assert said == [reason, "Error: Postcopy is not supported"]
    assert "postcopy-ram: off" in session("info migrate_capabilities")


def test_a_migration_is_cancelled_in_that_pause(start: Programs, ram: bytes) -> None:
    for first, second in PAIRS[:2]:
        source = start(first, *LOADER)
        source("migrate_set_capability pause-before-switchover on")
        target = TRANSPORTS["unix"](start, source, second)
        wait_until(lambda source=source: status(source) == "pre-switchover")
        assert source("migrate_cancel") == ""
        wait_until(lambda source=source: status(source) == "cancelled")
        assert source("info status") == "VM status: running\n"
        assert start.memory(source) == ram
        assert target.wait() == 1
        said = "load of migration failed: Input/output error\n"
        assert without_name(target.final_stderr) == said


def test_a_command_that_is_stuck_holds_nobody_up(start: Programs, ram: bytes) -> None:
    session = start("hmp", *LOADER)
    session('migrate -d "exec:sleep 100"')
    assert status(session) == "active"
    session("migrate_cancel")
    assert status(session) == "cancelled"
    assert session("info status") == "VM status: running\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"QEVM\0\0\0\2", b"QEVM\0\0\0\3\x09", b"QEVM\0\0\0\3\x07\0\0\0\2pc"],
    ids=["nothing", "garbage", "version 2", "no configuration", "other machine"],
)
def test_what_is_no_stream_ends_a_waiting_machine_in_qemus_words(
    data: bytes, start: Programs
) -> None:
    ends = []
    for name in ("hmp", "qemu"):
        session = start(name, "-incoming", f"unix:{name}.socket")
        assert not has_arrived(session)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(start.folder / f"{name}.socket"))
            peer.sendall(data)
        ends.append((session.wait(), without_name(session.final_stderr)))
    assert ends[0][0] == 1
    assert "load of migration failed: " in ends[0][1]
    assert ends[0] == ends[1]
