"""A PS/2 keyboard and a PS/2 mouse: what they send waits in a queue.

Source: IBM's Personal System/2 Hardware Interface Technical Reference, "Keyboard"; the mouse has
its registers only, since nothing moves it.
"""

from __future__ import annotations

from machine.devices.scancodes import scancodes
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Buffer, Int32, Struct, UInt8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_SIZE = 16  # bytes that a device keeps for its computer
_BUFFER_SIZE = 256  # of the ring they are in
_ACKNOWLEDGE, _RESEND, _SELF_TEST_PASSED, _ECHO = 0xFA, 0xFE, 0xAA, 0xEE
_IDENTITY = (0xAB, 0x83)
_IDENTITY_TRANSLATED = (0xAB, 0x41)
_NO_COMMAND = -1
_SET_LEDS, _SET_SCANCODES, _SET_RATE = 0xED, 0xF0, 0xF3  # a byte follows
_IDENTIFY, _ENABLE, _DISABLE, _SET_DEFAULTS, _RESET = 0xF2, 0xF4, 0xF5, 0xF6, 0xFF


class Ps2Queue:
    """A ring of bytes, as the stream has it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rptr = self.wptr = self.count = 0
        self.data = bytes(_BUFFER_SIZE)

    def put(self, codes: bytes) -> None:
        """Add bytes; those that there is no room for are lost."""
        codes = codes[: QUEUE_SIZE - self.count]
        data = bytearray(self.data)
        for code in codes:
            data[self.wptr] = code
            self.wptr = (self.wptr + 1) % _BUFFER_SIZE
        self.data = bytes(data)
        self.count += len(codes)

    def take(self) -> int:
        """The next byte; the last one again when there is none."""
        if not self.count:
            return self.data[self.rptr - 1]
        code = self.data[self.rptr]
        self.rptr = (self.rptr + 1) % _BUFFER_SIZE
        self.count -= 1
        return code


class Ps2Device:
    """What keyboard and mouse have in common.

    Attributes:
        write_cmd: the command that waits for its byte; -1 for none.
        changed: told when there is a byte to read, or none any more.
    """

    def __init__(self) -> None:
        self.queue = Ps2Queue()
        self.write_cmd = _NO_COMMAND
        self.changed: Callable[[], object] = _nothing

    @property
    def parent_obj(self) -> Ps2Device:
        """The stream has the common part one level down."""
        return self

    def reset(self) -> None:
        """The state after power-on."""
        self.queue.clear()
        self.write_cmd = _NO_COMMAND

    def send(self, codes: bytes) -> None:
        """Let the computer read bytes."""
        self.queue.put(codes)
        self.changed()

    def take(self) -> int:
        """The byte that the computer reads."""
        code = self.queue.take()
        self.changed()
        return code


class Ps2Keyboard(Ps2Device):
    """The keyboard.

    Attributes:
        scan_enabled: it sends what keys are pressed.
        translate: the controller wants set 1, whatever the set.
        scancode_set: 1, 2 or 3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.translate = 0
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.scan_enabled = 1
        self.translate = 0
        self.scancode_set = 2

    def press(self, key: str, *, down: bool) -> None:
        """A key goes down or up, by QEMU's name of it."""
        if self.scan_enabled:
            set_1 = bool(self.translate) or self.scancode_set == 1
            self.send(scancodes(key, down=down, set_1=set_1))

    def command(self, value: int) -> None:
        """The computer sends it a byte."""
        if self.write_cmd == _SET_SCANCODES:
            if value == 0:
                self.send(bytes([_ACKNOWLEDGE, self.scancode_set]))
            else:
                if value <= 3:
                    self.scancode_set = value
                self.send(bytes([_ACKNOWLEDGE if value <= 3 else _RESEND]))
            self.write_cmd = _NO_COMMAND
        elif self.write_cmd != _NO_COMMAND:
            self.write_cmd = _NO_COMMAND
            self.send(bytes([_ACKNOWLEDGE]))
        elif value in (_SET_LEDS, _SET_SCANCODES, _SET_RATE):
            self.write_cmd = value
            self.send(bytes([_ACKNOWLEDGE]))
        elif value == _ECHO:
            self.send(bytes([_ECHO]))
        elif value == _IDENTIFY:
            identity = _IDENTITY_TRANSLATED if self.translate else _IDENTITY
            self.send(bytes([_ACKNOWLEDGE, *identity]))
        elif value in (_ENABLE, _DISABLE, _SET_DEFAULTS, _RESET):
            self.queue.clear()
            self.scan_enabled = int(value != _DISABLE)
            if value in (_SET_DEFAULTS, _RESET):
                self.scancode_set = 2
            passed = [_SELF_TEST_PASSED] if value == _RESET else []
            self.send(bytes([_ACKNOWLEDGE, *passed]))
        else:
            self.send(bytes([_RESEND if value else _ACKNOWLEDGE]))


class Ps2Mouse(Ps2Device):
    """The mouse, which lies still."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.mouse_status = self.mouse_resolution = self.mouse_sample_rate = 0
        self.mouse_wrap = self.mouse_type = self.mouse_detect_state = 0
        self.mouse_dx = self.mouse_dy = self.mouse_dz = self.mouse_buttons = 0


def _nothing() -> None:
    """Nobody reads it."""


def _mend_queue(device: Ps2Device, version_id: int) -> None:
    """What the stream says of the ring may not fit together; then its count is what counts."""
    queue = device.queue
    queue.count = min(max(queue.count, 0), QUEUE_SIZE)
    queue.rptr %= _BUFFER_SIZE
    queue.wptr = (queue.rptr + queue.count) % _BUFFER_SIZE


_COMMON = VMStateDescription(
    name="PS2 Common State",
    version_id=3,
    minimum_version_id=2,
    fields=(
        Int32("write_cmd"),
        Int32("queue.rptr"),
        Int32("queue.wptr"),
        Int32("queue.count"),
        Buffer("queue.data", _BUFFER_SIZE),
    ),
    post_load=_mend_queue,
)
PS2_KEYBOARD_STATE = VMStateDescription(
    name="ps2kbd",
    version_id=3,
    minimum_version_id=2,
    fields=(
        Struct("parent_obj", _COMMON),
        Int32("scan_enabled"),
        Int32("translate"),
        Int32("scancode_set", since_version=3),
    ),
)
PS2_MOUSE_STATE = VMStateDescription(
    name="ps2mouse",
    version_id=2,
    minimum_version_id=2,
    fields=(
        Struct("parent_obj", _COMMON),
        *(
            UInt8(f"mouse_{name}")
            for name in "status resolution sample_rate wrap type detect_state".split()
        ),
        Int32("mouse_dx"),
        Int32("mouse_dy"),
        Int32("mouse_dz"),
        UInt8("mouse_buttons"),
    ),
)
