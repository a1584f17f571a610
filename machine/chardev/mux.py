"""The multiplexer: several users of one character device, and the keys that choose among them.

All of them write; one has the focus, and what is typed goes to it. An escape key (Ctrl-A unless
told otherwise) and a letter pass the focus on, end the program, show the time of each line ...
"""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from machine.chardev.device import Chardev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.loop import MainLoop

PLACE_LIMIT = 4  # users
QUEUE_LIMIT = 32  # bytes that wait for a user who doesn't take them now
CTRL_A = 0x01
_NAMELESS_CODE = 26  # from here on the help doesn't call it ``C-`` and a letter

_HELP = (
    ("h", "print this help"),
    ("x", "exit emulator"),
    ("s", "save disk data back to file (if -snapshot)"),
    ("t", "toggle console timestamps"),
    ("b", "send break (magic sysrq)"),
    ("c", "switch between console and monitor"),
)


class EscapeKeys:
    """What the letters after the escape key do besides passing on the focus.

    Args:
        code: the key; 0, or what is no byte, for none.
        quit: ends the program.
        commit: writes temporary changes of the disks back.
    """

    def __init__(
        self,
        *,
        code: int = CTRL_A,
        quit: Callable[[], object],
        commit: Callable[[], object],
    ) -> None:
        self.code = code
        self.quit = quit
        self.commit = commit

    def help(self) -> bytes:
        """What ``h`` shows."""
        name, head = "Escape-Char", f"\n\rEscape-Char set to Ascii: 0x{self.code:02x}\n\r\n\r"
        if self.code < _NAMELESS_CODE:
            name, head = f"C-{chr(self.code + ord('a') - 1)}", "\n\r"
        rows = [f"{name} {letter}    {text}\n\r" for letter, text in _HELP]
        return "".join((head, *rows, f"{name} {name}  sends {name}\n\r")).encode()


class MultiplexerPlace(Chardev):
    """One user's end of a multiplexer."""

    def __init__(self, loop: MainLoop, mux: Multiplexer) -> None:
        super().__init__(loop, mux.label)
        self._mux = mux
        self._queue = bytearray()
        self.is_open = mux.is_open

    @property
    def filename(self) -> str:
        return self._mux.filename

    @property
    def is_stdio(self) -> bool:
        return self._mux.is_stdio

    @property
    def has_room(self) -> bool:
        """Whether a byte would be taken now, by the user or into the queue."""
        return self._wants_input or len(self._queue) < QUEUE_LIMIT

    def attach(
        self,
        opened: Callable[[], object],
        receive: Callable[[bytes], object],
        closed: Callable[[], object],
    ) -> None:
        is_open, self.is_open = self.is_open, False  # told below, once it has the focus
        super().attach(opened, receive, closed)
        self._mux.focus(self)
        if is_open:
            self.come()

    def detach(self) -> None:
        super().detach()
        self._mux.leave(self)

    def take_descriptor(self) -> int | None:
        return self._mux.take_descriptor()

    def drain(self, patience_ns: int | None = None) -> None:
        self._mux.drain(patience_ns)

    # -- what the multiplexer calls

    def lose_focus(self) -> None:
        self._focus_lost()

    def gain_focus(self) -> None:
        self._focus_gained()

    def come(self) -> None:
        self._come()

    def go(self) -> None:
        """Nothing more comes from there; output still goes as far as the device below lets it."""
        self._closed()

    def take(self, data: bytes) -> None:
        """Give bytes to the user, or keep them until they are taken; `has_room` for the first."""
        self._queue += data
        self.deliver()

    def deliver(self) -> None:
        """Give the user what waits."""
        if self._queue and self._wants_input:
            data = bytes(self._queue)
            self._queue.clear()
            self._receive(data)

    # -- as any device

    def _send(self, data: bytes) -> None:
        self._mux.write(data)

    def _watch_input(self) -> None:
        self._mux.go_on()


class Multiplexer(Chardev):
    """Stands before another device.

    Its users are told that somebody is there once the machine is made and its loop turns, and
    whenever somebody comes after that.

    Args:
        loop: the loop that serves it.
        label: its name.
        base: the device, from now on this one's.
        keys: what may follow the escape key.
        clock_ns: shows the time that has passed.
    """

    def __init__(
        self,
        loop: MainLoop,
        label: str,
        base: Chardev,
        keys: EscapeKeys,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(loop, label)
        self._base = base.claim()
        self._keys = keys
        self._clock_ns = clock_ns
        self._places: list[MultiplexerPlace] = []
        self._focus: MultiplexerPlace | None = None
        self._typed = b""  # what came and isn't looked at yet
        self._is_distributing = False
        self._is_escaped = False  # the byte before was the escape key
        self._has_timestamps = False
        self._start_ns: int | None = None  # when the first stamped line began
        self._is_at_line_start = False
        self._base.attach(self._base_opened, self._take, self._base_closed)
        self._base.pause()
        loop.call_soon(self._begin)

    @property
    def filename(self) -> str:
        return "mux"

    @property
    def is_busy(self) -> bool:
        """It never goes, users or not."""
        return True

    @property
    def is_stdio(self) -> bool:
        return self._base.is_stdio

    def claim(self) -> Chardev:
        if len(self._places) == PLACE_LIMIT:
            raise QemuError(f"Device '{self.label}' is in use")
        place = MultiplexerPlace(self._loop, self)
        self._places.append(place)
        return place

    def take_descriptor(self) -> int | None:
        return self._base.take_descriptor()

    def drain(self, patience_ns: int | None = None) -> None:
        self._base.drain(patience_ns)

    # -- the base

    def _begin(self) -> None:
        self._come()
        for place in self._places:
            place.come()
        self.go_on()

    def _base_opened(self) -> None:
        if self.is_open:
            for place in self._places:
                place.come()

    def _base_closed(self) -> None:
        self._typed, self._is_escaped = b"", False
        if self.is_open:
            for place in self._places:
                place.go()

    def _send(self, data: bytes) -> None:
        self._base.write(self._stamped(data) if self._has_timestamps else data)

    def _stamped(self, data: bytes) -> bytes:
        """With the time at the start of each line."""
        stamped = bytearray()
        for line in data.splitlines(keepends=True):
            if self._is_at_line_start:
                stamped += self._time()
            stamped += line
            self._is_at_line_start = line.endswith(b"\n")
        return bytes(stamped)

    def _time(self) -> bytes:
        now = self._clock_ns()
        if self._start_ns is None:
            self._start_ns = now
        seconds, milliseconds = divmod((now - self._start_ns) // 1_000_000, 1000)
        minutes, hours = seconds // 60 % 60, seconds // 3600
        return b"[%02d:%02d:%02d.%03d] " % (hours, minutes, seconds % 60, milliseconds)

    # -- who is typed to

    def focus(self, place: MultiplexerPlace) -> None:
        """From now on, give what is typed to this user."""
        before, self._focus = self._focus, place
        if before is not None:
            before.lose_focus()
        place.gain_focus()

    def leave(self, place: MultiplexerPlace) -> None:
        """A user is gone."""
        if place in self._places:
            self._places.remove(place)
        if self._focus is place:
            self._focus = None

    def _focus_next(self) -> None:
        if self._places:
            at = self._places.index(self._focus) if self._focus in self._places else -1
            self.focus(self._places[(at + 1) % len(self._places)])

    # -- what is typed

    def _take(self, data: bytes) -> None:
        self._typed += data
        self.go_on()

    def go_on(self) -> None:
        """Give out what was typed, as far as it is taken; leave the rest with who sent it."""
        if self._is_distributing or not self.is_open:
            return
        self._is_distributing = True
        try:
            self._distribute()
        finally:
            self._is_distributing = False
        if self._typed or (self._focus is not None and not self._focus.has_room):
            self._base.pause()
        else:
            self._base.resume()

    def _distribute(self) -> None:
        """A line at a time, or a byte where it waits.

        What is behind an Enter is for whoever has the focus once the line is done.
        """
        if self._focus is not None:
            self._focus.deliver()
        while self._typed:
            place = self._focus
            if place is not None and not place.has_room:
                return
            size = 1 if place is None or not place._wants_input else self._run_length()
            data, self._typed = self._typed[:size], self._typed[size:]
            if size == 1 and (self._is_escaped or (self._keys.code and data[0] == self._keys.code)):
                self._escape(data)
            elif place is not None:
                place.take(data)

    def _run_length(self) -> int:
        """How many bytes go out at once: not the escape key with others, no more than a line."""
        if self._is_escaped:
            return 1
        for position, byte in enumerate(self._typed):
            if byte == self._keys.code and self._keys.code:
                return max(position, 1)
            if byte in b"\r\n":
                return position + 1
        return len(self._typed)

    def _escape(self, key: bytes) -> None:
        """The escape key, or what follows it."""
        if not self._is_escaped:
            self._is_escaped = True
            return
        self._is_escaped = False
        if key[0] == self._keys.code:
            if self._focus is not None:
                self._focus.take(key)
        elif key in b"h?":
            self.write(self._keys.help())
        elif key == b"x":
            self.write(b"QEMU: Terminated\n\r")
            self._keys.quit()
        elif key == b"s":
            self._keys.commit()
        elif key == b"b":
            if self._focus is not None:
                self._focus.receive_break()
        elif key == b"c":
            self._focus_next()
        elif key == b"t":
            self._has_timestamps = not self._has_timestamps
            self._start_ns = None
            self._is_at_line_start = False
