"""A QMP client of either program on a pipe, which keeps the bytes as they come."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NEGOTIATION = {"execute": "qmp_capabilities"}
PATIENCE = 20.0  # seconds
_MOVING = ("created", "running", "waiting", "aborting")  # statuses of jobs that go on

# What is not the same twice, or not on two programs; everything else is compared as it is.
_VARIES = (
    (r'"seconds": \d+, "microseconds": \d+', "TIME"),
    (r'"date-sec": \d+', '"date-sec": N'),
    (r'"date-nsec": \d+', '"date-nsec": N'),
    (r'"thread-id": \d+', '"thread-id": N'),
    (r'"actual-size": \d+', '"actual-size": N'),  # the host's file system has its own mind
    (r"#block\d+", "#blockN"),
    (r"/dev/pts/\d+", "/dev/pts/N"),
    (r"(tcp:127\.0\.0\.1):\d+", r"\1:PORT"),
    (r"device\[\d+\]", "device[N]"),  # in the order in which a board's devices were made
)


def request(name: str, /, **arguments: Any) -> dict[str, Any]:
    """A command; in the names of arguments ``_`` stands for ``-``."""
    return {
        "execute": name,
        "arguments": {key.replace("_", "-"): value for key, value in arguments.items()},
    }


class Conversation:
    """A program whose QMP is on a pipe."""

    def __init__(self, program: str, folder: Path, args: Sequence[str] = ("-M", "none")) -> None:
        self.errors = folder / f"{Path(program).name}.errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [program, *args, "-nodefaults", "-display", "none", "-qmp", "stdio"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )
        self.greeting = self.lines_until(lambda line: "QMP" in line)

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def lines_until(self, is_last: Any) -> list[str]:
        """What comes, to the line that is the last of it."""
        assert self.process.stdout is not None
        got = b""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = got.decode().split("\r\n")
            if any(is_last(line) for line in lines[:-1]) and not lines[-1]:
                return lines[:-1]
            ready, _, _ = select.select([self.process.stdout], [], [], 1)
            assert time.monotonic() < deadline, got[-500:]
            if ready:
                chunk = os.read(self.process.stdout.fileno(), 1 << 16)
                assert chunk, (got[-500:], self.errors.read_text())
                got += chunk

    def ask(self, requests: Sequence[dict[str, Any]]) -> list[str]:
        """Send all of them at once; everything that comes until all are answered."""
        numbered = [{**each, "id": number} for number, each in enumerate(requests)]
        self.send(b"".join(json.dumps(each).encode() + b"\n" for each in numbered))
        last = re.compile(rf'"id": {len(requests) - 1}\b')
        return self.lines_until(last.search)

    def step(self, requests: Sequence[dict[str, Any]]) -> list[str]:
        """Send one after the other; each job goes on first until it waits for somebody."""
        said: list[str] = []
        for each in requests:
            said += [f"> {each['execute']}", *self.ask([each]), *self._settled()]
        return said

    def _settled(self) -> list[str]:
        """What comes until no job is on the move."""
        said: list[str] = []
        while True:
            self.send(b'{"execute": "query-jobs", "id": "settled"}\n')
            lines = self.lines_until(lambda line: '"settled"' in line)
            [answer] = [line for line in lines if '"settled"' in line]
            said += [line for line in lines if line is not answer]
            jobs = json.loads(answer)["return"]
            if not any(job["status"] in _MOVING for job in jobs):
                return said
            time.sleep(0.01)

    def negotiate(self, **arguments: Any) -> None:
        [answer] = self.ask([request("qmp_capabilities", **arguments)])
        assert "return" in answer

    def quit(self) -> int:
        self.send(b'{"execute": "quit"}\n')
        status = self.process.wait(PATIENCE)
        self.close()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


def normal(lines: Sequence[str]) -> list[str]:
    """Replies in a form that can be compared."""
    found = []
    for line in lines:
        for pattern, instead in _VARIES:
            line = re.sub(pattern, instead, line)
        found.append(line)
    return found
