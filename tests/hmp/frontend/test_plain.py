"""The plain front end in processes of its own, on each kind of connection."""

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .records import TOY, runner, situations

CLIENTS = (
    "@connect",
    "@close",
    "@end",
    "@terminate",
    "@greeting",
    "quit",
    "q\\r",
    "\\x1c",
    "\\x03",
)


def recorded() -> list[Any]:
    """Those situations that the editor alone does not decide."""
    found = []
    for transport in ("unix", "tcp", "telnet", "pty", "pipe"):
        for group, situation in situations(transport):
            sent = [step[0] for step in situation["steps"]]
            if transport == "telnet" or any(word.startswith(CLIENTS) for word in sent):
                name = f"{transport}: {situation['name']}"
                found.append(pytest.param(group, situation, id=name))
    return found


@pytest.mark.parametrize(("group", "situation"), recorded())
def test_each_recorded_step_is_answered_byte_for_byte(
    group: dict[str, Any], situation: dict[str, Any]
) -> None:
    answers = runner.run(TOY, group, situation, False)
    for (sent, wanted), got in zip(situation["steps"], answers, strict=True):
        assert runner.show(got) == wanted, f"after {sent}"


class Program:
    """The toy program with monitors on sockets; `connect` waits for the prompt."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*TOY, *args],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def connect(self, name: str = "monitor.sock") -> socket.socket:
        deadline = time.monotonic() + 5
        while True:
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(f"{self.folder}/{name}")
            except OSError:
                client.close()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            else:
                client.settimeout(5)
                assert read_until(client, b"(qemu) ").startswith(b"QEMU 7.2.0 monitor")
                return client


def read_until(client: socket.socket, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        chunk = client.recv(1 << 16)
        assert chunk, got
        got += chunk
    return got


def read_all(client: socket.socket) -> bytes:
    got = b""
    while chunk := client.recv(1 << 16):
        got += chunk
    return got


@contextlib.contextmanager
def running(folder: Path, *args: str) -> Iterator[Program]:
    program = Program(folder, *args)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


SOCKET = ("-monitor", "unix:monitor.sock,server=on,wait=off")
SECOND_SOCKET = ("-monitor", "unix:second.sock,server=on,wait=off")
STDIO = ("-monitor", "stdio")


def test_a_client_that_ends_its_side_gets_every_answer(tmp_path: Path) -> None:
    with running(tmp_path, *SOCKET) as program, program.connect() as client:
        client.sendall(b"flood 100000\n" * 20)
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        assert read_all(client).count(b"x") == 20 * 100000


def test_nothing_is_lost_when_the_reader_is_slow_to_read(tmp_path: Path) -> None:
    with running(tmp_path, *STDIO) as program:
        assert program.process.stdin
        assert program.process.stdout
        program.process.stdin.write(b"flood 500000\n" * 4 + b"quit\n")
        program.process.stdin.flush()
        time.sleep(0.2)
        assert program.process.stdout.read().count(b"x") >= 4 * 500000
        assert program.process.wait(5) == 0


def test_a_reader_that_does_not_read_holds_up_no_other_monitor(tmp_path: Path) -> None:
    with (
        running(tmp_path, *SOCKET, *SECOND_SOCKET) as program,
        program.connect() as lazy,
        program.connect("second.sock") as client,
    ):
        lazy.sendall(b"flood 5000000\n")
        client.sendall(b"info name\n")
        assert read_until(client, b"(qemu) ").endswith(b"\r\nvm1\r\n(qemu) ")
        read_until(lazy, b"x\r\n(qemu) ")


def test_no_line_is_run_and_no_prompt_sent_until_a_long_command_has_ended(
    tmp_path: Path,
) -> None:
    with running(tmp_path, *SOCKET) as program, program.connect() as client:
        client.sendall(b"count 300\ninfo name\nquit\n")
        answer = read_all(client)
    numbers = b"".join(b"%d\r\n" % number for number in range(300))
    assert b"\x1b[K\r\n" + numbers + b"(qemu) i\x1b[K" in answer
    assert answer.index(b"vm1") > answer.index(b"299")


def test_another_monitor_answers_while_a_command_waits(tmp_path: Path) -> None:
    with (
        running(tmp_path, *SOCKET, *SECOND_SOCKET) as program,
        program.connect() as busy,
        program.connect("second.sock") as client,
    ):
        busy.sendall(b"wait 1000000000\n")
        read_until(busy, b"\n")
        client.sendall(b"info name\n")
        read_until(client, b"\r\nvm1\r\n(qemu) ")


def test_another_monitor_waits_while_a_command_works(tmp_path: Path) -> None:
    with (
        running(tmp_path, *SOCKET, *SECOND_SOCKET) as program,
        program.connect() as busy,
        program.connect("second.sock") as client,
    ):
        busy.sendall(b"work 1000000\n")
        read_until(busy, b"\n")
        client.sendall(b"info name\n")
        read_until(client, b"\r\nvm1\r\n(qemu) ")
        busy.setblocking(False)
        assert b"done" in busy.recv(1 << 16), "the work was over before the other was answered"


def test_a_client_that_leaves_during_a_long_command_makes_room_for_the_next(
    tmp_path: Path,
) -> None:
    with running(tmp_path, *SOCKET) as program:
        with program.connect() as client:
            client.sendall(b"count 20000\n")
            read_until(client, b"\n")
        with program.connect() as client:
            client.sendall(b"\x1b[A")
            assert read_until(client, b"\x1b[K") == b"count 20000\x1b[K"


def test_a_closed_client_loses_its_half_line_but_not_its_whole_ones(tmp_path: Path) -> None:
    with running(tmp_path, *SOCKET) as program:
        with program.connect() as client:
            client.sendall(b"first\nsecond\nhalf")
        with program.connect() as client:
            client.sendall(b"\ninfo history\n")
            answer = read_until(client, b"history'\r\n(qemu) ")
    assert b"0: 'first'\r\n1: 'second'\r\n2: 'info history'\r\n" in answer


def test_what_stands_behind_quit_is_left_in_a_pipe(tmp_path: Path) -> None:
    command = '(echo "info name"; echo quit; echo rest) | { "$@" >/dev/null; cat; }'
    result = subprocess.run(["sh", "-c", command, "sh", *TOY, *STDIO], capture_output=True)
    assert result.stdout == b"rest\n"


def test_what_stands_behind_quit_is_left_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("info name\nquit\nrest\n")
    with (tmp_path / "script").open() as script:
        subprocess.run([*TOY, *STDIO], stdin=script, stdout=subprocess.DEVNULL, check=True)
        assert os.read(script.fileno(), 100) == b"rest\n"


def test_output_into_a_file_and_input_from_a_file_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("info name\nquit\n")
    with (tmp_path / "script").open() as script, (tmp_path / "out").open("w") as out:
        subprocess.run([*TOY, *STDIO], stdin=script, stdout=out, check=True)
    piped = subprocess.run(
        [*TOY, *STDIO], input=b"info name\nquit\n", capture_output=True, check=True
    ).stdout
    assert (tmp_path / "out").read_bytes() == piped
    assert piped.endswith(b"quit\x1b[K\r\n")


def test_a_program_whose_output_nobody_reads_any_more_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, *STDIO, *SOCKET) as program, program.connect() as client:
        assert program.process.stdin
        assert program.process.stdout
        program.process.stdout.close()
        program.process.stdin.write(b"info name\n" * 3)
        program.process.stdin.flush()
        client.sendall(b"info name\n")
        read_until(client, b"vm1\r\n(qemu) ")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_descriptor_is_as_good_as_dev_null(closed: str, tmp_path: Path) -> None:
    command = f'exec "$@" {closed}'
    with subprocess.Popen(["sh", "-c", command, "sh", *TOY, *SOCKET, *STDIO], cwd=tmp_path) as p:
        program = Program.__new__(Program)
        program.folder = tmp_path
        try:
            with program.connect() as client:
                client.sendall(b"quit\n")
                read_all(client)
            assert p.wait(5) == 0
        finally:
            p.kill()


def test_the_terminal_of_the_parent_stays_blocking_and_is_restored(tmp_path: Path) -> None:
    import termios

    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    with subprocess.Popen([*TOY, *STDIO], stdin=slave, stdout=slave, stderr=slave) as process:
        try:
            got = b""
            while not got.endswith(b"(qemu) "):
                assert select.select([master], [], [], 5)[0]
                got += os.read(master, 4096)
            during = termios.tcgetattr(slave)
            assert os.get_blocking(slave)
            os.write(master, b"quit\rrest\r")
            assert process.wait(5) == 0
        finally:
            process.kill()
    assert during[3] & termios.ISIG
    assert not during[3] & (termios.ICANON | termios.ECHO | termios.IEXTEN)
    assert not during[0] & (termios.ICRNL | termios.IXON)
    assert during[1] & termios.OPOST
    assert termios.tcgetattr(slave) == before
    # What was typed behind the quit is the shell's.
    os.set_blocking(slave, False)
    assert os.read(slave, 100) == b"rest\r"
    os.close(master)
    os.close(slave)


def test_a_complaint_about_quotes_goes_to_standard_output(tmp_path: Path) -> None:
    with running(tmp_path, *SOCKET) as program, program.connect() as client:
        client.sendall(b'foo "a\tx')
        assert read_until(client, b"x\x1b[K").endswith(b'\x1b[Dfoo "ax\x1b[K')
        client.sendall(b"\x01\x17quit\x0b")
        program.process.terminate()
        assert program.process.communicate()[0] == b"unterminated string\n"


def test_on_standard_output_a_complaint_about_quotes_stands_in_the_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [*TOY, *STDIO], input=b'"f\t\x01\x04\x04quit\n', capture_output=True, check=True
    )
    assert b'"f\x1b[Kunterminated string\n\x1b[D\x1b[Df\x1b[K' in result.stdout
