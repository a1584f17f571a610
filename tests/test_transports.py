"""The monitor on every character device: the recorded line editor, and real QEMU beside it."""

from __future__ import annotations

import re
import select
import subprocess
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.session import Session
from tests.test_oracle import BEYOND, FOLDER, readline
from tests.transport import TRANSPORTS, Transport, Wire

MACHINE = "-M none -nodefaults -display none -S -name vm1".split()
PROMPT = b"(qemu) "
BULK = 1 << 20  # bytes of an answer that takes too long on all of them; unix alone has it elsewhere
Situation = dict[str, Any]


def situations() -> list[Situation]:
    """Those recorded on a unix socket that are about one client and what it types."""
    group = tomllib.loads((FOLDER / "readline" / "unix.toml").read_text())
    return [
        situation
        for situation in group["situation"]
        if situation.get("needs") not in BEYOND
        and situation.get("given", ("", 0))[1] < BULK
        and not any(re.match("@(?!greeting)", sent) for sent, _ in situation["steps"])
    ]


ALL = situations()
# They share a machine, which some set going: those that show its state come first.
PLAIN = sorted(
    (each for each in ALL if "args" not in each and "files" not in each),
    key=lambda each: "info status" not in str(each),
)
OTHERS = [each for each in ALL if each not in PLAIN]


class Program:
    """A program with many monitors, of which the first is on its standard streams."""

    def __init__(self, program: str, folder: Path, options: Sequence[str]) -> None:
        self.session = Session([program, *MACHINE, "-monitor", "stdio", *options], folder)
        shown = self.session("info chardev").splitlines()
        self.filenames = dict(line.split(": filename=") for line in shown)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            assert self.session.quit() == 0
        else:
            self.session.process.kill()
            self.session.wait()

    def filename(self, transport: Transport, number: int, index: int) -> str:
        """Of the monitor of the index-th option after the first."""
        if transport.name == "mux":
            return self.filenames[f"mux{number}-base"]
        return self.filenames[f"compat_monitor{index + 1}"]


def play(wire: Wire, situation: Situation, prefix: bytes) -> None:
    """Send what was sent, and compare what comes with the record, byte for byte."""
    greeting = wire.read(lambda got: got.endswith(PROMPT))
    assert greeting.startswith(prefix)
    steps = situation["steps"]
    if steps[0][0] == "@greeting":
        got = readline.normalise(greeting.removeprefix(prefix))
        assert readline.show(got) == steps[0][1]
        steps = steps[1:]
    if "given" in situation:
        sent, length = situation["given"]
        wire.send(readline.parse(sent))
        assert len(wire.read(lambda got: len(got) >= length)) == length
    for sent, wanted in steps:
        wire.send(readline.parse(sent))
        length = len(readline.parse(wanted))
        got = readline.normalise(wire.read(partial(is_as_long, length)))
        assert readline.show(got) == wanted, (situation["name"], sent)


def is_as_long(length: int, got: bytes) -> bool:
    return len(readline.normalise(got)) >= length


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda each: each.name)
def test_the_recorded_line_editor_holds(transport: Transport, hmp: str, tmp_path: Path) -> None:
    options = [transport.prepare(tmp_path, number) for number in range(len(PLAIN))]
    with Program(hmp, tmp_path, [word for each in options for word in each]) as program:
        wires = [
            transport.connect(tmp_path, number, program.filename(transport, number, number))
            for number in range(len(PLAIN))
        ]
        for wire, situation in zip(wires, PLAIN, strict=True):
            play(wire, situation, transport.prefix)
    for wire in wires:
        wire.close()


def test_it_holds_on_standard_input_and_output(hmp: str, tmp_path: Path) -> None:
    """Each in a program of its own, since there is one of these only."""

    def run(situation: Situation) -> None:
        with subprocess.Popen(
            [hmp, *MACHINE, "-monitor", "stdio"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                wire = Wire(process.stdout.fileno(), process.stdin.fileno())
                play(wire, situation, b"")
            finally:
                process.kill()

    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(run, PLAIN):
            pass


@pytest.mark.parametrize("situation", OTHERS, ids=lambda each: str(each["name"]))
def test_it_holds_on_all_of_them_at_once(situation: Situation, hmp: str, tmp_path: Path) -> None:
    for name in situation.get("files", []):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    options = [each.prepare(tmp_path, 0) for each in TRANSPORTS]
    words = [word for each in options for word in each]
    with Program(hmp, tmp_path, [*words, *situation.get("args", [])]) as program:
        for transport in TRANSPORTS:
            wire = transport.connect(tmp_path, 0, program.filename(transport, 0, index(transport)))
            play(wire, situation, transport.prefix)
            wire.close()


def index(transport: Transport) -> int:
    """Of its option, where each has one ``-monitor``; the multiplexer's has another name."""
    plain = [each for each in TRANSPORTS if each.name != "mux"]
    return plain.index(transport) if transport in plain else 0


QUIET = 0.25  # seconds of silence after which an answer has come
RETURN = 1.2  # within which a program sees that its terminal was opened again
# What a client sends; NEXT for one that takes the place of the one before.
NEXT = b""
SCRIPT = (
    b"info name\r",
    b"info na\x01\x7f\x05me\n",
    b"\x1b[A",
    b"\x15\x0b\x03",
    b"half a li",
    NEXT,
    b"\x1b[A\r",
    b"info chardev",
    b"\tX\b\b\x17\x17",
    b"foo\r\ninfo status\r\n",
    b"savevm a\nloadvm\nhelp quit\n",
)


def listen(wires: Sequence[Wire], patience: float) -> list[bytes]:
    """What comes on each until all are silent."""
    heard = [b""] * len(wires)
    by_fd = {wire.fileno(): number for number, wire in enumerate(wires)}
    while ready := select.select([*by_fd], [], [], patience)[0]:
        for fd in ready:
            heard[by_fd[fd]] += wires[by_fd[fd]].read(lambda got: bool(got))
            if heard[by_fd[fd]].endswith(b"<EOF>"):
                del by_fd[fd]
    return heard


def test_a_client_gets_the_bytes_that_the_real_one_gets(
    hmp: str, qemu: str, tmp_path: Path
) -> None:
    """All of them at once, in both programs."""
    with ExitStack() as stack:
        callers = []
        for path in (hmp, qemu):
            folder = tmp_path / Path(path).name
            folder.mkdir()
            options = [word for each in TRANSPORTS for word in each.prepare(folder, 0)]
            program = stack.enter_context(Program(path, folder, options))
            for each in TRANSPORTS:
                place = program.filename(each, 0, index(each))
                callers.append(partial(each.connect, folder, 0, place))
        wires = [call() for call in callers]
        conversations = [[answer] for answer in listen(wires, RETURN)]
        for step in SCRIPT:
            for number, wire in enumerate(wires):
                if step != NEXT:
                    wire.send(step)
                else:
                    wire.close()
                    if TRANSPORTS[number % len(TRANSPORTS)].name == "pty":
                        time.sleep(QUIET)  # it must be seen to go
                    wires[number] = callers[number]()
            answers = listen(wires, RETURN if step == NEXT else QUIET)
            for conversation, answer in zip(conversations, answers, strict=True):
                conversation.append(answer)
    for wire in wires:
        wire.close()
    said = [[readable(answer) for answer in conversation] for conversation in conversations]
    for number, transport in enumerate(TRANSPORTS):
        assert said[number] == said[number + len(TRANSPORTS)], transport.name
        assert sum(map(len, said[number])) > 1000, transport.name


def readable(answer: bytes) -> str:
    """With what differs from run to run taken out."""
    text = readline.show(readline.normalise(answer))
    text = re.sub(r"(127\.0\.0\.1):\d+", r"\1:<port>", text)
    return re.sub(r"/dev/pts/\d+", "/dev/pts/<n>", text)
