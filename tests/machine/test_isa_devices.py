"""The clock and the serial port: their sections beside a real PC's, and what a guest sees."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.chardev.device import Chardev, RingBuffer
from machine.clock import VirtualClock
from machine.devices import mc146818rtc as rtc
from machine.devices import serial
from machine.devices.mc146818rtc import MC146818RTC, Mc146818Rtc
from machine.devices.serial import SERIAL, Serial16550
from machine.loop import MainLoop
from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
from machine.rtc import RtcClock
from machine.vmstate.description import VMStateDescription
from machine.vmstate.vmdesc import to_json
from tests.machine.machines import Bytes, Collecting
from tests.session import Session

SECOND = 1_000_000_000
FOOTER = b"\x7e"  # what comes next is no subsection
DATE = 1150560081  # 2006-06-17 16:01:21 UTC, a Saturday
ISAPC = "-M isapc -accel tcg -m 1 -nodefaults -display none -S -monitor stdio".split()


@pytest.fixture(scope="module")
def stream(qemu: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a real isapc with a clock and a serial port saves."""
    folder = tmp_path_factory.mktemp("isapc")
    argv = [qemu, *ISAPC, "-serial", "null", "-rtc", "base=2006-06-17T16:01:21"]
    subprocess.run(
        argv,
        cwd=folder,
        input=b'migrate "exec:cat > state"\nquit\n',
        capture_output=True,
        timeout=30,
        check=True,
    )
    return (folder / "state").read_bytes()


def section(stream: bytes, name: str, size: int) -> tuple[int, bytes]:
    """A section's version and body."""
    at = stream.index(bytes([len(name)]) + name.encode()) + 1 + len(name)
    assert stream[at : at + 4] == bytes(4), "the instance"
    version = int.from_bytes(stream[at + 4 : at + 8], "big")
    assert stream[at + 8 + size] == 0x7E, "the footer"
    return version, stream[at + 8 : at + 8 + size]


def described(stream: bytes, name: str) -> dict[str, object]:
    """How the stream itself describes a section."""
    text = stream[stream.index(b'{"page_size"') :].rstrip(b"\0")
    devices = json.loads(text)["devices"]
    found = next(device for device in devices if device["name"] == name)
    return {key: found[key] for key in ("vmsd_name", "version", "fields")}


def save(description: VMStateDescription, device: object) -> tuple[bytes, dict[str, object]]:
    channel = Collecting()
    file = QEMUFileWriter(channel)
    written = description.save(file, device)
    file.flush()
    return bytes(channel.data), dict(json.loads(to_json(written)))


def load(description: VMStateDescription, device: object, body: bytes, version: int) -> None:
    file = QEMUFileReader(Bytes(body + FOOTER))
    description.load(file, device, version, pytest.fail).apply(device)


class Moment:
    """A host's clock that stands still."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def __call__(self) -> int:
        return self.ns


def make_rtc(now: Moment, *, base: int | None = DATE) -> Mc146818Rtc:
    return Mc146818Rtc(RtcClock(now, VirtualClock(manual=True), base=base))


def test_the_clocks_section_is_what_a_real_one_has(stream: bytes) -> None:
    size = 128 + 1 + 28 + 16 + 24 + 8 + 40
    version, body = section(stream, "mc146818rtc", size)
    now = Moment(int.from_bytes(body[-32:-24], "big"))  # when theirs was last brought up to date
    clock = make_rtc(now)
    ours, description = save(MC146818RTC, clock)
    assert description == described(stream, "mc146818rtc")
    assert (version, len(ours)) == (3, size)
    # The memory's size and the boot order belong to the board, which puts them there.
    times = range(size - 24, size)
    board = {0x15, 0x16, 0x17, 0x18, 0x10, 0x14, 0x2D, 0x30, 0x31, 0x34, 0x35, 0x38, 0x3D}
    differing = {at for at in range(size) if ours[at] != body[at] and at not in times}
    # A second may have passed between the registers and the moment beside them.
    seconds = (int(f"{body[0]:x}") - int(f"{ours[0]:x}")) % 60
    assert seconds in (0, 1, 59)
    assert differing - {0} <= board
    load(MC146818RTC, clock, body, version)
    assert save(MC146818RTC, clock)[0] == body


def test_the_serial_ports_section_is_what_a_real_one_has(stream: bytes) -> None:
    version, body = section(stream, "serial", 11)
    port = Serial16550(None)
    ours, description = save(SERIAL, port)
    assert description == described(stream, "serial")
    assert (version, ours) == (3, body)
    changed = bytes(range(11))
    load(SERIAL, port, changed, version)
    assert save(SERIAL, port)[0] == changed
    assert (port.divider, port.scr) == (1, 9)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_the_registers_show_the_date(date: int) -> None:
    now = Moment(123 * SECOND)
    clock = make_rtc(now, base=date)
    now.ns += 86_399 * SECOND
    clock.update_registers()
    shown = time.gmtime(date + 86_399)
    registers = clock.cmos_data
    for register, number in (
        (rtc.SECONDS, shown.tm_sec),
        (rtc.MINUTES, shown.tm_min),
        (rtc.HOURS, shown.tm_hour),
        (rtc.DAY, shown.tm_mday),
        (rtc.MONTH, shown.tm_mon),
        (rtc.YEAR, shown.tm_year % 100),
        (rtc.CENTURY, shown.tm_year // 100),
        (rtc.WEEKDAY, (shown.tm_wday + 1) % 7 + 1),
    ):
        assert f"{registers[register]:x}" == str(number)  # binary coded decimal


def test_twelve_hours_and_binary_numbers() -> None:
    clock = make_rtc(Moment(0))
    registers = bytearray(clock.cmos_data)
    registers[rtc.REGISTER_B] = 0x04
    clock.cmos_data = bytes(registers)
    clock.update_registers()
    assert clock.cmos_data[rtc.HOURS] == 0x80 | 4
    assert clock.cmos_data[rtc.MINUTES] == 1


def test_a_clock_that_is_being_set_stands_still() -> None:
    now = Moment(0)
    clock = make_rtc(now)
    registers = bytearray(clock.cmos_data)
    registers[rtc.REGISTER_B] |= 0x80
    clock.cmos_data = bytes(registers)
    now.ns += 5 * SECOND
    clock.update_registers()
    assert clock.cmos_data == bytes(registers)


def test_a_clock_that_follows_the_guest_stands_still_with_it() -> None:
    virtual = VirtualClock(manual=True)
    clock = Mc146818Rtc(RtcClock(Moment(7), virtual, base=DATE, follows_guest=True))
    assert clock.now_ns() == DATE * SECOND
    virtual.start()
    virtual.advance(3 * SECOND)
    assert clock.now_ns() == (DATE + 3) * SECOND


# --- the serial port


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    loop = MainLoop()
    yield loop
    loop.close()


class Line(Chardev):
    """A line that is spoken into by hand."""

    filename = "line"

    def __init__(self, loop: MainLoop) -> None:
        super().__init__(loop, "line")
        self.is_open = True
        self.sent = b""

    def _send(self, data: bytes) -> None:
        self.sent += data

    @property
    def is_listened_to(self) -> bool:
        return self._wants_input

    def say(self, data: bytes) -> None:
        self._receive(data)


def test_bytes_come_one_by_one_and_the_line_waits(loop: MainLoop) -> None:
    line = Line(loop)
    port = Serial16550(line)
    port.write(serial.INTERRUPT_ENABLE, 1)
    line.say(b"abc")
    assert not line.is_listened_to
    for expected in b"abc":
        assert port.read(serial.LINE_STATUS) & 1
        assert port.read(serial.INTERRUPT_ID) == 4
        assert port.read(serial.DATA) == expected
    assert port.read(serial.LINE_STATUS) == 0x60
    assert port.read(serial.INTERRUPT_ID) == 1
    assert line.is_listened_to


def test_what_the_guest_writes_goes_out(loop: MainLoop) -> None:
    line = Line(loop)
    port = Serial16550(line)
    for byte in b"hello":
        port.write(serial.DATA, byte)
    assert line.sent == b"hello"
    port.write(serial.INTERRUPT_ENABLE, 2)
    assert port.read(serial.INTERRUPT_ID) == 2
    assert port.read(serial.INTERRUPT_ID) == 1


def test_the_divisor_hides_behind_a_bit() -> None:
    port = Serial16550(None)
    port.write(serial.LINE_CONTROL, 0x83)
    port.write(serial.DATA, 0x34)
    port.write(serial.INTERRUPT_ENABLE, 0x12)
    assert (port.read(serial.DATA), port.read(serial.INTERRUPT_ENABLE)) == (0x34, 0x12)
    port.write(serial.LINE_CONTROL, 0x03)
    assert (port.divider, port.read(serial.INTERRUPT_ENABLE)) == (0x1234, 0)
    port.write(serial.SCRATCH, 0x5A)
    assert port.read(serial.SCRATCH) == 0x5A


def test_a_loop_brings_back_bytes_and_modem_lines(loop: MainLoop) -> None:
    line = Line(loop)
    port = Serial16550(line)
    port.write(serial.MODEM_CONTROL, 0x10 | 0x0F)
    port.write(serial.DATA, 0x41)
    assert (line.sent, port.read(serial.DATA)) == (b"", 0x41)
    assert port.read(serial.MODEM_STATUS) == 0xF0
    port.write(serial.MODEM_CONTROL, 0x10)
    assert port.read(serial.MODEM_STATUS) == 0


def test_a_break_and_another_line(loop: MainLoop) -> None:
    line = Line(loop)
    port = Serial16550(line)
    line.receive_break()
    assert port.read(serial.LINE_STATUS) & 0x11 == 0x11
    assert port.read(serial.DATA) == 0
    ring = RingBuffer(loop, "ring", 64)
    assert line.swap is not None
    line.swap(ring)
    port.write(serial.DATA, 0x42)
    assert (line.sent, ring.read(9)) == (b"", b"B")


def test_a_pc_goes_back_with_its_clock_its_port_and_its_cards(
    hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "16M"], cwd=tmp_path)
    argv = [hmp, *"-M pc -m 16 -nodefaults -display none -monitor stdio -serial null".split()]
    argv += "-drive if=none,id=d0,file=d.qcow2 -device e1000,id=n0".split()
    session = Session(argv, tmp_path)
    assert session("savevm one") == ""
    assert session("device_add e1000,id=n1") == ""
    assert session("savevm two") == ""
    assert session("loadvm two") == ""
    # With a card less the state of two doesn't fit any more; with one it does again.
    assert session("device_del n1") == ""
    assert session("system_reset") == ""
    assert session("loadvm two") == (
        "Unknown savevm section or instance '0000:00:03.0/e1000' 0. "
        "Make sure that your current VM setup matches your saved VM setup, "
        "including any hotplugged devices\n"
        "Error: Error -22 while loading VM state\n"
    )
    assert session("loadvm one") == ""
    assert session("device_add e1000,id=n1") == ""
    assert session("loadvm two") == ""
    assert session.quit() == 0
