"""The exchanges in a text: blocks marked ``console``, which are played to see what comes.

A line behind ``$ `` is run in a shell, and ``$ hmp ...`` begins a session; lines behind the
monitor's prompt are typed there.  All blocks of a text are one play, in one folder.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.session import Session
from tests.session import normal as normal_session

HMP = str(Path(sys.executable).with_name("hmp"))
SHELL, PROMPT = "$ ", "(qemu) "
_BLOCK = re.compile(r"(^```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)


def renewed(text: str, folder: Path) -> str:
    """The text with what comes now in place of what was there.

    Raises:
        AssertionError: a program doesn't do what it should.
    """
    player = _Player(folder)
    try:
        return _BLOCK.sub(lambda match: match[1] + player.play(match[2]) + match[3], text)
    finally:
        player.end()


def normal(text: str) -> str:
    """Text without what differs from run to run: dates, clocks, and how long things took."""
    text = normal_session(text)
    text = re.sub(r"\d+\.\d\d m?s\b", "<time>", text)
    text = re.sub(r"[\d.]+ s of the machine's time", "<time> of the machine's time", text)
    text = re.sub(r"clock \d\d:\d\d:\d\d\.\d{3}", "clock <clock>", text)
    return re.sub(r"(?<=_offset)(: | \(int64\): )-?\d+( -> -?\d+)?", r"\1<ticks>", text)


class _Player:
    """Types what stands in the blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session: Session | None = None

    def play(self, block: str) -> str:
        """A block as it comes now."""
        return "".join(self._lines(block))

    def _lines(self, block: str) -> Iterator[str]:
        for line in block.splitlines():
            if line.startswith(SHELL):
                yield f"{line}\n{self._run(line.removeprefix(SHELL))}"
            elif line.startswith(PROMPT):
                yield f"{line}\n{self._type(line.removeprefix(PROMPT))}"

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "hmp":
            assert self._session is None, "one session after the other"
            self._session = Session([HMP, *words[1:]], self._folder)
            greeting = self._session.greeting.decode().replace("\r\n", "\n")
            return greeting.removesuffix(PROMPT)
        done = subprocess.run(
            words, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        return done.stdout.decode()

    def _type(self, line: str) -> str:
        assert self._session is not None, "no session has begun"
        if line == "quit":
            status = self._session.quit()
            self._session = None
            assert status == 0, status
            return ""
        answer = self._session(line)
        return "".join(f"{each.rstrip()}\n" for each in answer.splitlines())

    def end(self) -> None:
        if self._session is not None:
            self._session.process.kill()
            self._session.wait()
