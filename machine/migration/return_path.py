"""The return path: what the destination tells the source, through the same channel the other way.

A message is a be16 type, a be16 length, and so many bytes.  Only what a plain migration needs is
spoken: answers to pings, and at the end whether all has arrived.
"""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from machine.loop import MainLoop, Wakeup
    from machine.migration.channel import Channel

SHUT, PONG, REQ_PAGES_ID, REQ_PAGES, RECV_BITMAP, RESUME_ACK = range(1, 7)
HEAD_SIZE = 4
# By type: the name, and how long the message is; of the others the source has no use here.
_KNOWN = {SHUT: ("SHUT", 4), PONG: ("PONG", 4), REQ_PAGES: ("REQ_PAGES", 12)}


class ReturnPathError(QemuError):
    """The destination failed or makes no sense; without words if it just left."""


class ReturnPath:
    """The destination's end.

    Attributes:
        is_open: the source asked for it.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.is_open = False

    def answer(self, ping: int) -> None:
        """Let a ping come back."""
        self._send(PONG, ping)

    def shut(self) -> None:
        """Say that all has arrived, if anybody wants to know."""
        if self.is_open:
            self._send(SHUT, 0)

    def _send(self, kind: int, value: int) -> None:
        message = kind.to_bytes(2, "big") + (4).to_bytes(2, "big") + value.to_bytes(4, "big")
        try:
            # So short that there is room for it; a source that reads nothing doesn't miss it.
            self._channel.writev([message])
        except QemuError:
            pass  # it has left, which the stream will tell


def wait_for_shut(channel: Channel, loop: MainLoop) -> Generator[Wakeup]:
    """The source's end: read messages until the destination says that all has arrived.

    Raises:
        ReturnPathError: it says something else.
    """
    while True:
        head = yield from _read(channel, loop, HEAD_SIZE)
        if len(head) < HEAD_SIZE:
            raise ReturnPathError("")
        kind, size = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:], "big")
        if kind not in _KNOWN:
            raise ReturnPathError(f"RP: Received invalid message 0x{kind:04x} length 0x{size:04x}")
        name, expected = _KNOWN[kind]
        if size != expected:
            raise ReturnPathError(
                f"RP: Received '{name}' message (0x{kind:04x}) withincorrect length {size} "
                f"expecting {expected}"
            )
        data = yield from _read(channel, loop, size)
        if len(data) < size:
            raise ReturnPathError(
                f"RP: Failed reading data for message 0x{kind:04x} read {len(data)} expected {size}"
            )
        if kind == REQ_PAGES:
            raise ReturnPathError("ram_save_queue_pages no previous block")
        value = int.from_bytes(data, "big")
        if kind == SHUT and value:
            raise ReturnPathError(f"RP: Sibling indicated error {value}")
        if kind == SHUT:
            return


def _read(channel: Channel, loop: MainLoop, size: int) -> Generator[Wakeup, None, bytes]:
    """So many bytes, fewer at the end."""
    data = b""
    while len(data) < size:
        try:
            more = channel.read(size - len(data))
        except BlockingIOError:
            yield from loop.readable(channel.input_fd)
            continue
        if not more:
            break
        data += more
    return data
