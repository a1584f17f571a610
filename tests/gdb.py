"""A debugger's side of the remote serial protocol, made by hand."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

PATIENCE = 30.0


class Debugger:
    """A connection to a stub at a path; each question is asked in a packet of its own."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError:
                assert time.monotonic() < deadline, path
                time.sleep(0.02)
        self._received = b""

    def __enter__(self) -> Debugger:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def ask(self, question: str) -> str:
        """Send a packet; the next one that comes."""
        data = question.encode()
        self.send(b"$%b#%02x" % (data, sum(data) & 0xFF))
        return self.receive()

    def tell(self, order: str) -> None:
        """Send a packet that gets no answer, but that it came."""
        data = order.encode()
        self.send(b"$%b#%02x" % (data, sum(data) & 0xFF))
        while b"+" not in self._received:
            self._read()
        self._received = self._received.partition(b"+")[2]

    def receive(self, word: bytes = b"+") -> str:
        """The next packet that comes.

        Args:
            word: what is said of it; ``-`` asks for it once more.
        """
        while True:
            start = self._received.find(b"$")
            end = self._received.find(b"#", start)
            if 0 <= start < end and len(self._received) >= end + 3:
                data = self._received[start + 1 : end]
                told = int(self._received[end + 1 : end + 3], 16)
                assert told == sum(data) & 0xFF
                self._received = self._received[end + 3 :]
                with suppress(OSError):  # it may have ended, as it said
                    self.send(word)
                return data.decode()
            self._read()

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        assert data, "the stub hung up"
        self._received += data
