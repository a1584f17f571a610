"""The monitor on a unix socket: how long a line and its answer take."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator

from bench.pairs import PROMPT, Result

MACHINE = "-M none -nodefaults -display none -S".split()
PLACE = "monitor.sock"
LINES = 200


class Client:
    """A program, and the one client of its monitor."""

    def __init__(self, program: str, folder: str, options: list[str]) -> None:
        path = os.path.join(folder, PLACE)
        self._process = subprocess.Popen(
            [program, *MACHINE, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._socket = socket.socket(socket.AF_UNIX)
        while self._socket.connect_ex(path):
            time.sleep(0.01)

    def wait_for(self, wanted: bytes) -> None:
        got = b""
        while not got.endswith(wanted):
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise RuntimeError(f"the program ended: {got!r}")
            got += chunk

    def round_trips(self, line: bytes, end: bytes) -> float:
        """The median of many, in seconds."""
        seconds = []
        for _ in range(LINES):
            start = time.perf_counter()
            self._socket.sendall(line)
            self.wait_for(end)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def close(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


def human(program: str, folder: str) -> float:
    """``info status``, to the next prompt."""
    client = Client(program, folder, ["-monitor", f"unix:{PLACE},server=on,wait=off"])
    client.wait_for(PROMPT)
    seconds = client.round_trips(b"info status\n", PROMPT)
    client.close()
    return seconds


def qmp(program: str, folder: str) -> float:
    """``query-status``, to the end of its reply."""
    client = Client(program, folder, ["-qmp", f"unix:{PLACE},server=on,wait=off"])
    client.wait_for(b"}\r\n")
    client.round_trips(b'{"execute": "qmp_capabilities"}', b"}\r\n")
    seconds = client.round_trips(b'{"execute": "query-status"}', b"}\r\n")
    client.close()
    return seconds


def round_trips(ours: str, real: str, folder: str, runs: int) -> Iterator[Result]:
    for title, measure in (("info status", human), ("query-status", qmp)):
        pairs = [(measure(ours, folder), measure(real, folder)) for _ in range(runs)]
        yield Result(
            f"{title} on a unix socket, round trip",
            [pair[0] for pair in pairs],
            [pair[1] for pair in pairs],
            2.0,
        )
