"""What a VGA shows, beside what a real one shows of the same memory and registers."""

import random
import resource
import signal
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.devices.vga import VGA_STATE, WINDOW_BASE, Vga
from machine.display.font import GLYPH_HEIGHT, glyphs
from machine.display.picture import Picture
from machine.display.text_screen import lines, picture
from machine.memory import Memory, RamBlock
from tests.machine.test_isa_devices import load, save
from tests.machine.test_pc_devices import read_sections
from tests.session import Session

PC = "-M pc -accel tcg -m 4 -nodefaults -display none -monitor stdio -vga std".split()
TEXT = 0xB8000
VRAM_PAGES = 8  # of the text and the font
PCI_PART = 276  # bytes of the section before the display's own
CURSOR_START = 10


class Booted:
    """A stream of a real PC that shows text."""

    def __init__(self, qemu: str, folder: Path) -> None:
        self.qemu = qemu
        self.folder = folder
        session = Session([qemu, *PC], folder)
        deadline = time.monotonic() + 30
        while "0x076e" not in session(f"xp /1hx {TEXT + 30:#x}"):  # `SeaBIOS (version`, its end
            assert time.monotonic() < deadline
            time.sleep(0.02)
        session("stop")
        session('migrate "exec:cat > booted"')
        assert session.quit() == 0
        self.stream = bytearray((folder / "booted").read_bytes())
        name, _, body, _ = next(
            each for each in read_sections(folder / "booted") if each[0].endswith("/vga")
        )
        assert name == "0000:00:02.0/vga"
        self.registers_at = len(self.stream) - len(body) + PCI_PART
        # The pages of video memory come one after the other, the first with the block's name.
        block = b"0000:00:02.0/vga.vram"
        first = self.stream.index(bytes([len(block)]) + block, 200) + 1 + len(block)
        self.pages_at = [first + number * (4096 + 8) for number in range(VRAM_PAGES)]

    @property
    def vram(self) -> bytes:
        return b"".join(bytes(self.stream[at : at + 4096]) for at in self.pages_at)

    def shown(self, vram: bytes, registers: bytes) -> bytes:
        """What a real display shows of memory and registers, as a PPM file."""
        stream = bytearray(self.stream)
        for number, at in enumerate(self.pages_at):
            stream[at : at + 4096] = vram[number * 4096 : (number + 1) * 4096]
        stream[self.registers_at : self.registers_at + len(registers)] = registers
        (self.folder / "changed").write_bytes(stream)
        arguments = [*PC, "-S", "-incoming", "exec:cat changed"]
        session = Session([self.qemu, *arguments], self.folder)
        deadline = time.monotonic() + 30
        while "inmigrate" in session("info status"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert session("screendump shown.ppm") == ""
        assert session.quit() == 0
        return (self.folder / "shown.ppm").read_bytes()


@pytest.fixture(scope="module")
def booted(qemu: str, tmp_path_factory: pytest.TempPathFactory) -> Booted:
    return Booted(qemu, tmp_path_factory.mktemp("vga"))


def make() -> Vga:
    return Vga(RamBlock("vga.vram", 16 << 20))


@pytest.mark.parametrize("seed", range(3))
def test_any_text_is_shown_as_a_real_display_shows_it(booted: Booted, seed: int) -> None:
    chance = random.Random(seed)
    vram = bytearray(booted.vram)
    for cell in range(80 * 30):
        vram[4 * cell] = chance.randrange(256)
        vram[4 * cell + 1] = chance.randrange(256)
    at = booted.registers_at
    registers = bytearray(booted.stream[at : at + 1131])
    vga = make()
    load(VGA_STATE, vga, bytes(registers), 2)
    cr, ar, sr = bytearray(vga.cr), bytearray(vga.ar), bytearray(vga.sr)
    cr[CURSOR_START] |= 0x20  # it would blink
    if seed:
        cr[0x0D] = 80  # begins a line further down
        ar[0x10] ^= 0x04
        sr[1] ^= 0x01
        ar[0:16] = bytes(chance.randrange(64) for _ in range(16))
    if seed == 2:
        cr[0x13] = 30  # lines that overlap
        cr[0x09] = cr[0x09] & 0xE0 | 0x07
        vga.palette = bytes(chance.randrange(64) for _ in range(768))
    vga.cr, vga.ar, vga.sr = bytes(cr), bytes(ar), bytes(sr)
    vga.vram.write(0, vram)
    assert picture(vga).ppm() == booted.shown(bytes(vram), save(VGA_STATE, vga)[0])


def test_the_text_of_a_real_pc_can_be_read(booted: Booted) -> None:
    vga = make()
    at = booted.registers_at
    load(VGA_STATE, vga, bytes(booted.stream[at : at + 1131]), 2)
    vga.vram.write(0, booted.vram)
    assert lines(vga)[0].startswith("SeaBIOS (version ")
    assert len(lines(vga)) == 25


def test_a_mode_that_we_set_is_the_one_that_a_real_bios_sets(booted: Booted) -> None:
    real, own = make(), make()
    at = booted.registers_at
    load(VGA_STATE, real, bytes(booted.stream[at : at + 1131]), 2)
    own.set_text_mode(glyphs())
    for name in ("sr", "gr", "ar", "ar_index", "msr", "palette"):
        assert getattr(own, name) == getattr(real, name), name
    cursor = slice(0x0E, 0x10)
    assert own.cr[:0x0E] == real.cr[:0x0E]
    assert own.cr[cursor.stop :] == real.cr[cursor.stop :]


# --- the window onto its memory


def test_text_is_seen_where_a_pc_has_it() -> None:
    memory, vga = Memory(), make()
    memory.map(0, RamBlock("ram", 1 << 20))
    memory.write(0xB7FFE, b"\1\2\3\4")
    vga.map_into(memory)
    vga.set_text_mode(glyphs())
    memory.write(TEXT + 1, b"\x1fB\x2eC")
    assert memory.read(TEXT, 6) == b" \x1fB\x2eC\x07"
    assert memory.read(TEXT - 2, 4) == b"\xff\xff \x1f"
    assert memory.read(WINDOW_BASE - 2, 4) == b"\0\0\xff\xff"
    assert bytes(vga.vram.view[0:12:4]) == b" BC"
    assert bytes(vga.vram.view[1:13:4]) == b"\x1f\x2e\x07"
    assert lines(vga)[0].rstrip() == " BC"


@given(
    st.lists(
        st.tuples(st.integers(0xAFFF0, 0xC0010), st.binary(max_size=40)), min_size=1, max_size=20
    )
)
def test_the_window_keeps_what_is_written_to_it(writes: list[tuple[int, bytes]]) -> None:
    memory, vga = Memory(), make()
    memory.map(0, RamBlock("ram", 1 << 20))
    vga.map_into(memory)
    vga.set_text_mode(glyphs())
    model = bytearray(memory.read(0xA0000, 0x30000))
    for address, data in writes:
        memory.write(address, data)
        for index, byte in enumerate(data):
            if TEXT <= address + index < 0xC0000 or address + index >= 0xC0000:
                model[address + index - 0xA0000] = byte
            elif address + index < WINDOW_BASE:
                raise AssertionError
    assert memory.read(0xA0000, 0x30000) == bytes(model)


@given(st.binary(min_size=1131 - 24, max_size=1131 - 24))
def test_any_registers_give_a_picture(registers: bytes) -> None:
    vga = make()
    body = bytearray(registers + bytes(24))
    at = 4 + 1 + 8 + 1 + 16 + 1 + 21 + 4 + 1 + 256 + 4 + 4 + 3 + 768 + 4
    body[at] = 1  # it tells whether there are VBE registers, as there are
    load(VGA_STATE, vga, bytes(body), 2)
    shown = picture(vga)
    assert {len(row) for row in shown.rows} == {3 * shown.width}


# --- files


def test_pictures_can_be_read_by_others(tmp_path: Path) -> None:
    rows = [bytes([x, y, 7]) * 5 for x, y in ((1, 2), (3, 4), (250, 251))]
    shown = Picture(5, rows)
    assert shown.ppm() == b"P6\n5 3\n255\n" + b"".join(rows)
    shown.save(str(tmp_path / "a.png"), "png")
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks = {}
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size
        assert data[at - 4 : at] == zlib.crc32(kind + body).to_bytes(4, "big")
        chunks[kind] = body
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[b"IHDR"] == bytes([0, 0, 0, 5, 0, 0, 0, 3, 8, 2, 0, 0, 0])
    assert zlib.decompress(chunks[b"IDAT"]) == b"".join(b"\0" + row for row in rows)


def test_a_picture_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    """On a file system of its own kind of fullness: a limit on the size of files."""
    shown = Picture(640, [bytes(1920)] * 480)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(QemuError, match="Unable to write to file: File too large"):
            shown.save(str(tmp_path / "a.ppm"), "ppm")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(QemuError, match="No space left on device"):
        shown.save("/dev/full", "png")
    assert Path("/dev/full").is_char_device()


def test_the_font_has_a_letter_for_each_that_is_printable() -> None:
    font = glyphs()
    letters = [font[code * GLYPH_HEIGHT :][:GLYPH_HEIGHT] for code in range(0x20, 0x7F)]
    assert len(set(letters)) == len(letters)
    assert [code for code in range(0x21, 0x7F) if not any(letters[code - 0x20])] == []
