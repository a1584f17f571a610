"""Hundreds of clients that come, speak and vanish while the machine is saved.

Each command that a client sent whole writes its number into a ring buffer of the program. Who
leaves in an orderly way loses none of them; nobody takes descriptors or memory along.
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.session import Session

CLIENTS = 200
UNIX_COUNT, TCP_COUNT, QMP_COUNT = 10, 2, 2
PATIENCE = 30.0
MEMORY_SLACK = 24 << 20  # bytes that allocators may hold on to
QMP_HELLO = b'{"execute": "qmp_capabilities"}'


class Storm:
    """The clients of one program.

    Args:
        program: its path.
        folder: an empty one.
        seed: of what they do.

    Attributes:
        faults: what went wrong, a line each.
        counts: how many commands were sent, and how often the machine was saved.
    """

    def __init__(self, program: str, folder: Path, seed: int = 0) -> None:
        self.faults: list[str] = []
        self.counts = {"clients": 0, "commands": 0, "saves": 0, "jobs": 0}
        self._folder = folder
        self._seed = seed
        self._lock = threading.Lock()
        self._sent: set[int] = set()  # by those who left in an orderly way
        self._doubtful: set[int] = set()  # by the others: done or not
        self._number = 0
        self._done: list[int] = []
        self._rest = ""  # of the ring buffer: a number that isn't whole yet
        disk = ["qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", "64M"]
        subprocess.run(disk, cwd=folder, check=True)
        self._session = Session([program, *self._arguments()], folder)
        shown = self._session("info chardev")
        self._ports = [int(port) for port in re.findall(r"tcp:127\.0\.0\.1:(\d+)", shown)]

    def _arguments(self) -> list[str]:
        words = "-M none -m 16 -nodefaults -display none -monitor stdio".split()
        words += ["-drive", "if=none,id=d0,file=disk.qcow2", "-chardev", "ringbuf,id=ring,size=1M"]
        for number in range(UNIX_COUNT):
            words += ["-monitor", f"unix:m{number},server=on,wait=off"]
        for _ in range(TCP_COUNT):
            words += ["-monitor", "tcp:127.0.0.1:0,server=on,wait=off"]
        for number in range(QMP_COUNT):
            words += ["-qmp", f"unix:q{number},server=on,wait=off"]
        return words

    def rage(self, seconds: float) -> None:
        """Let the clients come for so long, then look at what is left."""
        before = self._resources()
        deadline = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._be_clients, args=(number, deadline), daemon=True)
            for number in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < deadline or any(thread.is_alive() for thread in threads):
            self._save()
            if time.monotonic() > deadline + PATIENCE:
                self.faults.append("a client waits for ever")
                break
        self._settle()
        self._compare(before, self._resources())
        if self._session.quit() != 0:
            self.faults.append("it ended badly")
        if self._session.final_stderr:
            self.faults.append(f"it said {self._session.final_stderr[:500]!r}")
        check = ["qemu-img", "check", "-q", "disk.qcow2"]
        if subprocess.run(check, cwd=self._folder, check=False).returncode:
            self.faults.append("the disk is damaged")

    # -- the machine meanwhile

    def _save(self) -> None:
        for line in ("savevm a", "loadvm a", "delvm a", *self._job()):
            answer = self._session(line)
            if answer and not answer.startswith("Formatting "):
                self.faults.append(f"{line}: {answer}")
        self.counts["saves"] += 1
        self._collect()

    def _job(self) -> list[str]:
        """A backup that goes on meanwhile; the next when it is done."""
        if self._session("info block-jobs") != "No active jobs\n":
            return []
        self.counts["jobs"] += 1
        return [f"drive_backup -f d0 backup{self.counts['jobs'] % 2}.qcow2 qcow2"]

    def _collect(self) -> None:
        while text := self._session("ringbuf_read ring 32768").removesuffix("\n"):
            *whole, self._rest = (self._rest + text).split(";")
            self._done += [int(number) for number in whole]

    def _settle(self) -> None:
        """Wait until all that was sent is done."""
        deadline = time.monotonic() + PATIENCE
        while not self._sent <= set(self._done) and time.monotonic() < deadline:
            time.sleep(0.05)
            self._collect()
        if lost := self._sent - set(self._done):
            self.faults.append(f"{len(lost)} commands are lost: {sorted(lost)[:5]}")
        if len(set(self._done)) != len(self._done):
            self.faults.append("a command was done twice")
        if unknown := set(self._done) - self._sent - self._doubtful:
            self.faults.append(f"nobody sent these: {sorted(unknown)[:5]}")
        self.counts["commands"] = len(self._sent)

    def _resources(self) -> tuple[int, int]:
        """Descriptors, and bytes of memory."""
        process = self._session.process.pid
        status = Path(f"/proc/{process}/status").read_text()
        memory = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert memory is not None
        return len(os.listdir(f"/proc/{process}/fd")), int(memory[1]) << 10

    def _compare(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        deadline = time.monotonic() + PATIENCE
        while after[0] > before[0] and time.monotonic() < deadline:
            time.sleep(0.05)  # the last have left, but it may not know yet
            after = self._resources()
        if after[0] != before[0]:
            self.faults.append(f"descriptors: {before[0]} before, {after[0]} now")
        if after[1] > before[1] + MEMORY_SLACK:
            self.faults.append(f"memory: {before[1] >> 20} MiB before, {after[1] >> 20} now")

    # -- the clients

    def _be_clients(self, number: int, deadline: float) -> None:
        choose = random.Random(self._seed * CLIENTS + number)
        while time.monotonic() < deadline:
            try:
                self._be_client(choose, deadline)
            except OSError as error:
                self.faults.append(f"a client: {error}")
                return

    def _be_client(self, choose: random.Random, deadline: float) -> None:
        kind = choose.choice(("unix",) * 6 + ("tcp", "qmp", "qmp"))
        client = self._connect(kind, choose, deadline)
        if client is None:
            return
        with client:
            numbers = self._numbers(choose.choice((0, 1, 1, 2, 5)))
            data = b"".join(_command(kind, number) for number in numbers)
            if kind == "qmp" and data:
                data = QMP_HELLO + data
            leave = choose.choice(("close", "close", "half", "half", "reset", "read", "partial"))
            if kind == "tcp" and leave == "close":
                leave = "half"  # or the host itself would throw away what isn't read yet
            with self._lock:
                self.counts["clients"] += 1
                (self._doubtful if leave == "reset" else self._sent).update(numbers)
            if leave == "partial":
                data += b"ringbuf_write ring 99999"
                leave = "half"
            client.sendall(data)
            if choose.random() < 0.5:
                time.sleep(choose.random() * 0.02)
            if leave == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif leave == "read":
                client.settimeout(0.05)
                _read(client, 1)
                client.settimeout(None)
                _end(client)
            elif leave == "half":
                _end(client)

    def _connect(self, kind: str, choose: random.Random, deadline: float) -> socket.socket | None:
        if kind == "tcp":
            # A host whose queue is full may forget a client that believes to be connected; one
            # that was greeted is.
            while time.monotonic() < deadline:
                place = ("127.0.0.1", choose.choice(self._ports))
                try:
                    client = socket.create_connection(place, timeout=1.0)
                except TimeoutError:
                    continue
                if _read(client, 1):
                    client.settimeout(None)
                    return client
                client.close()
            return None
        name = f"q{choose.randrange(QMP_COUNT)}" if kind == "qmp" else f"m{choose.randrange(10)}"
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self._folder / name))
        return client

    def _numbers(self, count: int) -> list[int]:
        with self._lock:
            self._number += count
            return list(range(self._number - count, self._number))


def _command(kind: str, number: int) -> bytes:
    line = f"ringbuf_write ring {number};"
    if kind != "qmp":
        return f"{line}\n".encode()
    return (
        f'{{"execute": "human-monitor-command", "arguments": {{"command-line": "{line}"}}}}'
    ).encode()


def _read(client: socket.socket, size: int) -> bytes:
    try:
        return client.recv(size)
    except (TimeoutError, ConnectionError):
        return b""


def _end(client: socket.socket) -> None:
    """Stop sending, and hear the other side out."""
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError:
        return
    while _read(client, 1 << 16):
        pass


def storm(program: str, seconds: int, seed: int = 0) -> int:
    """Let clients rage for so long; how much went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        clients = Storm(program, Path(folder), seed)
        clients.rage(seconds)
    print(", ".join(f"{count} {name}" for name, count in clients.counts.items()))
    print(*clients.faults, sep="\n")
    return len(clients.faults)
