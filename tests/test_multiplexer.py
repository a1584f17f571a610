"""Several users of one device, and the escape keys: what our program and the real one send."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from tests.test_oracle import readline
from tests.test_transports import QUIET, listen
from tests.transport import Wire

NONE = "-M none -nodefaults -display none -S"
PC = "-M pc -nodefaults -display none -S"
TWO = f"{NONE} -chardev stdio,id=a,mux=on -mon a -mon a"

CASES = {
    f"{NONE} -monitor mon:stdio": (
        b"\x01h",
        b"a\x01c",
        b"half",
        b"\x01c",
        b"c\n",
        b"\x01?",
        b"\x01s",
        b"\x01b",
        b"\x01\x01",
        b"\x01z",
        b"x\x01",
        b"cy\n",
        b"info chardev\n",
        b"info name\ninfo name\n\x01cinfo chardev\n",
        b"\x01x",
    ),
    TWO: (b"a", b"\x01c", b"foo\n", b"zz", b"\x01c", b"b\n", b"\x01c", b"y\n\x01cz\n", b"quit\n"),
    f"{TWO} -mon a -mon a": (b"\x01c\x01c\x01c", b"foo\n", b"\x01c", b"\x1b[A", b"\x01x"),
    f"{PC} -serial mon:stdio": (
        b"a",
        b"\x01c",
        b"ab",
        b"\x01c",
        b"z",
        b"\x01h",
        b"\x01c",
        b"info chardev\n",
        b"\x01x",
    ),
    f"{PC} -serial null -serial mon:stdio -parallel null": (b"\x01c", b"info chardev\n", b"quit\n"),
    f"{PC} -chardev stdio,id=a,mux=on -mon a -mon a -serial chardev:a": (
        b"\x01c",
        b"x\n",
        b"\x01c",
        b"\x01c\x01c",
        b"y\n",
        b"\x01x",
    ),
    f"{NONE} -serial mon:stdio -parallel null": (b"info chardev\n", b"\x01c", b"\x01h", b"\x01x"),
    f"{NONE} -echr 0x14 -monitor mon:stdio": (b"\x01", b"\x14h", b"\x14\x14", b"\x14x"),
    f"{NONE} -echr 0x41 -monitor mon:stdio": (b"xAh", b"xAAAy", b"Ax"),
    f"{NONE} -echr bogus -monitor mon:stdio": (b"\x01h\n", b"quit\n"),
    "-M none -S -nographic": (b"info chardev\n", b"\x01h\n", b"quit\n"),
    "-M pc -S -nographic": (b"\x01c", b"info chardev\n", b"\x01c", b"\x01h", b"\x01x"),
    "-M pc -S -nographic -serial null": (b"info chardev\n", b"\x01h\n", b"quit\n"),
    "-M pc -S -display none -serial mon:stdio -monitor null": (
        b"\x01c",
        b"info chardev\n",
        b"\x01x",
    ),
}


def start(stack: ExitStack, argv: list[str], folder: Path) -> tuple[subprocess.Popen[bytes], Wire]:
    """A program, which ends with the test, and its standard streams."""
    process = stack.enter_context(
        subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    return process, Wire(process.stdout.fileno(), process.stdin.fileno())


def test_each_key_does_what_it_does_in_the_real_one(hmp: str, qemu: str, tmp_path: Path) -> None:
    """All cases at once, since most of the time is spent waiting for silence."""
    runs = [(program, line) for line in CASES for program in (hmp, qemu)]
    heard: list[list[bytes]] = [[] for _ in runs]
    with ExitStack() as stack:
        started = [start(stack, [program, *line.split()], tmp_path) for program, line in runs]
        wires = [wire for _, wire in started]
        for answers, answer in zip(heard, listen(wires, 2.0), strict=True):
            answers.append(answer)
        for number in range(max(map(len, CASES.values())) - 1):
            steps = [CASES[line][:-1][number : number + 1] for _, line in runs]
            for wire, step in zip(wires, steps, strict=True):
                for data in step:
                    wire.send(data)
            for answers, answer in zip(heard, listen(wires, QUIET), strict=True):
                answers.append(answer)
        for (process, _), (_, line), answers in zip(started, runs, heard, strict=True):
            rest, _ = process.communicate(CASES[line][-1], timeout=20)
            answers.append(rest)
            assert process.returncode == 0, line
    for (_, line), ours, real in zip(runs[::2], heard[::2], heard[1::2], strict=True):
        shown = [
            [readline.show(readline.normalise(each)) for each in side] for side in (ours, real)
        ]
        assert shown[0] == shown[1], line


def test_lines_carry_the_time_when_that_is_asked_for(hmp: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        process, wire = start(stack, [hmp, *NONE.split(), "-monitor", "mon:stdio"], tmp_path)
        wire.send(b"\x01t\n")
        wire.read(lambda got: got.count(b"(qemu) ") == 2)
        time.sleep(0.5)
        out, _ = process.communicate(b"\x01h\x01t\nquit\n", timeout=20)
    stamps = [
        int(minutes) * 60000 + int(seconds) * 1000 + int(milliseconds)
        for minutes, seconds, milliseconds in re.findall(rb"\n\[00:(\d\d):(\d\d)\.(\d{3})\] ", out)
    ]
    assert len(stamps) == 8
    assert stamps == sorted(stamps)
    assert 300 <= stamps[-1] < 10000
    assert out.endswith(b"quit\x1b[K\r\n")


def test_a_line_with_faults_passes_the_focus_on(hmp: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        argv = [hmp, *TWO.split(), "--fault", "split-prompt=10"]
        _, wire = start(stack, argv, tmp_path)
        greeting = wire.read(lambda got: got.endswith(b"(qemu) "))
        wire.send(b"\x01c")
        assert wire.read(lambda got: got.endswith(b"(qemu) ")) == b"\r\n" + greeting
        wire.send(b"\x01c")
        assert wire.read(lambda got: got.endswith(b"(qemu) ")) == b"\r\n(qemu) "


def test_a_client_who_comes_greets_every_user_of_the_device(hmp: str, tmp_path: Path) -> None:
    args = "-chardev socket,id=a,path=s,server=on,wait=off,mux=on -mon a -mon a".split()
    process = subprocess.Popen([hmp, *NONE.split(), *args], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 20
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as client:
                while client.connect_ex(str(tmp_path / "s")):  # it is there before it listens
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                wire = Wire(client.fileno(), client.fileno())
                greeting = wire.read(lambda got: got.endswith(b"(qemu) "))
                assert greeting.count(b"QEMU") == 1
                wire.send(b"\x01cinfo name\nhalf")
                assert wire.read(lambda got: got.endswith(b"half\x1b[K")).count(b"QEMU") >= 1
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not os.path.lexists(tmp_path / "s")
