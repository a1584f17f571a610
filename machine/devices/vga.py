"""A VGA as far as its text screen goes: registers, and the window onto its memory.

Source: IBM's Personal System/2 Hardware Interface Technical Reference, "Video Subsystem".  In
video memory the four planes lie side by side: byte 4 * n + p is byte n of plane p.  Of graphics
modes there is only what it takes to load a font.
"""

from __future__ import annotations

from machine.memory import RamBlock, Window
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Buffer, Int32, UInt8, UInt8Equal, UInt16, UInt32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.memory import Memory

WINDOW_BASE, WINDOW_SIZE = 0xA0000, 0x20000
TEXT, FONT = 0, 2  # planes; attributes are in the one between
_PLANES = 4
_ODD_EVEN, _CHAINED = 0x10, 0x08  # of graphics register 5, of sequencer register 4
# Where the memory is seen in the window, by bits 2 and 3 of graphics register 6: start, bytes.
_APERTURES = ((0, 0x20000), (0, 0x10000), (0x10000, 0x8000), (0x18000, 0x8000))
GLYPHS, GLYPH_ROOM = 256, 32  # of a font, and the bytes that plane 2 has for each
_UNMAPPED = 0xFF
_VBE_ID = 0xB0C5
_VBE_REGISTERS = 10

# The BIOS's mode 3: 80 by 25 characters of 9 by 16 pixels.
_SEQUENCER = bytes.fromhex("0300030002")
_CRTC = bytes.fromhex("5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff")
_GRAPHICS = bytes.fromhex("0000000000100e0fff")
_ATTRIBUTES = bytes.fromhex("000102030405140738393a3b3c3d3e3f0c000f0800")
_MISCELLANEOUS = 0x67
_SCREEN_ON = 0x20  # of the attribute controller's index
_COLOURS = 64  # of the EGA, with which the palette begins
_CURSOR_START, CURSOR_OFF = 0x0A, 0x20
_CURSOR_HIGH, _CURSOR_LOW = 0x0E, 0x0F


class Vga(Window):
    """The device, its registers under the names that the stream has for them.

    Args:
        vram: its memory.

    Attributes:
        sr, gr, ar, cr: sequencer, graphics, attribute and CRT controller.
        palette: three bytes of six bits for each of 256 colours.
    """

    is_vbe_vmstate = 1

    def __init__(self, vram: RamBlock) -> None:
        self.vram = vram
        self.reset()

    def reset(self) -> None:
        """The state after power-on; video memory stays."""
        self.latch = 0
        self.sr_index = self.gr_index = self.ar_index = self.cr_index = 0
        self.sr, self.gr, self.ar, self.cr = bytes(8), bytes(16), bytes(21), bytes(256)
        self.ar_flip_flop = 0
        self.msr = self.fcr = self.st00 = self.st01 = 0
        self.dac_state = self.dac_sub_index = self.dac_read_index = self.dac_write_index = 0
        self.dac_cache, self.palette = bytes(3), bytes(768)
        self.bank_offset = 0
        self.vbe_index = self.vbe_start_addr = self.vbe_line_offset = 0
        self.vbe_regs = [_VBE_ID] + [0] * (_VBE_REGISTERS - 1)
        self.vbe_bank_mask = (self.vram.size >> 16) - 1

    def map_into(self, memory: Memory) -> None:
        """Answer at the addresses that a PC has for it."""
        memory.add_unmapped(self.vram)
        memory.map_window(WINDOW_BASE, WINDOW_SIZE, self)

    # --- what a BIOS does

    def set_text_mode(self, font: bytes) -> None:
        """Set mode 3, load a font and clear the screen.

        Args:
            font: 16 rows of 8 pixels for each of 256 characters.
        """
        self.sr = _SEQUENCER.ljust(8, b"\0")
        self.cr = _CRTC.ljust(256, b"\0")
        self.gr = _GRAPHICS.ljust(16, b"\0")
        self.ar = _ATTRIBUTES
        self.ar_index = _SCREEN_ON
        self.msr = _MISCELLANEOUS
        self.palette = b"".join(_ega_colour(number) for number in range(_COLOURS)).ljust(768, b"\0")
        rows = len(font) // GLYPHS
        plane = b"".join(
            font[start : start + rows].ljust(GLYPH_ROOM, b"\0")
            for start in range(0, len(font), rows)
        )
        self._store(FONT, 0, plane)
        self.write(_APERTURES[3][0], b"\x20\x07" * (_APERTURES[3][1] // 2))

    def set_cursor(self, cell: int | None) -> None:
        """Put the cursor into a cell, counted from the upper left; None hides it."""
        cr = bytearray(self.cr)
        if cell is None:
            cr[_CURSOR_START] |= CURSOR_OFF
        else:
            cr[_CURSOR_START] &= ~CURSOR_OFF
            cr[_CURSOR_HIGH : _CURSOR_LOW + 1] = cell.to_bytes(2, "big")
        self.cr = bytes(cr)

    @property
    def is_on(self) -> bool:
        """Whether anything is shown."""
        return bool(self.ar_index & _SCREEN_ON)

    @property
    def is_text(self) -> bool:
        """Whether it is text that is shown."""
        return self.is_on and not self.gr[6] & 1

    # --- the window

    def read(self, offset: int, size: int) -> bytes:
        """What the guest sees of the memory, through the aperture."""
        start, room = self._aperture
        data = bytearray([_UNMAPPED]) * size
        first = max(offset, start)
        end = min(offset + size, start + room)
        if first >= end:
            return bytes(data)
        at, count = first - start, end - first
        seen = memoryview(data)[first - offset : end - offset]
        if self.sr[4] & _CHAINED:
            seen[:] = self.vram.read(at, count)
        elif self.gr[5] & _ODD_EVEN:
            for half in (0, 1):
                address = at + half
                part = seen[half::2]
                place = (address & ~1) * 2 | address & 1
                part[:] = self._strided(place, len(part))
        else:
            seen[:] = self._strided(at * _PLANES + (self.gr[4] & 3), count)
        return bytes(data)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """What the guest writes through the aperture; beside it, nothing happens."""
        start, room = self._aperture
        first = max(offset, start)
        end = min(offset + len(data), start + room)
        if first >= end:
            return
        at = first - start
        data = bytes(data[first - offset : end - offset])
        if self.sr[4] & _CHAINED:
            self.vram.write(at, data)
        elif self.gr[5] & _ODD_EVEN:
            for half in (0, 1):
                address = at + half
                if self.sr[2] >> (address & 1) & 1:
                    self._store(address & 1, (address & ~1) // 2, data[half::2])
        else:
            for plane in range(_PLANES):
                if self.sr[2] >> plane & 1:
                    self._store(plane, at, data)

    @property
    def _aperture(self) -> tuple[int, int]:
        return _APERTURES[self.gr[6] >> 2 & 3]

    def _strided(self, place: int, count: int) -> bytes:
        return bytes(self.vram.mapping[place : place + count * _PLANES : _PLANES])

    def _store(self, plane: int, at: int, data: bytes) -> None:
        """Write bytes of a plane."""
        if data:
            place = at * _PLANES + plane
            size = (len(data) - 1) * _PLANES + 1
            self.vram.mapping[place : place + size : _PLANES] = data
            self.vram.touch(place, size)


def _ega_colour(number: int) -> bytes:
    """Red, green and blue of one of the EGA's colours, six bits each."""
    return bytes(0x2A * (number >> bit & 1) + 0x15 * (number >> bit + 3 & 1) for bit in (2, 1, 0))


# QEMU 7.2 saves of an isa-vga some other memory of its own under this name, by mistake; of a
# PCI card it saves this.
VGA_STATE = VMStateDescription(
    name="vga",
    version_id=2,
    minimum_version_id=2,
    fields=(
        UInt32("latch"),
        UInt8("sr_index"),
        Buffer("sr", 8),
        UInt8("gr_index"),
        Buffer("gr", 16),
        UInt8("ar_index"),
        Buffer("ar", 21),
        Int32("ar_flip_flop"),
        UInt8("cr_index"),
        Buffer("cr", 256),
        *(UInt8(name) for name in "msr fcr st00 st01".split()),
        *(UInt8(f"dac_{name}") for name in "state sub_index read_index write_index".split()),
        Buffer("dac_cache", 3),
        Buffer("palette", 768),
        Int32("bank_offset"),
        UInt8Equal("is_vbe_vmstate"),
        UInt16("vbe_index"),
        UInt16("vbe_regs", count=_VBE_REGISTERS),
        UInt32("vbe_start_addr"),
        UInt32("vbe_line_offset"),
        UInt32("vbe_bank_mask"),
    ),
)
