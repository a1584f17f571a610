"""Character devices: where a monitor's or a serial port's bytes come from and go to.

A device tells its user when somebody is there, what they sent and that they left; what the user
writes while nobody is there is lost, as in QEMU, and what the other side is slow to take waits in
memory, never holding up the machine. The kinds of devices live in modules of their own, so that
only those in use are loaded.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.chardev.options import ChardevOptions
    from machine.loop import MainLoop


# Nobody is ever there.
_BARE = (
    *("null", "vc", "testdev", "msmouse", "wctablet", "qemu-vdagent"),
    *("dbus", "spicevmc"),  # which only QMP can ask for
)
_RING_BUFFERS = ("ringbuf", "memory")


def _nothing(*_: object) -> None:
    """For a device that no one uses yet."""


class Chardev:
    """A stream of bytes each way, with one other side at a time.

    Attributes:
        label: its name.
        is_open: somebody is there.
        swap: goes over to another device; None where the user can't.
        receive_break: tells the user that the line was held low.
    """

    def __init__(self, loop: MainLoop, label: str) -> None:
        self.label = label
        self.is_open = False
        self._loop = loop
        self._opened: Callable[[], object] = _nothing
        self._receive: Callable[[bytes], object] = _nothing
        self._closed: Callable[[], object] = _nothing
        self.swap: Callable[[Chardev], object] | None = None
        self.receive_break: Callable[[], object] = _nothing
        self._focus_lost: Callable[[], object] = _nothing
        self._focus_gained: Callable[[], object] = _nothing
        self._is_claimed = False
        self._is_attached = False
        self._is_paused = False
        self._log_fd = -1

    @property
    def filename(self) -> str:
        """What ``info chardev`` shows."""
        raise NotImplementedError

    @property
    def backend(self) -> str:
        """QEMU's name of this kind of device."""
        return self.filename.partition(":")[0]

    @property
    def is_busy(self) -> bool:
        """Whether it has a user already."""
        return self._is_claimed

    @property
    def has_frontend(self) -> bool:
        """Whether somebody uses it now."""
        return self._is_attached

    @property
    def is_stdio(self) -> bool:
        """Whether what is written comes out at the program's own standard output."""
        return False

    def add_client(self, fd: int) -> bool:
        """Let somebody in whose connection is there already; it is the device's then.

        Returns:
            Whether it has place for one; the descriptor is still the caller's if not.
        """
        return False

    # -- what a user of the device calls

    def claim(self) -> Chardev:
        """Take the device for oneself, until `detach`: what is to be attached to.

        Raises:
            QemuError: it has a user already.
        """
        if self.is_busy:
            raise QemuError(f"Device '{self.label}' is in use")
        self._is_claimed = True
        return self

    def attach(
        self,
        opened: Callable[[], object],
        receive: Callable[[bytes], object],
        closed: Callable[[], object],
    ) -> None:
        """Become the device's user.

        ``opened`` is called when somebody comes, at once if they are there; ``receive`` with what
        they send, never empty; ``closed`` when nothing more will come from them.
        """
        self._opened, self._receive, self._closed = opened, receive, closed
        self._is_claimed = self._is_attached = True
        if self.is_open:
            opened()
        self._watch_input()

    def watch_focus(self, lost: Callable[[], object], gained: Callable[[], object]) -> None:
        """Be told when what is typed goes to another user of the device, and comes here again.

        For one that several share; to be called before `attach`, which takes the focus.
        """
        self._focus_lost, self._focus_gained = lost, gained

    def detach(self) -> None:
        """Leave the device without a user."""
        self._opened = self._receive = self._closed = self.receive_break = _nothing
        self._focus_lost = self._focus_gained = _nothing
        self.swap = None
        self._is_claimed = self._is_attached = False
        self._watch_input()

    def write(self, data: bytes) -> None:
        """Send, sooner or later; lost when nobody is there."""
        if self._log_fd >= 0:
            os.write(self._log_fd, data)
        if self.is_open:
            self._send(data)

    def pause(self) -> None:
        """Leave further input where it is."""
        self._is_paused = True
        self._watch_input()

    def resume(self) -> None:
        self._is_paused = False
        self._watch_input()

    def take_descriptor(self) -> int | None:
        """A descriptor that the other side passed with what it sent last; None if there is none.

        It is the caller's then.
        """
        return None

    def hang_up(self) -> None:
        """Leave whoever is there, where that is possible; output that still waits is lost."""

    def drain(self, patience_ns: int | None = None) -> None:
        """Wait until all output is gone, or none of it moved for so long (None: for ever)."""

    def close(self) -> None:
        """Give everything back; output that still waits is lost."""
        self.is_open = False
        self.detach()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1

    # -- what a kind of device fills in or uses

    def _send(self, data: bytes) -> None:
        raise NotImplementedError

    def _watch_input(self) -> None:
        """Begin or stop to look for input, by `_wants_input`."""

    @property
    def _wants_input(self) -> bool:
        return self._is_attached and not self._is_paused

    def _come(self) -> None:
        self.is_open = True
        self._opened()

    def _leave(self) -> None:
        self.is_open = False
        self._closed()

    def log_to(self, path: str, append: bool) -> None:
        """Copy all output into a file.

        Raises:
            QemuError: it cannot be opened.
        """
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        self._log_fd = open_file(path, flags, "create")


class NullDevice(Chardev):
    """Nobody is ever there.  Also stands for devices that show on a screen (``vc``)."""

    def __init__(self, loop: MainLoop, label: str, kind: str = "null") -> None:
        super().__init__(loop, label)
        self._kind = kind

    @property
    def backend(self) -> str:
        return self._kind

    @property
    def filename(self) -> str:
        # One over D-Bus is a socket that nobody has connected to.
        return "disconnected:fd:,server=on" if self._kind == "dbus" else self._kind


class RingBuffer(Chardev):
    """The last ``size`` bytes that were written; ``size`` is a power of two."""

    def __init__(self, loop: MainLoop, label: str, size: int, kind: str = "ringbuf") -> None:
        super().__init__(loop, label)
        if size <= 0 or size & (size - 1):
            raise QemuError("size of ringbuf chardev must be power of two")
        self.is_open = True
        self._size = size
        self._kind = kind
        self._data = bytearray()

    @property
    def filename(self) -> str:
        return self._kind

    def read(self, size: int) -> bytes:
        """Take out at most ``size`` of the bytes, oldest first."""
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def _send(self, data: bytes) -> None:
        self._data += data[-self._size :]
        del self._data[: -self._size]


def open_file(path: str, flags: int, verb: str = "open") -> int:
    """Open a file or device for a character device; `verb` is what can't be done with it.

    Raises:
        QemuError: in QEMU's words.
    """
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        text = f"Could not {verb} '{path}': {os.strerror(error.errno or 0)}"
        raise QemuError(text, error.errno or 0) from error


def check_chardev(options: ChardevOptions) -> None:
    """Look at the options before anything is opened.

    Raises:
        QemuError: one is missing, or two don't go together.
    """
    kind = options.backend
    if kind == "socket":
        from machine.chardev.socket_options import check_socket_options

        check_socket_options(options)
    elif kind == "udp":
        from machine.chardev.udp import check_udp_options

        check_udp_options(options)
    elif kind == "mux":
        if "chardev" not in options.values:
            raise QemuError("chardev: mux: no chardev given")
    elif kind not in (*_BARE, *_RING_BUFFERS):
        from machine.chardev.stream import check_stream_options

        check_stream_options(options)


def open_chardev(
    options: ChardevOptions,
    loop: MainLoop,
    report: Callable[[str], object] = _nothing,
    tell: Callable[[str], object] = _nothing,
) -> Chardev:
    """Make the device that the options describe.

    Waits for the first client where they say so. A multiplexer (``options.mux``) is not made
    here: what is opened then is the device below it.

    Args:
        options: what to open.
        loop: the loop that will serve it.
        report: takes what QEMU prints after the program's name (who it waits for).
        tell: takes what QEMU prints as it is (the name of a new terminal).

    Raises:
        QemuError: it cannot be made.
    """
    kind, label = options.backend, options.label
    device: Chardev
    if kind in _BARE:
        device = NullDevice(loop, label, kind)
    elif kind in _RING_BUFFERS:
        device = RingBuffer(loop, label, options.size("size", 65536), kind)
    elif kind == "socket":
        from machine.chardev.socket_options import open_socket_device

        device = open_socket_device(options, loop, report)
    elif kind == "udp":
        from machine.chardev.udp import open_udp_device

        device = open_udp_device(options, loop)
    else:
        from machine.chardev.stream import open_stream_device

        device = open_stream_device(options, loop, tell)
    log_path = options.values.get("logfile")
    if log_path is not None:
        device.log_to(log_path, options.flag("logappend"))
    return device
