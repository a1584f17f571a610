"""Ways to a monitor: how the program is told of one, and how a client takes it.

Each is made of a folder of one's own; several of one kind may be in it, told apart by a number.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 20.0  # seconds until an answer must have come


class Wire:
    """A client's two ends; for a socket or a terminal they are one."""

    def __init__(self, read_fd: int, write_fd: int, owner: socket.socket | None = None) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._owner = owner

    def fileno(self) -> int:
        return self._read_fd

    def send(self, data: bytes) -> None:
        os.write(self._write_fd, data)

    def read(self, is_done: Callable[[bytearray], bool], quiet: float = 0.0) -> bytes:
        """What comes until it is enough and silence follows; b"<EOF>" stands for the end."""
        got = bytearray()
        deadline = time.monotonic() + PATIENCE
        while True:
            left = quiet if is_done(got) else deadline - time.monotonic()
            if not select.select([self._read_fd], [], [], max(left, 0))[0]:
                return bytes(got)
            try:
                chunk = os.read(self._read_fd, 1 << 16)
            except OSError:  # a terminal or a connection whose other end is gone
                chunk = b""
            got += chunk
            if not chunk:
                return bytes(got) + b"<EOF>"

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
        else:
            for fd in {self._read_fd, self._write_fd}:
                os.close(fd)


def over(connection: socket.socket) -> Wire:
    return Wire(connection.fileno(), connection.fileno(), connection)


class Transport:
    """One kind of character device.

    Attributes:
        name: of the kind.
        prefix: what comes before the greeting.
    """

    prefix = b""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, folder: Path, number: int) -> list[str]:
        """What there must be before; the options."""
        raise NotImplementedError

    def connect(self, folder: Path, number: int, filename: str) -> Wire:
        """Become the client; ``filename`` is what `info chardev` shows of the device."""
        raise NotImplementedError


class Unix(Transport):
    def prepare(self, folder: Path, number: int) -> list[str]:
        return ["-monitor", f"unix:{self.name}{number}.sock,server=on,wait=off"]

    def connect(self, folder: Path, number: int, filename: str) -> Wire:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(folder / f"{self.name}{number}.sock"))
        return over(connection)


class Multiplexed(Unix):
    """A unix socket behind a multiplexer, which has no escape key."""

    def prepare(self, folder: Path, number: int) -> list[str]:
        name = f"{self.name}{number}"
        chardev = f"socket,id={name},path={name}.sock,server=on,wait=off,mux=on"
        return ["-chardev", chardev, "-mon", name, "-echr", "0"]


class Inet(Transport):
    """``tcp`` or ``telnet``, on a port that the program chooses."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if name == "telnet":
            self.prefix = b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

    def prepare(self, folder: Path, number: int) -> list[str]:
        return ["-monitor", f"{self.name}:127.0.0.1:0,server=on,wait=off"]

    def connect(self, folder: Path, number: int, filename: str) -> Wire:
        found = re.search(r"127\.0\.0\.1:(\d+),server", filename)
        assert found is not None, filename
        return over(socket.create_connection(("127.0.0.1", int(found[1]))))


class Pty(Transport):
    def prepare(self, folder: Path, number: int) -> list[str]:
        return ["-monitor", "pty"]

    def connect(self, folder: Path, number: int, filename: str) -> Wire:
        fd = os.open(filename.removeprefix("pty:"), os.O_RDWR | os.O_NOCTTY)
        return Wire(fd, fd)


class Pipe(Transport):
    def prepare(self, folder: Path, number: int) -> list[str]:
        for end in ("in", "out"):
            os.mkfifo(folder / f"pipe{number}.{end}")
        return ["-monitor", f"pipe:pipe{number}"]

    def connect(self, folder: Path, number: int, filename: str) -> Wire:
        ends = [os.open(folder / f"pipe{number}.{end}", os.O_RDWR) for end in ("out", "in")]
        return Wire(ends[0], ends[1])


TRANSPORTS = (
    Unix("unix"),
    Multiplexed("mux"),
    Inet("tcp"),
    Inet("telnet"),
    Pty("pty"),
    Pipe("pipe"),
)
