"""Pieces of a disk read by one thread while another deals with those before."""

from __future__ import annotations

import queue
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    # Start and end in bytes, the kind, and the content of what is to be written.
    Piece: TypeAlias = tuple[int, int, int, bytes | bytearray | None]

_BUFFERS = 4


class ReadAhead:
    """Runs a reader in a thread.

    Args:
        read: given memory for one piece, the pieces; each is dealt with before its memory is
            used again. It is called with a function that gives such memory.
        size: of a buffer, bytes.
    """

    def __init__(
        self, read: Callable[[Callable[[], bytearray]], Iterable[Piece]], size: int
    ) -> None:
        self._read = read
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Piece | BaseException | None] = queue.SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(bytearray(size))

    def __iter__(self) -> Iterator[Piece]:
        """The pieces in order.

        Raises:
            QemuError: what the reader met.
        """
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            while True:
                piece = self._done.get()
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if isinstance(piece[3], bytearray):
                    self._free.put(piece[3])
        finally:
            self._free.put(None)
            while thread.is_alive():
                # It may wait for memory, or be about to.
                thread.join(0.01)
                self._free.put(None)

    def _run(self) -> None:
        try:
            for piece in self._read(self._buffer):
                self._done.put(piece)
        except _Abandoned:
            return
        except Exception as error:
            self._done.put(error)
            return
        self._done.put(None)

    def _buffer(self) -> bytearray:
        buffer = self._free.get()
        if buffer is None:
            raise _Abandoned
        return buffer


class _Abandoned(Exception):
    """Nobody wants the rest."""
