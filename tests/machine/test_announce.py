"""Announcements: what a sniffer sees of them, from the monitor and from a real QEMU."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.assembly import build
from machine.boards import BOARDS
from machine.machine import Machine
from machine.migration.announce import AnnounceParameters, announce, rarp_frame
from tests.pcap import gaps_ms, read_pcap
from tests.session import Session

PC = (
    "-M pc -accel tcg -m 16 -nodefaults -display none -monitor stdio "
    "-netdev hubport,id=h0,hubid=0 -netdev user,id=u -netdev hubport,id=h1,hubid=0,netdev=u"
).split()
MAC = "525400123456"
FRAME = bytes.fromhex(
    f"ffffffffffff {MAC} 8035 0001 0800 06 04 0003 {MAC} 00000000 {MAC} 00000000" + "00" * 18
)
GAPS = [50, 150, 250, 350]
LATENESS = 90  # ms; less than two gaps differ by, and what a machine with others to serve takes


class Ear:
    """A back end that keeps what it hears."""

    def __init__(self, machine: Machine, name: str, mac: bytes) -> None:
        from machine.net.network import NetClient

        self.heard: list[tuple[int, bytes]] = []
        client = NetClient(machine.network, f"ear-{name}", "ear")
        client.receive = lambda frame: self.heard.append((time.monotonic_ns(), frame))
        machine.network.add(client)
        machine.network.add_nic("e1000", id=name, mac=mac, peer=client)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine(BOARDS[0])
    build(machine)
    machine.cont()
    yield machine
    machine.close()


def run_for(machine: Machine, seconds: float) -> None:
    end = time.monotonic() + seconds
    machine.loop.call_at(int(end * 1e9), lambda: None)
    machine.loop.run_until(lambda: time.monotonic() >= end)


def test_the_frame_is_a_rarp_request_of_sixty_bytes() -> None:
    assert rarp_frame(bytes.fromhex(MAC)) == FRAME
    assert len(FRAME) == 60


@pytest.mark.parametrize("program", ["hmp", "qemu"])
def test_a_sniffer_sees_five_frames_at_the_right_times(
    program: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    argv = [request.getfixturevalue(program), *PC]
    argv += "-device e1000,netdev=h0,id=n -rtc base=2006-06-17".split()
    argv += ["-object", "filter-dump,id=f0,netdev=h0,file=near.pcap"]
    argv += ["-object", "filter-dump,id=f1,netdev=u,file=far.pcap,maxlen=20"]
    session = Session(argv, tmp_path)
    assert session("announce_self") == ""
    time.sleep(0.9)
    deadline = time.monotonic() + 10
    while len(read_pcap(tmp_path / "near.pcap")) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert session.quit() == 0
    for name, snap_length in (("near.pcap", 65536), ("far.pcap", 20)):
        frames = read_pcap(tmp_path / name, snap_length=snap_length)
        assert [frame.data for frame in frames] == [FRAME[:snap_length]] * 5
        assert [frame.length for frame in frames] == [60] * 5
        assert gaps_ms(frames) == pytest.approx(GAPS, abs=LATENESS)
        assert 1150502400 <= frames[0].time_us / 1e6 < 1150502430  # 2006-06-17 and a while


def test_tcpdump_decodes_what_we_dump(hmp: str, tcpdump: str, tmp_path: Path) -> None:
    argv = [hmp, *PC, "-device", "virtio-net-pci,netdev=h0,mac=52:54:00:aa:bb:cc"]
    argv += ["-object", "filter-dump,id=f0,netdev=h0,file=a.pcap"]
    session = Session(argv, tmp_path)
    session("announce_self")
    time.sleep(0.25)
    assert session("object_del f0") == ""
    assert session.quit() == 0
    done = subprocess.run(
        [tcpdump, "-nn", "-e", "-r", "a.pcap"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert "52:54:00:aa:bb:cc > ff:ff:ff:ff:ff:ff, ethertype Reverse ARP (0x8035)" in line
        assert "length 60: Reverse Request who-is 52:54:00:aa:bb:cc" in line


def test_only_the_named_cards_are_announced(machine: Machine) -> None:
    one, two = Ear(machine, "one", b"\x02\0\0\0\0\1"), Ear(machine, "two", b"\x02\0\0\0\0\2")
    announce(machine, AnnounceParameters(rounds=1), ["two", "nosuch"])
    announce(machine, AnnounceParameters(rounds=0))
    assert one.heard == []
    assert [frame for _, frame in two.heard] == [rarp_frame(b"\x02\0\0\0\0\2")]


def test_pauses_grow_up_to_the_longest() -> None:
    assert AnnounceParameters().pauses_ns() == [ms * 1_000_000 for ms in GAPS]
    parameters = AnnounceParameters(initial=10, step=300, max=400, rounds=4)
    assert parameters.pauses_ns() == [ms * 1_000_000 for ms in (10, 310, 400)]


def test_an_announcement_of_the_same_id_begins_again_and_others_go_on(machine: Machine) -> None:
    ear = Ear(machine, "n", b"\x02\0\0\0\0\1")
    slow = AnnounceParameters(initial=60, step=0, rounds=2)
    announce(machine, slow, id="a")
    announce(machine, slow, id="b")
    assert len(ear.heard) == 2
    announce(machine, slow, id="a")  # the first one's second round is never sent
    assert len(ear.heard) == 3
    run_for(machine, 0.2)
    assert len(ear.heard) == 5
    announce(machine, AnnounceParameters(rounds=1))
    assert list(machine.announcements) == []


def test_a_card_without_its_cable_sends_nothing(machine: Machine) -> None:
    ear = Ear(machine, "n", b"\x02\0\0\0\0\1")
    machine.network.set_link("n", False)
    announce(machine, AnnounceParameters(rounds=1))
    assert ear.heard == []
    machine.network.set_link("n", True)
    machine.network.set_link("ear-n", False)
    announce(machine, AnnounceParameters(rounds=1))
    assert ear.heard == []
    machine.network.set_link("ear-n", True)
    announce(machine, AnnounceParameters(rounds=1))
    assert len(ear.heard) == 1


def test_frames_wait_while_the_machine_is_stopped(machine: Machine) -> None:
    ear = Ear(machine, "n", b"\x02\0\0\0\0\1")
    machine.stop()
    announce(machine, AnnounceParameters(initial=20, rounds=2))
    run_for(machine, 0.1)
    assert ear.heard == []
    machine.cont()
    assert len(ear.heard) == 2


def test_the_parameters_of_migration_count(hmp: str, tmp_path: Path) -> None:
    argv = [hmp, *PC, "-device", "e1000,netdev=h0"]
    argv += ["-object", "filter-dump,id=f,netdev=u,file=a.pcap"]
    session = Session(argv, tmp_path)
    for name, value in (("rounds", 3), ("initial", 20), ("step", 200), ("max", 100)):
        assert session(f"migrate_set_parameter announce-{name} {value}") == ""
    session("announce_self")
    time.sleep(0.4)
    assert session.quit() == 0
    assert gaps_ms(read_pcap(tmp_path / "a.pcap")) == pytest.approx([20, 100], abs=LATENESS)


def test_a_machine_that_came_in_announces_itself_and_one_that_went_back_does_not(
    hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "16M"], cwd=tmp_path)
    drive = ["-drive", "if=none,id=d0,file=d.qcow2"]
    argv = [hmp, *PC, *drive, "-device", "e1000,netdev=h0"]
    dump = "filter-dump,id=f,netdev=u,file={}"
    came = Session(
        [*argv, "-object", dump.format("came.pcap"), "-incoming", "unix:m.sock"], tmp_path
    )
    went = Session([*argv, "-object", dump.format("went.pcap")], tmp_path)
    assert went("savevm a") == ""
    assert went("loadvm a") == ""
    assert went("migrate unix:m.sock") == ""
    time.sleep(1.0)
    assert came("info status") == "VM status: running\n"
    assert came.quit() == went.quit() == 0
    frames = read_pcap(tmp_path / "came.pcap")
    assert [frame.data for frame in frames] == [FRAME] * 5
    assert gaps_ms(frames) == pytest.approx(GAPS, abs=LATENESS)
    assert read_pcap(tmp_path / "went.pcap") == []
