"""What the scripted guest does with the devices of a PC.

It has the timer interrupt it twenty times a second.  Each second it counts, writes the count to
the first block of its disk, to the serial port and to the screen, with the date from the
real-time clock; each tenth second it sends a frame.  Keys are shown as they come; F1 and F2
choose how fast pages of RAM and blocks of the disk are written.

It does all that through the devices' registers, at guest times that follow from the timer alone,
and keeps nothing outside of memory: what a saved machine is goes on from there, always in the
same way.
"""

from __future__ import annotations

from machine.cpu.keyboard_map import letter
from machine.devices import i8254, i8259, pckbd, serial
from machine.devices.mc146818rtc import CENTURY, DAY, HOURS, MINUTES, MONTH, SECONDS, YEAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from machine.cpu.budget import Budget
    from machine.cpu.notes import Notes
    from machine.devices.isa import IsaDevices
    from machine.memory import Memory
    from machine.net.network import Nic

TICKS = 20  # a second
_COUNT = -(-i8254.FREQUENCY // TICKS)  # rounded up: a second is over when it is counted
_TIMER_VECTOR, _KEYBOARD_VECTOR = 0x08, 0x09
_MASK = 0xFC  # all lines but those two
_END_OF_INTERRUPT = 0x20
# What a processor would execute: at 0x7C00 sti; hlt; jmp back, and for the interrupts
# push ax; mov al, 0x20; out 0x20, al; pop ax; iret.
_CODE_AT, _CODE = 0x7C00, bytes.fromhex("fbf4ebfc")
_HANDLER_AT, _HANDLER = 0x7C10, bytes.fromhex("50b020e62058cf")
_MOST_SECONDS_BEHIND = 3600
_FRAME_SECONDS = 10
_FRAME_TYPE = b"\x88\xb5"  # for local experiments
_FRAME_SIZE = 60

# The screen.
_TEXT_BASE, _COLUMNS, _LINES = 0xB8000, 80, 25
_PLAIN, _TITLE, _NOTE = 0x07, 0x1F, 0x08
_TITLE_TEXT = "hmp's scripted guest"
_NOTES = {
    9: "  F1 and F2 change how many pages and blocks are written: 0, 16, 256, 4096 a s",
    10: "  What is typed is shown below.",
}
_FIRST_TYPED_LINE = 12
_EXTENDED, _RELEASED = 0xE0, 0x80
_SHIFTS = (0x2A, 0x36)
_BACKSPACE, _ENTER, _F1, _F2 = 0x0E, 0x1C, 0x3B, 0x3C
_CHOICES = 4


class Program:
    """The program.

    Args:
        memory: the physical address space.
        isa: the devices.
        nics: the network cards there are.

    Attributes:
        write_log: writes text to the disk, if there is one.
    """

    def __init__(self, memory: Memory, isa: IsaDevices, nics: Callable[[], Sequence[Nic]]) -> None:
        self._memory = memory
        self._isa = isa
        self._nics = nics
        self.write_log: Callable[[bytes], object] = _nothing

    # --- what the processor asks

    def start(self, notes: Notes) -> None:
        """Set up the devices, as firmware and an operating system would."""
        isa = self._isa
        both = isa.interrupts
        for chip, base, cascade in ((both.first, _TIMER_VECTOR, 4), (both.second, 0x70, 2)):
            both.write(chip, i8259.COMMAND, 0x11)
            for word in (base, cascade, 0x01):
                both.write(chip, i8259.DATA, word)
        both.write(both.first, i8259.DATA, _MASK)
        both.write(both.second, i8259.DATA, 0xFF)
        isa.timer.write(i8254.CONTROL, 0x34)  # the first counter, in both bytes, at a rate
        isa.timer.write(0, _COUNT & 0xFF)
        isa.timer.write(0, _COUNT >> 8)
        isa.controller.write(pckbd.STATUS_OR_COMMAND, 0x60)
        isa.controller.write(pckbd.DATA, pckbd.TRANSLATE | 0x05)
        self._put(_CODE_AT, _CODE)
        self._put(_HANDLER_AT, _HANDLER)
        handler = _HANDLER_AT.to_bytes(4, "little")
        self._put(4 * _TIMER_VECTOR, handler + handler)
        notes.cursor = _FIRST_TYPED_LINE * _COLUMNS
        if isa.vga is not None:
            from machine.display.font import glyphs

            isa.vga.set_text_mode(glyphs())
            self._show(0, 0, _TITLE_TEXT.center(_COLUMNS), _TITLE)
            for line, text in _NOTES.items():
                self._show(line, 0, text, _NOTE)
        self._show_counts(notes)

    @property
    def next_event_ns(self) -> int | None:
        """When a device does something next, in guest time."""
        return self._isa.next_event_ns

    def wake_ns(self, budget: Budget) -> int | None:
        """When to look at the devices again; the end of a tick alone wakes nobody."""
        if budget.is_endless:
            return self.next_event_ns
        return self._isa.next_interrupt_ns

    def take_event(self, notes: Notes, event_ns: int) -> None:
        """Let the devices come to a moment, and answer their interrupts."""
        isa = self._isa
        isa.run_until(event_ns)
        both = isa.interrupts
        while both.is_asking:
            vector = both.acknowledge()
            if vector == _TIMER_VECTOR:
                notes.ticks += 1
                self._echo_serial()
            elif vector == _KEYBOARD_VECTOR:
                code = isa.controller.read(pckbd.DATA)
                if code != _EXTENDED:
                    self._take_key(notes, code, event_ns)
            both.write(both.first, i8259.COMMAND, _END_OF_INTERRUPT)

    def has_work(self, notes: Notes) -> bool:
        """Whether a second has passed for which nothing was done yet."""
        return notes.ticks >= (notes.seconds + 1) * TICKS

    def work(self, notes: Notes) -> None:
        """Do what is done each second.

        Raises:
            QemuError: the disk can't be written; nothing else was done then.
        """
        second = notes.seconds + 1
        if notes.ticks // TICKS - second > _MOST_SECONDS_BEHIND:
            second = notes.ticks // TICKS  # somebody else wrote to this memory
        self.write_log(f"hmp's guest: second {second}, {self._date()}\n".encode())
        notes.seconds = second
        self._say(f"second {second}, {self._date()}\r\n".encode())
        if second % _FRAME_SECONDS == 0:
            self._send_frame(notes)
        self._show_counts(notes)

    def registers(self, notes: Notes) -> Mapping[str, int]:
        """What a processor would have in its registers as it waits for the next interrupt."""
        return {
            "eax": notes.seconds & 0xFFFFFFFF,
            "ebx": notes.keys & 0xFFFFFFFF,
            "ecx": notes.ticks & 0xFFFFFFFF,
            "edx": 0,
            "esp": _CODE_AT,
            "eip": _CODE_AT + 2,
            "eflags": 0x202,
            "cs": 0,
            "cs.base": 0,
            "cr0": 0x10,
            "halted": 1,
        }

    # --- the devices

    def _put(self, address: int, data: bytes) -> None:
        self._memory.write(address, data)

    def _date(self) -> str:
        rtc = self._isa.rtc
        rtc.update_registers()
        digits = [
            f"{rtc.cmos_data[register]:02x}"
            for register in (CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS)
        ]
        century, year, month, day, *clock = digits
        return f"{century}{year}-{month}-{day} {':'.join(clock)}"

    def _say(self, text: bytes) -> None:
        for port in self._isa.serials[:1]:
            for byte in text:
                port.write(serial.DATA, byte)

    def _echo_serial(self) -> None:
        for port in self._isa.serials[:1]:
            while port.read(serial.LINE_STATUS) & 0x01:
                port.write(serial.DATA, port.read(serial.DATA))

    def _send_frame(self, notes: Notes) -> None:
        for nic in self._nics():
            text = f"hmp's guest: second {notes.seconds}".encode()
            frame = b"\xff" * 6 + nic.mac + _FRAME_TYPE + text
            nic.send(frame.ljust(_FRAME_SIZE, b"\0"))
            notes.frames += 1

    # --- keys

    def _take_key(self, notes: Notes, code: int, now_ns: int) -> None:
        is_down = not code & _RELEASED
        code &= ~_RELEASED
        if code in _SHIFTS:
            notes.shift = int(is_down)
        if not is_down:
            return
        notes.keys += 1
        if code == _F1:
            notes.pages_choice = notes.pages_choice % _CHOICES + 1
            notes.pages_since_ns, notes.pages_before = now_ns, notes.pages
        elif code == _F2:
            notes.blocks_choice = notes.blocks_choice % _CHOICES + 1
            notes.blocks_since_ns, notes.blocks_before = now_ns, notes.blocks
        else:
            self._type(notes, code)
        self._show_counts(notes)

    def _type(self, notes: Notes, code: int) -> None:
        first, end = _FIRST_TYPED_LINE * _COLUMNS, _LINES * _COLUMNS
        cursor = min(max(notes.cursor, first), end - 1)
        if code == _BACKSPACE:
            cursor = max(cursor - 1, first)
            self._show(0, cursor, " ")
        elif code == _ENTER:
            cursor += _COLUMNS - cursor % _COLUMNS
        elif text := letter(code, shifted=bool(notes.shift)):
            self._show(0, cursor, text)
            cursor += 1
        if cursor == end:
            # The lines move up.
            cursor -= _COLUMNS
            if self._isa.vga is not None:
                size = 2 * (end - first - _COLUMNS)
                above = _TEXT_BASE + 2 * first
                self._put(above, self._memory.read(above + 2 * _COLUMNS, size))
            self._show(_LINES - 1, 0, " " * _COLUMNS)
        notes.cursor = cursor

    # --- the screen

    def _show(self, line: int, column: int, text: str, attribute: int = _PLAIN) -> None:
        if self._isa.vga is not None:
            cells = bytearray([0, attribute]) * len(text)
            cells[::2] = text.encode("ascii", "replace")
            self._put(_TEXT_BASE + 2 * (line * _COLUMNS + column), bytes(cells))

    def _show_counts(self, notes: Notes) -> None:
        for line, (name, value) in enumerate(
            (
                ("Seconds", f"{notes.seconds}"),
                ("Date", self._date()),
                ("Keys", f"{notes.keys}"),
                ("Pages written", f"{notes.pages}"),
                ("Blocks written", f"{notes.blocks}"),
                ("Frames sent", f"{notes.frames}"),
            ),
            2,
        ):
            self._show(line, 2, f"{name:16}{value:24}")
        if self._isa.vga is not None:
            self._isa.vga.set_cursor(notes.cursor)


def _nothing(_text: bytes) -> None:
    """Nobody writes it down."""
