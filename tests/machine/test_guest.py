"""The scripted guest: what it writes when, and that nobody waits for it."""

import errno
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.assembly import build
from machine.boards import BOARDS
from machine.clock import VirtualClock
from machine.cpu.notes import MAGIC
from machine.cpu.scripted import BLOCK_SIZE
from machine.machine import Machine
from machine.memory import PAGE_SIZE
from machine.runstate import RunState
from tests.session import PLAIN, Session

RAM = 64 * PAGE_SIZE
SECOND = 1_000_000_000
NOTES = struct.Struct("<8sqQQ")


def make(tmp_path: Path | None = None, **options: str) -> Machine:
    """A running machine on a manual clock, with a guest."""
    machine = Machine(BOARDS[0], ram_size=RAM)
    machine.clock = VirtualClock(manual=True)
    build(machine)
    if tmp_path is not None:
        (tmp_path / "disk.raw").write_bytes(bytes(16 * BLOCK_SIZE))
        machine.drives.add(
            {"if": "none", "id": "d0", "file": str(tmp_path / "disk.raw"), "format": "raw"}
        )
    named = {name.replace("_", "-"): value for name, value in options.items()}
    machine.plugs.plug({"driver": "hmp-guest", "id": "g", **named})
    machine.reset_devices()
    machine.cont()
    advance(machine, 0)
    return machine


def advance(machine: Machine, ns: int) -> None:
    machine.clock.advance(ns)
    assert machine.guest is not None
    machine.guest.run_slice()


def notes(machine: Machine, base: int = 0) -> tuple[int, int, int]:
    magic, start_ns, pages, blocks = NOTES.unpack(machine.memory.read(base, NOTES.size))
    assert magic == MAGIC
    return start_ns, pages, blocks


def test_pages_come_at_their_rate_and_count_up() -> None:
    machine = make(pages_rate="10")
    advance(machine, SECOND // 10 - 1)
    assert notes(machine) == (0, 0, 0)
    advance(machine, 1)
    assert notes(machine) == (0, 1, 0)
    advance(machine, 7 * SECOND)
    assert notes(machine) == (0, 71, 0)
    for index in range(63):
        page = machine.memory.read((1 + index) * PAGE_SIZE, 8)
        assert int.from_bytes(page, "little") == (index + 63 if index < 8 else index)
    machine.close()


@given(st.lists(st.integers(min_value=0, max_value=SECOND // 3), min_size=1, max_size=12))
def test_what_is_written_follows_from_guest_time_alone(steps: list[int]) -> None:
    machine, other = make(pages_rate="30"), make(pages_rate="30")
    for step in steps:
        advance(machine, step)
    advance(other, sum(steps))
    assert machine.memory.read(0, RAM) == other.memory.read(0, RAM)
    machine.close()
    other.close()


def test_blocks_come_at_their_rate_and_stay_in_their_part(tmp_path: Path) -> None:
    machine = make(tmp_path, disk="d0", disk_rate="8192", disk_size="12288")
    advance(machine, 5 * SECOND)
    assert notes(machine) == (0, 0, 10)
    machine.close()
    data = (tmp_path / "disk.raw").read_bytes()
    first_words = [int.from_bytes(data[n * BLOCK_SIZE :][:8], "little") for n in range(16)]
    assert first_words == [9, 7, 8, *[0] * 13]


def test_a_stopped_guest_writes_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    machine = make(tmp_path, pages_rate="4", disk="d0", disk_rate="4096", base="8192", size="16384")
    advance(machine, SECOND)
    machine.stop()
    advance(machine, SECOND)
    assert notes(machine, 8192) == (0, 4, 1)
    machine.cont()
    advance(machine, SECOND)
    assert notes(machine, 8192) == (0, 8, 2)
    assert machine.memory.read(0, 8192) == bytes(8192)
    assert machine.memory.read(24576, RAM - 24576) == bytes(RAM - 24576)
    machine.reset()
    advance(machine, 0)
    assert notes(machine, 8192) == (2 * SECOND, 0, 0)
    machine.close()


def test_a_full_disk_stops_the_machine_and_cont_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make(tmp_path, disk="d0", disk_rate="4096")
    backend = machine.drives.backend("d0")
    assert backend is not None
    assert backend.node is not None

    def refuse(*_: object) -> None:
        raise QemuError("No space left on device", errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(backend.node, "write", refuse)
        advance(machine, SECOND)
    assert machine.runstate is RunState.IO_ERROR
    assert notes(machine) == (0, 0, 0)
    machine.cont()
    advance(machine, 0)
    assert notes(machine) == (0, 0, 1)
    machine.close()


def test_a_medium_that_is_gone_is_told_once_and_the_machine_runs_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = make(tmp_path, pages_rate="1", disk="d0", disk_rate="4096")
    backend = machine.drives.backend("d0")
    assert backend is not None
    machine.graph.remove(backend.remove())
    advance(machine, SECOND)
    advance(machine, SECOND)
    assert machine.is_running
    assert notes(machine) == (0, 2, 0)
    assert capfd.readouterr().err == "hmp: hmp-guest: No medium found\n"
    machine.close()


def test_our_own_mistake_stops_the_guest_and_not_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    machine = make(pages_rate="1")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(machine.memory, "read", fail)
        advance(machine, SECOND)
    assert machine.runstate is RunState.INTERNAL_ERROR
    assert "ZeroDivisionError" in (tmp_path / "hmp" / "errors.log").read_text()
    machine.close()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("bogus=1", "Property 'hmp-guest.bogus' not found"),
        ("pages-rate=x", "Parameter 'pages-rate' expects integer"),
        ("pages-rate=-1", "Parameter 'pages-rate' expects integer"),
        ("disk=nosuch", "Property 'hmp-guest.disk' can't find value 'nosuch'"),
        ("base=1", "base and size must be two pages or more of the machine's RAM"),
        ("base=0x10000000", "hmp-guest needs RAM"),
        ("size=4096", "base and size must be two pages or more of the machine's RAM"),
        ("size=0x2000000", "base and size must be two pages or more of the machine's RAM"),
    ],
)
def test_a_guest_that_cannot_be_is_refused(
    options: str, complaint: str, hmp: str, tmp_path: Path
) -> None:
    argv = [hmp, *PLAIN, "-m", "16", "-device", f"hmp-guest,{options}"]
    done = subprocess.run(
        argv, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"hmp: -device hmp-guest,{options}: {complaint}\n"


@pytest.mark.parametrize("board", ["none", "isapc"])
def test_a_key_is_echoed_at_once_while_the_guest_runs_flat_out(
    board: str, hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "16M"], cwd=tmp_path)
    argv = "-monitor unix:m.sock,server=on,wait=on -m 16 -nodefaults -display none -M".split()
    argv += [board] if board == "none" else [board, "-vga", "std", "-serial", "null"]
    argv += "-drive if=none,id=d0,file=d.qcow2 -device".split()
    argv += ["hmp-guest,pages-rate=0,disk=d0,disk-rate=0"]
    with (
        subprocess.Popen([hmp, *argv], cwd=tmp_path, stderr=subprocess.DEVNULL) as process,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.settimeout(20)
        while client.connect_ex(str(tmp_path / "m.sock")):
            assert process.poll() is None
            time.sleep(0.01)
        got = b""
        while not got.endswith(b"(qemu) "):
            got += client.recv(4096)
        delays = []
        for count in range(1, 21):
            time.sleep(0.01)
            before = time.monotonic()
            client.sendall(b"a")
            got = b""
            while not got.endswith(b"a" * count + b"\x1b[K"):
                got += client.recv(4096)
            delays.append(time.monotonic() - before)
        client.sendall(b"\nquit\n")
        assert process.wait(20) == 0
    # The machine that runs this may itself be busy, so not every key counts.
    assert sorted(delays)[len(delays) // 2] < 0.03


def test_the_guest_goes_on_after_a_snapshot_that_real_qemu_made(
    hmp: str, qemu: str, qemu_img: str, tmp_path: Path
) -> None:
    """All the guest's state is in memory, so it travels through programs that don't know it."""
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "16M"], cwd=tmp_path)
    machine = [*PLAIN, "-m", "16", "-drive", "if=none,id=d0,file=d.qcow2"]
    guest_options = ["-device", "hmp-guest,pages-rate=1000"]

    def pages(session: Session) -> int:
        magic, _, count, _ = [
            int(word, 16)
            for line in session("xp /4gx 0").splitlines()
            for word in line.split(": ")[1].split()
        ]
        assert magic.to_bytes(8, "little") == MAGIC
        return count

    session = Session([hmp, *machine, *guest_options], tmp_path)
    time.sleep(0.1)
    assert session("savevm a") == ""
    session("stop")
    before = pages(session)
    assert session.quit() == 0
    session = Session([qemu, *machine, "-loadvm", "a"], tmp_path)
    saved = pages(session)
    assert 0 < saved <= before
    assert session("savevm b") == ""
    assert session.quit() == 0
    session = Session([hmp, *machine, *guest_options, "-S", "-loadvm", "b"], tmp_path)
    assert pages(session) == saved
    session("cont")
    time.sleep(0.1)
    session("stop")
    assert pages(session) > saved
    assert session.quit() == 0
