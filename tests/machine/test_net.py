"""Frames between cards, hubs and sockets, also those of a real QEMU."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.assembly import build
from machine.boards import BOARDS
from machine.machine import Machine
from machine.migration.announce import rarp_frame
from machine.net.hub import add_port
from machine.net.network import NetClient, Network, format_mac, parse_mac
from machine.net.options import add_netdev, delete_netdev
from machine.net.socket import FRAME_LIMIT
from tests.pcap import read_pcap
from tests.session import Session


class Recorder(NetClient):
    """A back end that keeps what it hears."""

    kind = "recorder"

    def __init__(self, network: Network, name: str) -> None:
        super().__init__(network, name, "recorder")
        self.heard: list[bytes] = []
        network.add(self)

    def receive(self, frame: bytes) -> None:
        self.heard.append(frame)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine(BOARDS[0])
    build(machine)
    machine.cont()
    yield machine
    machine.close()


def turn_until(machine: Machine, predicate: object) -> None:
    end = time.monotonic() + 10
    while not predicate():  # type: ignore[operator]
        assert time.monotonic() < end
        machine.loop.run_ready()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@given(st.data())
def test_a_hub_gives_each_frame_to_all_but_who_sent_it(data: st.DataObject) -> None:
    network = Network()
    network.is_running = True
    count = data.draw(st.integers(min_value=1, max_value=5))
    ends = [Recorder(network, f"r{n}") for n in range(count)]
    for end in ends:
        add_port(network, 7, "", end)
    expected: list[list[bytes]] = [[] for _ in ends]
    for number in range(data.draw(st.integers(max_value=6, min_value=0))):
        frame = bytes([number]) * 60
        sender = data.draw(st.integers(min_value=0, max_value=count - 1))
        down = data.draw(st.sets(st.integers(min_value=0, max_value=count - 1)))
        for index, end in enumerate(ends):
            end.link_down = index in down
        ends[sender].send(frame)
        for index in range(count):
            if sender not in down and index not in down | {sender}:
                expected[index].append(frame)
    assert [end.heard for end in ends] == expected


def test_ports_of_different_hubs_hear_nothing_of_each_other() -> None:
    network = Network()
    network.is_running = True
    one, two = Recorder(network, "a"), Recorder(network, "b")
    add_port(network, 0, "", one)
    add_port(network, 1, "", two)
    one.send(b"x" * 60)
    assert two.heard == []


@given(st.binary(min_size=6, max_size=6), st.sampled_from(":-"))
def test_addresses_are_read_as_they_are_shown(mac: bytes, mark: str) -> None:
    assert parse_mac(format_mac(mac).replace(":", mark)) == mac


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "52:54:00:12:34",
        "52:54:00:12:34:5",
        "52:54:0:12:34:56",
        "52:54-00:12:34:56",
        "52:54:00:12:34:56:",
        "5g:54:00:12:34:56",
        " 2:54:00:12:34:56",
        "+2:54:00:12:34:56",
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_mac(text) is None


def test_two_machines_talk_over_a_connection(machine: Machine) -> None:
    other = Machine(BOARDS[0])
    build(other)
    other.cont()
    port = free_port()
    near = Recorder(machine.network, "near")
    near.connect(add_netdev(machine, {"type": "socket", "id": "s", "listen": f"127.0.0.1:{port}"}))
    far = Recorder(other.network, "far")
    far.connect(add_netdev(other, {"type": "socket", "id": "c", "connect": f"127.0.0.1:{port}"}))
    listener = machine.network.find_netdev("s")
    assert listener is not None

    def both() -> None:
        machine.loop.run_ready()
        other.loop.run_ready()

    end = time.monotonic() + 10
    while "connection from" not in listener.info:
        both()
        assert time.monotonic() < end
    frames = [bytes([n % 256]) * (60 + n) for n in range(200)] + [b"z" * FRAME_LIMIT]
    for frame in frames:
        near.send(frame)
        far.send(frame[::-1])
        both()
    while len(far.heard) < len(frames) or len(near.heard) < len(frames):
        both()
        assert time.monotonic() < end
    assert far.heard == frames
    assert near.heard == [frame[::-1] for frame in frames]
    delete_netdev(other, "c")
    turn_until(machine, lambda: listener.info == "")
    other.close()


def test_two_machines_talk_by_datagrams(machine: Machine) -> None:
    here, there = free_port(), free_port()
    ends = []
    for name, local, remote in (("a", here, there), ("b", there, here)):
        options = {"udp": f"127.0.0.1:{remote}", "localaddr": f"127.0.0.1:{local}"}
        end = Recorder(machine.network, f"end-{name}")
        end.connect(add_netdev(machine, {"type": "socket", "id": name, **options}))
        ends.append(end)
    ends[0].send(b"q" * 1400)
    turn_until(machine, lambda: ends[1].heard == [b"q" * 1400])
    ends[1].send(b"w" * 60)
    turn_until(machine, lambda: ends[0].heard == [b"w" * 60])


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", (FRAME_LIMIT + 1).to_bytes(4, "big"), b"\0\0\0\x10short"]
)
def test_garbage_from_a_peer_ends_the_connection_and_no_more(
    garbage: bytes, machine: Machine
) -> None:
    port = free_port()
    near = Recorder(machine.network, "near")
    netdev = add_netdev(machine, {"type": "socket", "id": "s", "listen": f"127.0.0.1:{port}"})
    near.connect(netdev)
    for _ in range(2):  # the second shows that it listens again
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(b"\0\0\0\x04abcd" + garbage)
            turn_until(machine, lambda: near.heard != [])
        turn_until(machine, lambda: netdev.info == "")
        assert near.heard == [b"abcd"]
        near.heard.clear()


def test_a_peer_that_does_not_read_loses_frames_and_holds_nobody_up(machine: Machine) -> None:
    port = free_port()
    near = Recorder(machine.network, "near")
    netdev = add_netdev(machine, {"type": "socket", "id": "s", "listen": f"127.0.0.1:{port}"})
    near.connect(netdev)
    with socket.create_connection(("127.0.0.1", port)):
        turn_until(machine, lambda: netdev.info != "")
        for _ in range(400):
            near.send(b"f" * 60000)
            machine.loop.run_ready()
        waiting = netdev._output.waiting_size  # type: ignore[attr-defined]
        assert 0 < waiting < 2 << 20


def test_a_card_of_a_real_qemu_is_announced_through_our_hub(
    hmp: str, qemu: str, tmp_path: Path
) -> None:
    """QEMU's card, over a socket, to our hub, into our dump; and the other way round."""
    port = free_port()
    common = "-M pc -accel tcg -m 16 -nodefaults -display none -monitor stdio".split()
    net = "-netdev hubport,id=h0,hubid=0 -netdev socket,id=s,{} "
    net += "-netdev hubport,id=h1,hubid=0,netdev=s"
    card = "-device e1000,netdev=h0,mac=52:54:00:00:00:{}"
    dump = "-object filter-dump,id=f,netdev=s,file={},queue=tx"
    programs = []
    for program, end, number, name in (
        (hmp, f"listen=127.0.0.1:{port}", "01", "ours.pcap"),
        (qemu, f"connect=127.0.0.1:{port}", "02", "theirs.pcap"),
    ):
        words = " ".join([net.format(end), card.format(number), dump.format(name)]).split()
        programs.append(Session([program, *common, *words], tmp_path))
    ours, theirs = programs
    end_time = time.monotonic() + 10
    while "connection from" not in ours("info network"):
        assert time.monotonic() < end_time
    theirs("announce_self")
    ours("announce_self")
    dumps = [tmp_path / name for name in ("ours.pcap", "theirs.pcap")]
    while any(len(read_pcap(dump)) < 2 for dump in dumps):
        assert time.monotonic() < end_time
        time.sleep(0.05)
    assert theirs.quit() == ours.quit() == 0
    for name, number in (("ours.pcap", 2), ("theirs.pcap", 1)):
        frames = read_pcap(tmp_path / name)
        assert 2 <= len(frames) <= 5
        assert {frame.data for frame in frames} == {rarp_frame(b"\x52\x54\0\0\0" + bytes([number]))}


def test_a_dump_that_cannot_be_written_ends_and_the_machine_goes_on(
    hmp: str, tmp_path: Path
) -> None:
    argv = [hmp, *"-M pc -m 16 -nodefaults -display none -monitor stdio".split()]
    argv += "-netdev user,id=u -device e1000,netdev=u".split()
    session = Session(argv, tmp_path)
    assert session("object_add filter-dump,id=f,netdev=u,file=/dev/full") == (
        "Error: net dump write error: No space left on device\n"
    )
    assert session("info status") == "VM status: running\n"
    assert session.quit() == 0


def test_a_file_size_limit_stops_a_dump_once(hmp: str, tmp_path: Path) -> None:
    command = (
        f"trap '' XFSZ; ulimit -f 1; exec {hmp} -M pc -m 16 -nodefaults -display none "
        "-monitor stdio -netdev user,id=u -device e1000,netdev=u "
        "-object filter-dump,id=f,netdev=u,file=a.pcap"
    )
    session = Session(["sh", "-c", command], tmp_path)
    for number in range(20):
        session(f"announce_self e1000.0 a{number}")
    assert session("info status") == "VM status: running\n"
    errors = session.stderr()
    assert session.quit() == 0
    assert errors == "hmp: network dump write error - stopping dump\n"
    assert (tmp_path / "a.pcap").stat().st_size <= 1024


def test_back_ends_that_cannot_be_leave_nothing_behind(machine: Machine) -> None:
    for options in (
        {"type": "socket", "id": "s", "listen": "bogus"},
        {"type": "socket", "id": "s"},
        {"type": "hubport", "id": "s", "hubid": "0", "netdev": "nosuch"},
        {"type": "user", "id": "s", "net": "x"},
    ):
        with pytest.raises(QemuError):
            add_netdev(machine, options)
    assert machine.network.clients == []
