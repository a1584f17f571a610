"""A monitor's line that breaks, or comes in pieces, because a test asks for it."""

from __future__ import annotations

import time
from collections import deque

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.chardev.device import Chardev
    from machine.loop import MainLoop

_PROMPT = b"(qemu) "
_FIRST_PART = 3  # bytes of a prompt that come before the rest
# What `--fault` takes besides `machine.faults`: name, value, and what it does.
FAULTS = (
    ("split-prompt", "MS", "a prompt comes in two packets, so many milliseconds apart"),
    ("hang-up", "BYTES", "a monitor hangs up once, after so many bytes that it wrote"),
)


class LineFaults:
    """What goes wrong on every monitor's line.

    Attributes:
        split_ns: between the two parts of a prompt; 0 for a prompt in one piece.
        hang_up_after: bytes; None for never.
    """

    __slots__ = ("hang_up_after", "split_ns")

    def __init__(self) -> None:
        self.split_ns = 0
        self.hang_up_after: int | None = None

    def take(self, text: str) -> bool:
        """Whether ``name=value`` is one of these faults, which counts from now on.

        Raises:
            QemuError: the value is no number.
        """
        name, _, value = text.partition("=")
        if all(name != fault[0] for fault in FAULTS):
            return False
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise QemuError(f"fault '{name}' expects a number")
        if name == "split-prompt":
            self.split_ns = int(value) * 1_000_000
        else:
            self.hang_up_after = int(value)
        return True


class FaultyLine:
    """A character device, but for what it does with output."""

    def __init__(self, chardev: Chardev, loop: MainLoop, faults: LineFaults) -> None:
        self._chardev = chardev
        self._loop = loop
        self._faults = faults
        self._left = faults.hang_up_after
        self._pieces: deque[bytes] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chardev, name)

    def write(self, data: bytes) -> None:
        if not self._faults.split_ns:
            self._send(data)
            return
        is_waiting = bool(self._pieces)
        start = 0
        while (prompt := data.find(_PROMPT, start)) >= 0:
            self._pieces.append(data[start : prompt + _FIRST_PART])
            start = prompt + _FIRST_PART
        self._pieces.append(data[start:])
        if not is_waiting:
            self._send_piece()

    def _send_piece(self) -> None:
        """Send what comes next; the rest after a while."""
        self._send(self._pieces[0])
        if len(self._pieces) == 1:
            self._pieces.clear()
            return
        deadline = time.monotonic_ns() + self._faults.split_ns

        def go_on() -> None:
            del self._pieces[0]
            self._send_piece()

        self._loop.call_at(deadline, go_on)

    def _send(self, data: bytes) -> None:
        if self._left is None:
            self._chardev.write(data)
            return
        self._chardev.write(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self._left = None
            self._chardev.drain(0)
            self._chardev.hang_up()


def spoil(chardev: Chardev, loop: MainLoop, faults: LineFaults) -> Chardev:
    """The device with these faults."""
    line: Any = FaultyLine(chardev, loop, faults)
    spoilt: Chardev = line
    return spoilt
