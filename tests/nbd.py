"""NBD servers for tests: the real `qemu-nbd`, and one that says what it was told to say."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 20.0  # seconds


class RealServer:
    """`qemu-nbd` with one export, ``disk``, on a Unix socket."""

    def __init__(self, program: str, image: Path, folder: Path, *options: str) -> None:
        self.socket = folder / "nbd.sock"
        self.url = f"nbd+unix:///disk?socket={self.socket}"
        self._command = [program, "-k", str(self.socket), "-t", "-e", "8", "-x", "disk"]
        self._command += [*options, str(image)]
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, "qemu-nbd doesn't start"
            assert self._process.poll() is None, "qemu-nbd ended"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class ScriptedServer:
    """Takes one client; each answer is sent when something came in since the last one."""

    def __init__(self, folder: Path, answers: Sequence[bytes]) -> None:
        path = folder / "scripted.sock"
        path.unlink(missing_ok=True)
        self.url = f"nbd+unix:///disk?socket={path}"
        self._answers = answers
        self.heard = bytearray()  # all that the client said
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(PATIENCE)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(PATIENCE)
        with client, self._listener:
            try:
                for index, answer in enumerate(self._answers):
                    if index:
                        self.heard += client.recv(1 << 16)
                    client.sendall(answer)
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(1 << 16):
                    self.heard += data
            except OSError:
                return

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
