"""The scripted guest on a PC: what it does, that it goes back with the machine, and replays."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev.errors import QemuError
from blockdev.vmstate_area import VMStateWriter
from machine.assembly import build
from machine.boards import find_board
from machine.chardev.device import RingBuffer
from machine.clock import VirtualClock
from machine.cpu.notes import Notes
from machine.cpu.scripted import BLOCK_SIZE
from machine.device_snapshot import create_on_device
from machine.devices.i8254 import I8254_STATE
from machine.display.text_screen import lines, picture
from machine.machine import Machine
from machine.migration.savevm import write_state
from machine.net.network import NetClient
from machine.runstate import RunState
from machine.snapshot import load, plan_load, plan_save, save
from tests.machine.test_isa_devices import load as load_section
from tests.machine.test_isa_devices import save as save_section

MIB = 1 << 20
SECOND = 1_000_000_000
DATE = 1150560081  # 2006-06-17 16:01:21 UTC
BASE = MIB  # of the guest's part of RAM


class Collecting(VMStateWriter):
    """Takes machine state into memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, buffers) -> None:
        for buffer in buffers:
            self.data += buffer

    def abandon(self) -> None:
        """There is nothing to give back."""


class Wire(NetClient):
    """Keeps the frames that come."""

    kind = "wire"

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.network, "wire", "wire")
        self.frames: list[bytes] = []
        machine.network.add(self)

    def receive(self, frame: bytes) -> None:
        self.frames.append(frame)


class Pc:
    """A PC on a manual clock, its guest, and a view of what it does."""

    def __init__(self, folder: Path | None = None, board: str = "isapc", **options: str) -> None:
        found = find_board(board)
        assert found is not None
        machine = self.machine = Machine(found, ram_size=2 * MIB, wall_clock_ns=lambda: 0)
        machine.clock = VirtualClock(manual=True)
        machine.set_rtc(base=DATE, is_local=False, follows_guest=True)
        self.serial = RingBuffer(machine.loop, "serial", 1 << 16)
        machine.serials.append(self.serial)
        build(machine)
        machine.plugs.plug({"driver": found.vga_model}, is_of_board=True)
        self.wire = Wire(machine)
        nic = machine.network.add_nic("nic", id="n0", mac=b"\x52\x54\0\0\0\1", peer=self.wire)
        assert nic.peer is self.wire
        if folder is not None:
            file = str(folder / "d0.qcow2")
            machine.drives.add({"if": "none", "id": "d0", "file": file, "format": "qcow2"})
            options["disk"] = "d0"
        named = {name.replace("_", "-"): value for name, value in options.items()}
        machine.plugs.plug({"driver": "hmp-guest", **named})
        machine.reset_devices()
        machine.cont()

    def advance(self, ns: int) -> None:
        assert self.machine.guest is not None
        self.machine.guest.advance(ns)

    def press(self, *keys: str) -> None:
        assert self.machine.isa is not None
        self.machine.isa.keys.press(keys, self.machine.clock.now_ns(), 10_000_000)

    @property
    def screen(self) -> list[str]:
        assert self.machine.isa is not None
        assert self.machine.isa.vga is not None
        return [line.rstrip() for line in lines(self.machine.isa.vga)]

    def shown(self, name: str) -> str:
        return next(line.split(name)[1].strip() for line in self.screen if name in line)

    @property
    def notes(self) -> Notes:
        notes = Notes(self.machine.memory, BASE)
        assert notes.read()
        return notes

    @property
    def log(self) -> bytes:
        return self.disk(0)[:BLOCK_SIZE].rstrip(b"\0")

    def disk(self, start: int, size: int = BLOCK_SIZE) -> bytes:
        backend = self.machine.drives.backend("d0")
        assert backend is not None
        return bytes(backend.medium().read(start, size))

    def stream(self) -> bytes:
        """What a savevm would write."""
        writer = Collecting()
        for _ in write_state(self.machine, writer, RunState.RUNNING):
            pass
        return bytes(writer.data)

    def pixels(self) -> bytes:
        assert self.machine.isa is not None
        assert self.machine.isa.vga is not None
        return picture(self.machine.isa.vga).ppm()

    def state(self) -> tuple[bytes, bytes, list[str], bytes]:
        """All that can be compared."""
        with_disk = self.machine.drives.backend("d0") is not None
        return self.stream(), self.pixels(), self.screen, self.disk(0, MIB) if with_disk else b""


@pytest.fixture
def folder(qemu_img: str, tmp_path: Path) -> Path:
    make_disk(qemu_img, tmp_path)
    return tmp_path


def make_disk(qemu_img: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", folder / "d0.qcow2", "1M"], check=True)


@pytest.fixture
def pc(folder: Path) -> Iterator[Pc]:
    pc = Pc(folder)
    yield pc
    pc.machine.close()


@pytest.mark.parametrize("board", ["isapc", "pc"])
def test_a_second_counts_everywhere(board: str, folder: Path) -> None:
    pc = Pc(folder, board)
    pc.advance(SECOND)
    assert pc.shown("Seconds") == "0"
    pc.advance(9 * SECOND)
    assert (pc.notes.seconds, pc.notes.ticks) == (9, 199)
    pc.advance(1_000_000)
    assert pc.notes.seconds == 10
    assert pc.shown("Seconds") == "10"
    assert pc.shown("Date") == "2006-06-17 16:01:31"
    assert pc.log == b"hmp's guest: second 10, 2006-06-17 16:01:31\n"
    serial = pc.serial.read(1 << 16).decode().split("\r\n")
    assert len(serial) == 11
    assert serial[9] == "second 10, 2006-06-17 16:01:31"
    frame = b"\xff" * 6 + b"\x52\x54\0\0\0\1" + b"\x88\xb5" + b"hmp's guest: second 10"
    assert pc.wire.frames == [frame.ljust(60, b"\0")]
    assert pc.shown("Frames sent") == "1"
    assert pc.machine.cpus[0].register("eax") == 10
    assert pc.machine.cpus[0].register("pc") == 0x7C02
    assert pc.machine.memory.read(0x7C00, 4) == bytes.fromhex("fbf4ebfc")
    pc.machine.close()


def test_keys_are_shown_and_counted(pc: Pc) -> None:
    pc.advance(SECOND)
    for keys in (("shift", "h"), ("i",), ("x",), ("backspace",), ("ret",), ("2",), ("shift", "2")):
        pc.press(*keys)
    pc.advance(SECOND)
    assert pc.screen[12:14] == ["Hi", "2@"]
    assert pc.shown("Keys") == "9"
    for _ in range(12):
        pc.press("ret")
    pc.press("z")
    pc.advance(SECOND)
    assert pc.screen[12:] == ["2@", *[""] * 11, "z"], "the lines have moved up by one"
    assert pc.notes.cursor == 24 * 80 + 1


def test_keys_choose_what_is_written(pc: Pc) -> None:
    pc.press("f1")
    pc.press("f1")
    pc.advance(10 * SECOND)
    pages = pc.notes.pages
    assert 16 * 9 < pages <= 160
    assert int(pc.shown("Pages written")) in range(pages - 16, pages + 1)
    assert pc.machine.memory.read(BASE + 4096 + 8 * 4096, 8) == (8).to_bytes(8, "little")
    pc.press("f2")
    pc.press("f2")
    for _ in range(3):
        pc.press("f1")
    pc.advance(SECOND)
    assert pc.notes.blocks > 0
    assert pc.disk(BLOCK_SIZE, 8) == bytes(8)
    assert pc.disk(2 * BLOCK_SIZE, 8) == (1).to_bytes(8, "little")
    pages = pc.notes.pages
    pc.advance(SECOND)
    assert pc.notes.pages == pages


def test_a_reset_begins_anew(pc: Pc) -> None:
    pc.advance(3 * SECOND)
    pc.machine.reset()
    assert pc.screen == []
    pc.advance(SECOND // 10)
    assert pc.shown("Seconds") == "0"
    pc.advance(2 * SECOND)
    assert pc.shown("Seconds") == "2"


def test_a_full_disk_stops_the_machine_before_the_second_counts(
    pc: Pc, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    pc.advance(SECOND + 1_000_000)
    node = pc.machine.drives.backends[0].node
    assert node is not None

    def refuse(*_: object) -> None:
        raise QemuError("No space left on device", errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(node, "write", refuse)
        pc.advance(SECOND)
    assert pc.machine.runstate is RunState.IO_ERROR
    assert (pc.notes.seconds, pc.shown("Seconds")) == (1, "1")
    pc.machine.cont()
    pc.advance(0)
    assert pc.notes.seconds == 2
    assert b"second 2" in pc.log


def test_a_state_that_cannot_be_keeps_nobody_waiting(pc: Pc) -> None:
    """Ticks and seconds of a stream that somebody else made."""
    pc.advance(SECOND)
    assert pc.machine.isa is not None
    timer = pc.machine.isa.timer
    body, _ = save_section(I8254_STATE, timer)
    long_ago = (-(1 << 60)).to_bytes(8, "big", signed=True)
    changed = body[:-8] + long_ago
    load_section(I8254_STATE, timer, changed, 3)
    notes = pc.notes
    notes.ticks = 1 << 61
    notes.write()
    pc.advance(SECOND)
    assert pc.notes.seconds in range((1 << 61) // 20, (1 << 61) // 20 + 2)
    assert pc.notes.ticks == (1 << 61) + 20


# --- going back


def drain(steps: Iterator[object]) -> None:
    for _ in steps:
        pass


def save_as(pc: Pc, tag: str) -> None:
    drain(save(pc.machine, plan_save(pc.machine, tag)))


def go_back(pc: Pc, tag: str) -> None:
    pc.machine.stop(RunState.RESTORE_VM)
    drain(load(pc.machine, plan_load(pc.machine, tag)))
    pc.machine.cont()


def test_after_loadvm_screen_counter_clock_and_disk_go_back_together(pc: Pc) -> None:
    pc.advance(3 * SECOND + 1_000_000)
    pc.press("a")
    pc.advance(SECOND // 4)
    save_as(pc, "one")
    before = pc.state()
    assert (pc.shown("Seconds"), pc.screen[12]) == ("3", "a")
    pc.press("b")
    pc.advance(4 * SECOND)
    assert (pc.shown("Seconds"), pc.shown("Date")) == ("7", "2006-06-17 16:01:28")
    assert b"second 7" in pc.log
    assert pc.screen[12] == "ab"
    go_back(pc, "one")
    assert pc.machine.clock.now_ns() == 3 * SECOND + 1_000_000 + SECOND // 4
    assert (pc.shown("Seconds"), pc.shown("Date")) == ("3", "2006-06-17 16:01:24")
    assert pc.machine.isa is not None
    assert pc.machine.isa.rtc.now_ns() // SECOND == DATE + 3
    assert b"second 3" in pc.log
    assert pc.screen[12] == "a"
    assert pc.machine.cpus[0].register("eax") == 3
    assert pc.state() == before


def test_after_a_disk_only_snapshot_only_the_disk_goes_back(pc: Pc) -> None:
    pc.advance(3 * SECOND + 1_000_000)
    create_on_device(pc.machine, "d0", "disk")
    pc.advance(4 * SECOND)
    pc.machine.stop()
    node = pc.machine.drives.backends[0].node
    assert node is not None
    node.snapshot_goto("disk")
    assert b"second 3" in pc.log
    assert (pc.shown("Seconds"), pc.notes.seconds) == ("7", 7)
    assert pc.shown("Date") == "2006-06-17 16:01:28"
    assert pc.machine.clock.now_ns() == 7 * SECOND + 1_000_000
    with pytest.raises(QemuError, match="This is a disk-only snapshot"):
        plan_load(pc.machine, "disk")


# --- replay

STORIES = st.lists(
    st.tuples(
        st.integers(0, 1500 * 1000 * 1000),
        st.sampled_from([(), ("a",), ("shift", "b"), ("f1",), ("f2",), ("ret",), ("backspace",)]),
    ),
    min_size=1,
    max_size=6,
)


def tell(pc: Pc, story: list[tuple[int, tuple[str, ...]]], pieces: int = 1) -> None:
    for ns, keys in story:
        for _ in range(pieces - 1):
            pc.advance(ns // pieces)
        pc.advance(ns - (pieces - 1) * (ns // pieces))
        if keys:
            pc.press(*keys)


@settings(max_examples=12)
@given(story=STORIES, pieces=st.integers(2, 5))
def test_the_same_keys_at_the_same_times_give_the_same_machine(
    story: list[tuple[int, tuple[str, ...]]], pieces: int
) -> None:
    """In whatever steps the clock is moved, and however fast the pages are to be written."""
    first, second = Pc(pages_rate="0"), Pc(pages_rate="0")
    tell(first, story)
    tell(second, story, pieces)
    assert first.state() == second.state()
    assert first.serial.read(1 << 16) == second.serial.read(1 << 16)
    first.machine.close()
    second.machine.close()


def test_two_runs_with_disks_are_the_same(qemu_img: str, tmp_path: Path) -> None:
    story = [(SECOND, ("f2",)), (SECOND, ("f2",)), (3 * SECOND // 2, ("x",)), (SECOND, ())]
    states = []
    for number in range(2):
        make_disk(qemu_img, tmp_path / str(number))
        pc = Pc(tmp_path / str(number), pages_rate="100")
        tell(pc, story, 1 + number)
        states.append(pc.state())
        assert pc.notes.blocks > 10
        pc.machine.close()
    assert states[0] == states[1]


@settings(max_examples=8)
@given(before=STORIES, after=STORIES)
def test_what_follows_a_loadvm_is_what_followed_the_savevm(
    qemu_img: str,
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[int, tuple[str, ...]]],
    after: list[tuple[int, tuple[str, ...]]],
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    make_disk(qemu_img, folder)
    pc = Pc(folder, pages_rate="50")
    tell(pc, before)
    pc.advance(SECOND)  # so that no key is on its way, which belongs to who types
    save_as(pc, "one")
    tell(pc, after)
    first = pc.state()
    for _ in range(2):
        go_back(pc, "one")
        tell(pc, after)
        assert pc.state() == first
    pc.machine.close()
    # And in another machine that never was at what came before.
    other = Pc(folder, pages_rate="50")
    other.machine.stop()
    go_back(other, "one")
    tell(other, after)
    assert other.state() == first
    other.machine.close()
