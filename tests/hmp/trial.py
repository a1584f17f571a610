"""The machines and monitors that tests try lines on: one place to change."""

import json
import subprocess
import traceback
from collections.abc import Sequence

from hmp.monitor import Monitor
from machine.assembly import build
from machine.boards import find_board
from machine.machine import Machine


class TriedMachine(Machine):
    """A machine that keeps what else would go to files and to standard error.

    Attributes:
        exceptions: tracebacks of our own mistakes.
        complaints: lines for standard error.
    """

    def __init__(self, board: str, ram_size: int) -> None:
        found = find_board(board)
        assert found is not None
        super().__init__(found, ram_size=ram_size)
        self.exceptions: list[str] = []
        self.complaints: list[str] = []
        build(self)

    def log_exception(self) -> None:
        self.exceptions.append(traceback.format_exc())

    def complain(self, text: str) -> None:
        self.complaints.append(text)


class Session:
    """A monitor of ours, and what it says.

    Attributes:
        aside: what was said on standard output, since the session began.
    """

    def __init__(self, machine: TriedMachine) -> None:
        self.machine = machine
        self.aside: list[str] = []
        self._said: list[str] = []
        self.monitor = Monitor(machine, self._said.append)
        self.monitor.aside = self.aside.append

    def __call__(self, line: str) -> str:
        """Run a line; the answer."""
        self._said.clear()
        for _ in self.monitor.execute(line):
            pass
        return "".join(self._said)


class RealSession:
    """The monitor of a real QEMU, asked through QMP.

    QEMU prints a few complaints on its standard output, which is QMP's too here: they are the
    lines that are no JSON.
    """

    def __init__(self, program: str, arguments: Sequence[str], folder: str) -> None:
        self._process = subprocess.Popen(
            [program, "-nodefaults", "-display", "none", "-qmp", "stdio", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            text=True,
        )
        self.aside: list[str] = []
        self._receive()
        self._send("qmp_capabilities")

    def __call__(self, line: str) -> str:
        """Run a line; the answer."""
        return self._send("human-monitor-command", {"command-line": line}).replace("\r", "")

    def _send(self, command: str, arguments: dict[str, str] | None = None) -> str:
        stdin = self._process.stdin
        assert stdin is not None
        print(
            json.dumps({"execute": command, "arguments": arguments or {}}), file=stdin, flush=True
        )
        while "return" not in (answer := self._receive()):
            assert "error" not in answer, answer
        return str(answer["return"])

    def _receive(self) -> dict[str, object]:
        assert self._process.stdout is not None
        while not (line := self._process.stdout.readline()).startswith("{"):
            assert line, "QEMU has ended"
            self.aside.append(line)
        return dict(json.loads(line))

    def close(self) -> None:
        with self._process:
            self._process.kill()
