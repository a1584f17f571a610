"""What a PC has on its ISA bus: interrupts, ticks, the date, keys and serial ports."""

from __future__ import annotations

from machine.devices.i8254 import I8254, I8254_STATE
from machine.devices.i8259 import I8259_STATE, InterruptControllers
from machine.devices.key_queue import KeyQueue
from machine.devices.mc146818rtc import MC146818RTC, Mc146818Rtc
from machine.devices.pckbd import I8042, I8042_STATE
from machine.devices.ps2 import PS2_KEYBOARD_STATE, PS2_MOUSE_STATE, Ps2Keyboard, Ps2Mouse
from machine.devices.serial import PORT_COUNT, SERIAL, Serial16550

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from machine.boards import Board
    from machine.devices.vga import Vga
    from machine.machine import Machine
    from machine.vmstate.description import VMStateDescription

_TICK, _KEYBOARD = 0, 1  # interrupt lines


class IsaDevices:
    """The board's devices on its ISA bus, and those that are plugged in and that a guest uses.

    Those that the board doesn't have are there all the same, for guests of ours that count on
    them; neither the monitor nor a saved state knows of them.

    Attributes:
        rtc: the date.
        serials: the ports that something is connected to.
        vga: the display; None for none.
        displays: the display of each device that has one, by the device's id.
        keys: what is typed and hasn't come to the keyboard yet.
    """

    def __init__(self, machine: Machine) -> None:
        self._parts = machine.board.parts
        self.interrupts = InterruptControllers()
        if {"hpet", "pit"} <= self._parts:
            self.interrupts.counts[_TICK] = 1  # QEMU's HPET raises it once whenever it is reset
        self._was_reset = False
        self.rtc = Mc146818Rtc(machine.rtc_clock)
        self.timer = I8254(
            lambda: machine.clock.now_ns(),  # another clock may take its place
            lambda level: self.interrupts.set_line(_TICK, level),
        )
        self.serials = [
            Serial16550(chardev.claim())
            for chardev in machine.serials[: room_for_ports(machine.board)]
            if chardev is not None
        ]
        self.keyboard = Ps2Keyboard()
        self.mouse = Ps2Mouse()
        self.controller = I8042(
            self.keyboard, self.mouse, lambda level: self.interrupts.set_line(_KEYBOARD, level)
        )
        self.keys = KeyQueue(self.keyboard)
        self.vga: Vga | None = None
        self.displays: dict[str, Vga] = {}

    @property
    def states(self) -> Iterator[tuple[VMStateDescription, Any]]:
        """What is saved of them, in QEMU's order."""
        if "pic" in self._parts:
            yield I8259_STATE, self.interrupts.first
            yield I8259_STATE, self.interrupts.second
        if "rtc" in self._parts:
            yield MC146818RTC, self.rtc
        if "pit" in self._parts:
            yield I8254_STATE, self.timer
        for serial in self.serials:
            yield SERIAL, serial
        if "i8042" in self._parts:
            yield PS2_KEYBOARD_STATE, self.keyboard
            yield PS2_MOUSE_STATE, self.mouse
            yield I8042_STATE, self.controller

    def add_display(self, vga: Vga, id: str) -> None:
        """A display is plugged in; the first is the one that guests use.

        Args:
            id: the device's; "" for none.
        """
        self.vga = self.vga or vga
        self.displays[id] = vga

    def reset(self) -> None:
        """What the reset button does to them; the date goes on."""
        self.interrupts.reset()
        if self._was_reset and {"hpet", "pit"} <= self._parts:
            self.interrupts.counts[_TICK] += 1
        self._was_reset = True
        self.timer.reset()
        self.keyboard.reset()
        self.mouse.reset()
        self.controller.reset()
        self.keys.clear()
        for serial in self.serials:
            serial.reset()
        for vga in self.displays.values():
            vga.reset()

    @property
    def next_event_ns(self) -> int | None:
        """When something happens next that the guest may see, in guest time; None for never."""
        times = [
            each for each in (self.timer.next_transition_ns, self.keys.next_ns) if each is not None
        ]
        return min(times, default=None)

    @property
    def next_interrupt_ns(self) -> int | None:
        """When a guest that waits is interrupted next, in guest time; None for never."""
        times = [each for each in (self.timer.next_tick_ns, self.keys.next_ns) if each is not None]
        return min(times, default=None)

    def run_until(self, now_ns: int) -> None:
        """Let happen what is due."""
        self.timer.run_until(now_ns)
        self.keys.run_until(now_ns)


def room_for_ports(board: Board) -> int:
    """How many serial ports of the options a board takes."""
    if board.properties == "microvm":
        return int("isa-serial" in board.parts)
    return PORT_COUNT
