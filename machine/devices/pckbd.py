"""The i8042, between a PC and its keyboard and mouse.

Source: IBM's Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
Device Controller".
"""

from __future__ import annotations

from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Struct, UInt8, UInt32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.devices.ps2 import Ps2Keyboard, Ps2Mouse

DATA, STATUS_OR_COMMAND = 0, 1  # ports 0x60 and 0x64
# Bits of the status.
_FULL, _FROM_MOUSE, _SYSTEM, _COMMAND, _UNLOCKED = 0x01, 0x20, 0x04, 0x08, 0x10
# Bits of the mode, which is the controller's command byte.
_KEYBOARD_INTERRUPT, _MOUSE_INTERRUPT, _SYSTEM_FLAG = 0x01, 0x02, 0x04
_KEYBOARD_OFF, _MOUSE_OFF, TRANSLATE = 0x10, 0x20, 0x40
# Commands of the controller.
_READ_MODE, _WRITE_MODE = 0x20, 0x60
_MOUSE_DISABLE, _MOUSE_ENABLE, _MOUSE_TEST, _SELF_TEST, _KEYBOARD_TEST = range(0xA7, 0xAC)
_KEYBOARD_DISABLE, _KEYBOARD_ENABLE = 0xAD, 0xAE
# Where the byte to read comes from.
_FROM_KEYBOARD, _FROM_CONTROLLER = 0x01, 0x04


class I8042:
    """The controller, its registers under the names that the stream has for them.

    Args:
        keyboard, mouse: what is plugged in.
        set_line: the keyboard's interrupt.

    Attributes:
        write_cmd: the command that waits for its byte; 0 for none.
        obsrc, obdata: who sent the byte that can be read, and the byte.
    """

    def __init__(
        self, keyboard: Ps2Keyboard, mouse: Ps2Mouse, set_line: Callable[[bool], object]
    ) -> None:
        self._keyboard = keyboard
        self._mouse = mouse
        self._set_line = set_line
        keyboard.changed = self._update
        self.migration_flags = 0
        self.reset()

    @property
    def kbd(self) -> I8042:
        """The stream has the registers one level down."""
        return self

    def reset(self) -> None:
        """The state after power-on."""
        self.write_cmd = 0
        self.status = _COMMAND | _UNLOCKED
        self.mode = _KEYBOARD_INTERRUPT | _MOUSE_INTERRUPT
        self.pending_tmp = 0
        self.obsrc = self.obdata = self.cbdata = 0

    def _update(self) -> None:
        """Offer the next byte, and ask for attention while there is one."""
        if not self.status & _FULL:
            self.obsrc &= ~_FROM_KEYBOARD
            if self.obsrc & _FROM_CONTROLLER or (
                self._keyboard.queue.count and not self.mode & _KEYBOARD_OFF
            ):
                self.status |= _FULL
        wants = self.status & _FULL and self.mode & _KEYBOARD_INTERRUPT
        self._set_line(bool(wants) and not self.mode & _KEYBOARD_OFF)

    def read(self, port: int) -> int:
        """What the guest reads from a port."""
        if port == STATUS_OR_COMMAND:
            return self.status
        if self.status & _FULL:
            self.status &= ~(_FULL | _FROM_MOUSE)
            self._set_line(False)
            if self.obsrc & _FROM_CONTROLLER:
                self.obsrc &= ~_FROM_CONTROLLER
                self.obdata = self.cbdata
            else:
                self.obsrc |= _FROM_KEYBOARD
                self.obdata = self._keyboard.queue.take()
            self._update()
        return self.obdata

    def write(self, port: int, value: int) -> None:
        """What the guest writes to a port."""
        if port == DATA:
            self._write_data(value)
        elif value == _READ_MODE:
            self._answer(self.mode)
        elif value == _WRITE_MODE:
            self.write_cmd = value
        elif value == _MOUSE_DISABLE:
            self.mode |= _MOUSE_OFF
        elif value == _MOUSE_ENABLE:
            self.mode &= ~_MOUSE_OFF
        elif value in (_MOUSE_TEST, _KEYBOARD_TEST):
            self._answer(0)
        elif value == _SELF_TEST:
            self.status |= _SYSTEM
            self._answer(0x55)
        elif value == _KEYBOARD_DISABLE:
            self.mode |= _KEYBOARD_OFF
            self._update()
        elif value == _KEYBOARD_ENABLE:
            self.mode &= ~_KEYBOARD_OFF
            self._update()

    def _write_data(self, value: int) -> None:
        command, self.write_cmd = self.write_cmd, 0
        if command == _WRITE_MODE:
            self.mode = value
            self._keyboard.translate = int(bool(value & TRANSLATE))
            self.status = self.status & ~_SYSTEM | value & _SYSTEM_FLAG
            self._update()
        else:
            # A byte to the keyboard turns it on again.
            self.mode &= ~_KEYBOARD_OFF
            self._keyboard.command(value)

    def _answer(self, value: int) -> None:
        self.cbdata = value
        self.obsrc |= _FROM_CONTROLLER
        self._update()


# How the byte that waits came about; QEMU before 5.0 doesn't know it.
_EXTENDED_STATE = VMStateDescription(
    name="pckbd/extended_state",
    version_id=0,
    minimum_version_id=0,
    fields=(UInt32("migration_flags"), UInt32("obsrc"), UInt8("obdata"), UInt8("cbdata")),
)
_REGISTERS = VMStateDescription(
    name="pckbd",
    version_id=3,
    minimum_version_id=3,
    fields=(UInt8("write_cmd"), UInt8("status"), UInt8("mode"), UInt8("pending_tmp")),
    subsections=(_EXTENDED_STATE,),
)
I8042_STATE = VMStateDescription(
    name="pckbd",
    version_id=3,
    minimum_version_id=3,
    fields=(Struct("kbd", _REGISTERS),),
)
