"""The I/O ports of a machine, as far as its devices have them, for who looks at them by hand.

A wide access is one to the device of its first port, a byte after the other, as in QEMU.
"""

from __future__ import annotations

from machine.devices import i8259
from machine.devices.mc146818rtc import CMOS_SIZE, FIRST_FREE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Protocol

    from machine.devices.isa import IsaDevices
    from machine.machine import Machine

    class Device(Protocol):
        """What has ports, counted from 0."""

        def read(self, port: int, /) -> int: ...
        def write(self, port: int, value: int, /) -> object: ...

    Read = Callable[[int], int]
    Write = Callable[[int, int], object]

PORT_COUNT = 1 << 16
_SERIAL_PORTS = (0x3F8, 0x2F8, 0x3E8, 0x2E8)
_NOTHING = 0xFF  # what is read where no device is
# A PC's other devices there, which nothing here answers for: first port and count.
_OTHERS = (
    *((port, 1) for port in (0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F, 0x92)),
    *((0x170, 8), (0x1F0, 8), (0x376, 1), (0x378, 8), (0x3F0, 8), (0x4D0, 2), (0x510, 12)),
    (0x5658, 1),
)
_OTHERS_OF_VGA = ((0x1CE, 3), (0x3B0, 0x30))
_OTHERS_OF_PCI = (
    *((0xB2, 2), (0x600, 0x40), (0x700, 0x40), (0xAE00, 0x20), (0xAFE0, 4), (0xCF8, 8)),
)


class NoSuchPort(Exception):
    """A device is there that isn't simulated, or does not do this."""


class _Range:
    """The ports of one device."""

    __slots__ = ("count", "first", "read", "write")

    def __init__(self, first: int, count: int, read: Read, write: Write) -> None:
        self.first = first
        self.count = count
        self.read = read
        self.write = write


class Ports:
    """All ports of a machine.

    Args:
        machine: what devices it has is looked at once.
    """

    def __init__(self, machine: Machine) -> None:
        self._ranges: list[_Range] = []
        self._others: list[tuple[int, int]] = []
        if machine.isa is not None:
            self._ranges += _ranges(machine.isa, machine.board.parts)
            self._others += _OTHERS
            self._others += _OTHERS_OF_VGA if machine.isa.vga is not None else ()
            self._others += _OTHERS_OF_PCI if "PCI" in machine.board.buses else ()

    def read(self, port: int, size: int) -> int:
        """A number of so many bytes.

        Raises:
            NoSuchPort: nothing here answers.
        """
        found = self._find(port)
        if found is None:
            reach = min(size, PORT_COUNT - port)  # nothing is behind the last port
            return (1 << 8 * reach) - 1
        data = bytes(found.read(port - found.first + index) & 0xFF for index in range(size))
        return int.from_bytes(data, "little")

    def write(self, port: int, size: int, value: int) -> None:
        """Raises: NoSuchPort: nothing here listens."""
        found = self._find(port)
        for index in range(size if found is not None else 0):
            assert found is not None
            found.write(port - found.first + index, value >> 8 * index & 0xFF)

    def _find(self, port: int) -> _Range | None:
        for each in self._ranges:
            if each.first <= port < each.first + each.count:
                return each
        if any(first <= port < first + count for first, count in self._others):
            raise NoSuchPort
        return None


def _ranges(isa: IsaDevices, parts: Collection[str]) -> Iterator[_Range]:
    if "pic" in parts:
        yield _interrupts(isa.interrupts, 0x20, is_second=False)
        yield _interrupts(isa.interrupts, 0xA0, is_second=True)
    if "pit" in parts:
        yield _device(0x40, 4, isa.timer)
    if "i8042" in parts:
        # A board with a keyboard has the other old devices too.
        speaker = Speaker(isa)
        yield _Range(0x61, 1, lambda _: speaker.read(), lambda _, value: speaker.write(value))
        yield _device(0x60, 1, isa.controller, 0)
        yield _device(0x64, 1, isa.controller, 1)
        for first, count in ((0x00, 16), (0xC0, 32)):  # the DMA controllers: nothing starts them
            yield _Range(first, count, lambda _: 0, _refuse)
    if "rtc" in parts:
        yield _Range(
            0x70,
            2,
            lambda offset: isa.rtc.read() if offset & 1 else _NOTHING,
            lambda offset, value: _write_clock(isa, offset, value),
        )
    for first, serial in zip(_SERIAL_PORTS, isa.serials, strict=False):
        yield _device(first, 8, serial)


def _device(first: int, count: int, device: Device, port: int = 0) -> _Range:
    """A device with so many ports, from one of its own on; behind the last is the first again."""
    return _Range(
        first,
        count,
        lambda offset: device.read(port + offset % count),
        lambda offset, value: device.write(port + offset % count, value),
    )


def _interrupts(both: i8259.InterruptControllers, first: int, *, is_second: bool) -> _Range:
    chip = both.second if is_second else both.first

    def port(offset: int) -> int:
        return i8259.DATA if offset else i8259.COMMAND

    return _Range(
        first,
        2,
        lambda offset: chip.read(port(offset)),
        lambda offset, value: both.write(chip, port(offset), value),
    )


def _refuse(_: int, __: int) -> None:
    raise NoSuchPort


def _write_clock(isa: IsaDevices, offset: int, value: int) -> None:
    """Choose a register, or write to it; the date can't be set here."""
    if not offset & 1:
        isa.rtc.cmos_index = value % CMOS_SIZE
    elif isa.rtc.cmos_index < FIRST_FREE:
        raise NoSuchPort
    else:
        isa.rtc.write(value)


class Speaker:
    """Port 0x61: the speaker, the counter that it follows, and a line that goes up and down."""

    __slots__ = ("_is_on", "_isa", "_refreshes")

    def __init__(self, isa: IsaDevices) -> None:
        self._isa = isa
        self._is_on = 0
        self._refreshes = 0

    def read(self) -> int:
        timer = self._isa.timer
        self._refreshes ^= 1
        counter = timer.channels[2]
        output = counter.output(timer.now_ns())
        return counter.gate | self._is_on << 1 | self._refreshes << 4 | output << 5

    def write(self, value: int) -> None:
        self._is_on = value >> 1 & 1
        self._isa.timer.set_gate(2, value & 1)
