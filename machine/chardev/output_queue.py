"""Output that waits in memory for a slow reader, so that nothing else waits and nothing is lost."""

from __future__ import annotations

import errno
import os
import select
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.loop import MainLoop

# When poll says that a pipe has room, this much goes in without waiting (PIPE_BUF), and so it
# does for a socket.
SAFE_WRITE_SIZE = 4096
WRITE_SIZE = 1 << 20
NAP_NS = 10_000_000


def private_description(fd: int) -> int:
    """Open what ``fd`` is anew, not blocking.

    To set O_NONBLOCK on ``fd`` itself would set it for every process that shares it: the shell
    that started this program, or whoever reads the other end of the terminal. A pipe and a
    terminal can be opened once more instead.

    Returns:
        A descriptor to be closed by the caller, or -1 where that cannot be.
    """
    try:
        mode = os.fstat(fd).st_mode
        link = f"/proc/self/fd/{fd}"
        terminal = stat.S_ISCHR(mode) and os.isatty(fd) and not os.readlink(link).endswith("ptmx")
        if not terminal and not stat.S_ISFIFO(mode):
            return -1
        return os.open(link, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


class OutputQueue:
    """Writes to a descriptor whenever it has room.

    Args:
        loop: tells when there is room again.
        fd: where to write; stays the caller's.
        blocks: whether a write to ``fd`` could wait. Then only little is written at a time,
            and only when poll sees room.
    """

    def __init__(self, loop: MainLoop, fd: int, *, blocks: bool) -> None:
        self._loop = loop
        self._fd = fd
        self._blocks = blocks
        self._waiting = bytearray()
        self._is_watched = False
        self.when_empty: Callable[[], object] | None = None  # called once, then forgotten
        self._is_broken = False  # the other side is gone for good: what is written is lost
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    @property
    def waiting_size(self) -> int:
        """Bytes that are not gone yet."""
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        if self._is_broken:
            return
        self._waiting += data
        if not self._is_watched:
            self._write_waiting()

    def drain(self, patience_ns: int | None) -> None:
        """Wait until it is empty, or nothing moved for so long (None: for ever)."""
        idle_ns = 0
        while self._waiting and (patience_ns is None or idle_ns < patience_ns):
            events = self._poll.poll(None if patience_ns is None else patience_ns / 1e6)
            if not events:
                return
            length = len(self._waiting)
            self._write_waiting()
            if len(self._waiting) < length:
                idle_ns = 0
            elif events[0][1] & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                return
            else:  # room, but not for this much: a terminal counts that way at times
                time.sleep(NAP_NS / 1e9)
                idle_ns += NAP_NS

    def close(self) -> None:
        """Forget what waits; to be called before the descriptor is closed."""
        self._waiting.clear()
        self._is_broken = True
        self._watch()

    def _write_waiting(self) -> None:
        while self._waiting:
            if self._blocks and not self._poll.poll(0):
                break
            size = SAFE_WRITE_SIZE if self._blocks else WRITE_SIZE
            try:
                written = os.write(self._fd, self._waiting[:size])
            except BlockingIOError:
                break
            except OSError as error:
                # EPIPE, ECONNRESET, EIO: nobody reads any more. ENOSPC: QEMU drops it as well.
                self._is_broken = error.errno != errno.ENOSPC
                self._waiting.clear()
                break
            del self._waiting[:written]
        self._watch()
        if not self._waiting and self.when_empty:
            when_empty, self.when_empty = self.when_empty, None
            when_empty()

    def _watch(self) -> None:
        if bool(self._waiting) == self._is_watched:
            return
        self._is_watched = not self._is_watched
        if self._is_watched:
            self._loop.add_writer(self._fd, self._write_waiting)
        else:
            self._loop.remove_writer(self._fd)
