"""What every PC has: its sections beside a real one's, and what a guest sees."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.boards import find_board
from machine.clock import VirtualClock
from machine.devices import pckbd
from machine.devices.i8254 import CONTROL, FREQUENCY, I8254
from machine.devices.i8259 import COMMAND, DATA, I8259, InterruptControllers
from machine.devices.ps2 import Ps2Keyboard
from machine.devices.scancodes import scancodes
from machine.machine import Machine
from machine.vmstate.description import VMStateDescription
from tests.machine.test_isa_devices import load, save
from tests.session import Session

SECOND = 1_000_000_000
QEMU_OPTIONS = "-accel tcg -m 1 -nodefaults -display none -monitor stdio -vga std".split()
# QEMU saves of its isa-vga what lies beside it; a PCI card's section is the right one.
NOT_COMPARED = {("isapc", "vga")}
# A processor that does nothing leaves the keys in the keyboard's queue.
SPIN = bytes.fromhex("faf4ebfd")  # cli; hlt; jmp to hlt
# mov al, 0x60; out 0x64, al; mov al, 0x41; out 0x60, al: the controller translates.
TRANSLATE = bytes.fromhex("b060e664b041e660")


def firmware(code: bytes) -> bytes:
    image = bytearray(65536)
    image[: len(code)] = code
    image[0xFFF0:0xFFF5] = bytes.fromhex("ea000000f0")  # jmp f000:0000
    return bytes(image)


def sections(qemu: str, folder: Path, *options: str) -> list[tuple[str, int, bytes, dict]]:
    """Name, instance, body and description of each section that a real machine saves."""
    subprocess.run(
        [qemu, *QEMU_OPTIONS, *options, "-S"],
        cwd=folder,
        input=b'migrate "exec:cat > state"\nquit\n',
        capture_output=True,
        timeout=30,
        check=True,
    )
    return read_sections(folder / "state")


def read_sections(path: Path) -> list[tuple[str, int, bytes, dict]]:
    stream = path.read_bytes()
    text = stream[stream.index(b'{"page_size"') :].rstrip(b"\0")
    found = []
    at = stream.index(b"\x05timer") - 5
    for device in json.loads(text)["devices"]:
        name = device["name"].encode()
        at = stream.index(bytes([len(name)]) + name, at) + 1 + len(name) + 8
        found.append((device["name"], device["instance_id"], stream[at:], device))
    return found


@pytest.fixture(scope="module", params=["isapc", "pc"])
def board(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def real(board: str, qemu: str, tmp_path_factory: pytest.TempPathFactory) -> list:
    return sections(qemu, tmp_path_factory.mktemp(board), "-M", board)


def make(board: str) -> Machine:
    """A machine of ours with a display, on a manual clock."""
    found = find_board(board)
    assert found is not None
    machine = Machine(found, ram_size=1 << 20)
    machine.clock = VirtualClock(manual=True)
    from machine.assembly import build

    build(machine)
    machine.plugs.plug({"driver": found.vga_model}, is_of_board=True)
    return machine


def ours(machine: Machine) -> list[tuple[VMStateDescription, object, str]]:
    """What we save under the names of real devices, the clock apart."""
    wanted = {"i8259", "i8254", "ps2kbd", "ps2mouse", "pckbd", "vga"}
    return [each for each in machine.states if each[0].name in wanted]


def test_the_sections_are_what_a_real_pc_has(board: str, real: list) -> None:
    machine = make(board)
    compared = []
    counts: dict[str, int] = {}
    for description, device, path in ours(machine):
        name = f"{path}/{description.name}" if path else description.name
        instance = counts[name] = counts.get(name, -1) + 1
        body, theirs = next(
            (body, described)
            for other, number, body, described in real
            if (other, number) == (name, instance)
        )
        written, about = save(description, device)
        assert about["vmsd_name"] == theirs["vmsd_name"]
        assert about["version"] == theirs["version"]
        assert about["fields"] == theirs["fields"], name
        assert about.get("subsections") == theirs.get("subsections")
        if (board, name) not in NOT_COMPARED:
            assert written == body[: len(written)], name
            load(description, device, body[: len(written)], description.version_id)
            assert save(description, device)[0] == written
        compared.append(name)
    machine.close()
    assert len(compared) == 7


@pytest.mark.parametrize("board_name", ["isapc", "pc"])
def test_the_monitor_says_the_same_of_a_fresh_pc(
    board_name: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    lines = [
        "info pic",
        "info irq",
        "info registers",
        "info registers -a",
        "print $edx",
        "info mice",
        "mouse_set 0",
        "mouse_set 1",
        "mouse_set 2",
        "mouse_move 1 1",
        "info usb",
        "info roms",
        "xp /4hx 0xb8000",
        "sendkey a",
        "sendkey nosuch",
        "sendkey a-nosuch",
        "sendkey a-",
        "sendkey 0x1e",
        "sendkey 0xzz",
        "sendkey 0x",
        "sendkey <",
        "sendkey A",
        "sendkey a 0",
        "sendkey a -5",
        "sendkey",
        "screendump a.ppm",
        "screendump a.png -f png",
        "screendump a.gif -f gif",
        "screendump a.ppm nosuch",
        "screendump a.ppm port",
        "screendump a.ppm port 2",
        "screendump nosuch/a.ppm",
        "screendump .",
    ]
    options = f"-M {board_name} -S -device isa-serial,id=port,chardev=c -chardev null,id=c".split()
    answers = []
    for program in (hmp, qemu):
        # Both take away the file that they can't write; the device itself must stay.
        full = tmp_path / "full"
        full.unlink(missing_ok=True)
        full.symlink_to("/dev/full")
        session = Session([program, *QEMU_OPTIONS, *options], tmp_path)
        answers.append([(line, session(line)) for line in lines])
        assert session.quit() == 0
    if board_name == "pc":  # it says which BIOS of its display it would start
        answers = [[each for each in answer if each[0] != "info roms"] for answer in answers]
    assert answers[0] == answers[1]


def test_a_display_without_a_guest_is_shown_as_in_qemu(hmp: str, qemu: str, tmp_path: Path) -> None:
    for program in (hmp, qemu):
        name = Path(program).name
        session = Session([program, *QEMU_OPTIONS, "-M", "isapc", "-S"], tmp_path)
        assert session(f"screendump {name}.ppm") == ""
        assert session(f"screendump {name}.png -f png") == ""
        assert session.quit() == 0
    head = b"P6\n640 480\n255\n"
    for path in tmp_path.glob("*.ppm"):
        data = path.read_bytes()
        assert data.startswith(head)
        assert len(data) == len(head) + 640 * 480 * 3
        # The same words in the same place, whatever the letters look like.
        rows = [data[len(head) + y * 1920 :][:1920] for y in range(480)]
        assert {y // 16 for y in range(480) if any(rows[y])} == {14}
        lit = [x for x in range(640) if any(row[3 * x] for row in rows)]
        assert 18 * 8 <= lit[0] < 19 * 8
        assert 61 * 8 <= lit[-1] < 62 * 8
    first, second = (path.read_bytes()[:33] for path in tmp_path.glob("*.png"))
    assert first == second


def test_without_a_display_there_is_nothing_to_dump(hmp: str, qemu: str, tmp_path: Path) -> None:
    argv = "-M isapc -accel tcg -m 1 -nodefaults -display none -monitor stdio -S".split()
    said = set()
    for program in (hmp, qemu):
        session = Session([program, *argv], tmp_path)
        said.add(session("screendump a.ppm"))
        assert session.quit() == 0
    assert said == {"Error: There is no console to take a screendump from\n"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("-vga bogus", "unknown vga type: bogus"),
        (
            "-M isapc -device isa-vga -device isa-vga",
            "-device isa-vga: Only one global VGA device can be used at a time",
        ),
    ],
)
def test_displays_that_cannot_be(
    options: str, complaint: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    plain = "-nodefaults -display none -monitor stdio -S".split()
    for program in (hmp, qemu):
        done = subprocess.run(
            [program, *plain, *options.split()],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == f"{Path(program).name}: {complaint}\n"


# --- keys


# One of each kind; all of them were compared once.
KEYS = (
    "a f12 kp_enter asterisk print pause stop menu home ctrl_r yen less ro audiostop power sysrq"
).split()


@pytest.mark.parametrize("set_1", [False, True], ids=["set 2", "translated"])
def test_keys_send_what_a_real_keyboard_sends(set_1: bool, qemu: str, tmp_path: Path) -> None:
    """As many keys at a time as the keyboard's queue has room for; nobody reads it."""
    (tmp_path / "bios").write_bytes(firmware((TRANSLATE if set_1 else b"") + SPIN))
    options = "-M isapc -accel tcg -m 1 -nodefaults -display none -monitor stdio -bios bios"
    session = Session([qemu, *options.split()], tmp_path)
    rest = list(KEYS)
    while rest:
        batch: list[str] = []
        expected = b""
        while rest:
            codes = [scancodes(rest[0], down=down, set_1=set_1) for down in (True, False)]
            if len(expected) + sum(map(len, codes)) > 16:
                break
            expected += b"".join(codes)
            batch.append(rest.pop(0))
        session("system_reset")
        time.sleep(0.03)  # for the few instructions of the BIOS
        for key in batch:
            session(f"sendkey {key} 1")
        time.sleep(0.004 * len(batch) + 0.02)
        session("stop")
        session('migrate "exec:cat > keys"')
        stream = (tmp_path / "keys").read_bytes()
        at = stream.index(b"\x06ps2kbd") + 7 + 8
        assert stream[at + 16 :][: len(expected)] == expected, batch
        assert int.from_bytes(stream[at + 12 : at + 16], "big") == len(expected), batch
        session("cont")
    assert session.quit() == 0


def test_keys_go_down_and_up_at_their_times() -> None:
    machine = make("isapc")
    isa = machine.isa
    assert isa is not None
    isa.keys.press(["shift", "a"], 0, 1000)
    isa.keys.press(["b"], 500, 10)
    times = []
    while (due := isa.keys.next_ns) is not None:
        isa.run_until(due)
        times.append((due, isa.keyboard.queue.count))
    assert times == [(0, 1), (1000, 2), (2000, 4), (3000, 6), (4000, 7), (4010, 9)]
    assert isa.keyboard.queue.data[:9] == bytes.fromhex("121cf01cf01232f032")
    machine.close()


def test_a_guest_reads_keys_one_by_one_and_is_asked_for_each() -> None:
    machine = make("isapc")
    isa = machine.isa
    assert isa is not None
    controller = isa.controller
    controller.write(pckbd.STATUS_OR_COMMAND, 0x60)
    controller.write(pckbd.DATA, 0x41)
    isa.keyboard.press("a", down=True)
    isa.keyboard.press("home", down=False)
    for expected in (0x1E, 0xE0, 0xC7):
        assert isa.interrupts.first.irr & 2
        assert controller.read(pckbd.STATUS_OR_COMMAND) & 1
        assert controller.read(pckbd.DATA) == expected
    assert not controller.read(pckbd.STATUS_OR_COMMAND) & 1
    assert isa.interrupts.counts[1] == 3
    machine.close()


@given(st.lists(st.integers(0, 255), max_size=300))
def test_a_keyboard_takes_any_command(commands: list[int]) -> None:
    keyboard = Ps2Keyboard()
    for value in commands:
        keyboard.command(value)
        assert 0 <= keyboard.queue.count <= 16
        if value % 3 == 0 and keyboard.queue.count:
            keyboard.take()


# --- ticks


def test_the_timer_ticks_as_a_pc_does() -> None:
    now = [0]
    edges: list[tuple[int, bool]] = []
    timer = I8254(lambda: now[0], lambda level: edges.append((now[0], level)))
    timer.write(CONTROL, 0x34)  # counter 0, both bytes, mode 2
    timer.write(0, 0x9B)
    timer.write(0, 0x2E)  # 11931: a hundred times a second
    edges.clear()
    while (due := timer.next_transition_ns) is not None and due < SECOND:
        now[0] = due
        timer.run_until(due)
    rises = [at for at, level in edges if level]
    assert len(rises) == 100
    for number, at in enumerate(rises, 1):
        assert abs(at - number * 11931 * SECOND // FREQUENCY) <= 1
    now[0] = rises[0] + SECOND // 250
    timer.write(CONTROL, 0)  # latch
    latched = timer.read(0) | timer.read(0) << 8
    passed = SECOND // 250 * FREQUENCY // SECOND
    assert abs(latched - (11931 - passed)) <= 1


@given(
    mode=st.sampled_from([0, 1, 2, 3, 4, 5]),
    count=st.integers(2, 0xFFFF),  # 1 is none of the data sheet's
    times=st.lists(st.integers(0, 10**8), min_size=1, max_size=20),
)
def test_transitions_are_where_the_output_changes(mode: int, count: int, times: list[int]) -> None:
    timer = I8254(lambda: 0, lambda _: None)
    channel = timer.channels[0]
    channel.mode = mode
    channel.load(count, 0)
    for at in times:
        after = channel.transition_after(at)
        if after is None:
            assert channel.output(at) == channel.output(at + 10**12)
            continue
        assert after > at
        assert channel.output(after) != channel.output(at)
        assert channel.output(after - 1) == channel.output(at)


# --- interrupts


def started() -> InterruptControllers:
    """Two controllers as a BIOS leaves them, vectors 8 and 0x70 on."""
    both = InterruptControllers()
    for chip, base, cascade in ((both.first, 0x08, 4), (both.second, 0x70, 2)):
        both.write(chip, COMMAND, 0x11)
        for word in (base, cascade, 0x01):
            both.write(chip, DATA, word)
        both.write(chip, DATA, 0)
    return both


def test_interrupts_come_by_priority_and_wait_for_the_end_of_others() -> None:
    both = started()
    both.set_line(4, True)
    both.set_line(1, True)
    assert both.acknowledge() == 0x09
    assert not both.is_asking  # 4 waits for the end of 1
    both.set_line(0, True)
    assert both.acknowledge() == 0x08
    both.write(both.first, COMMAND, 0x20)
    assert not both.is_asking
    both.write(both.first, COMMAND, 0x20)
    assert both.acknowledge() == 0x0C
    assert both.acknowledge() == 0x0F, "a spurious one"


def test_the_second_controller_goes_by_a_line_of_the_first() -> None:
    both = started()
    both.set_line(8, True)
    assert both.first.irr == 4
    assert both.acknowledge() == 0x70
    assert (both.first.isr, both.second.isr) == (4, 1)
    both.write(both.second, COMMAND, 0x20)
    both.write(both.first, COMMAND, 0x20)
    both.set_line(8, False)
    assert (both.first.isr, both.second.isr, both.is_asking) == (0, 0, False)


def test_a_masked_line_waits_until_it_is_not() -> None:
    both = started()
    both.write(both.first, DATA, 0x02)
    both.set_line(1, True)
    both.set_line(1, False)
    assert not both.is_asking
    both.write(both.first, DATA, 0x00)
    assert both.acknowledge() == 0x09


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.integers(0, 255)), max_size=60))
def test_any_words_leave_a_controller_that_can_be_looked_at(
    words: list[tuple[bool, int, int]],
) -> None:
    both = InterruptControllers()
    for is_first, port, value in words:
        chip = both.first if is_first else both.second
        both.write(chip, port, value)
        both.set_line(value & 15, bool(value & 16))
        if value & 32:
            both.acknowledge()
        assert chip.read(port) in range(256)
        assert all(0 <= getattr(chip, field) < 256 for field in vars(I8259()))
