"""The line editor alone: bytes in, bytes out."""

import os
import random
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp.frontend.editor import HISTORY_LIMIT, LINE_LIMIT, LineEditor

from .records import runner, situations
from .toy import ToyMachine, ToyMonitor

KEYS = [
    *(bytes([byte]) for byte in b"sna z 0134;[OABCDEFH~"),
    *(bytes([byte]) for byte in (0, 1, 3, 4, 5, 8, 9, 9, 12, 23, 27, 0x7F, 0x9B, 0xC4, 0xE9)),
    *(b"\x1b[" + key for key in (b"", b"A", b"B", b"C", b"D", b"D", b"1~", b"3~", b"4~")),
    *(b"\x1bO", b"42949672", b"snap\t"),
]


class Typist:
    """An editor with a toy monitor, and what they sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.machine = ToyMachine()
        self.editor = LineEditor(self.sent.append, self.complete)
        self.monitor = ToyMonitor(self.machine, self.print)
        self.monitor.front_end = self
        self.monitor.history = self.editor.history
        self.lines: list[str] = []
        self.editor.show_prompt()
        self.take()

    def print(self, text: str) -> None:
        self.sent.append(text.replace("\n", "\r\n").encode("utf-8", "surrogateescape"))

    def complete(self, line: str) -> tuple[list[str], int]:
        completion = self.monitor.completion(line)
        return completion.candidates, completion.typed_size

    def read_password(self, _take: object) -> None:
        self.editor.ask_password()

    def take(self) -> bytes:
        sent = b"".join(self.sent)
        self.sent.clear()
        return sent

    def type(self, data: bytes) -> bytes:
        """The answer to some input, commands carried out."""
        self.editor.feed(data)
        is_password = self.editor.asks_password
        while (line := self.editor.next_line()) is not None:
            self.lines.append(line)
            if not is_password:
                for _ in self.monitor.execute(line):
                    pass
            if self.machine.shutdown_requested:
                break
            self.editor.show_prompt()
            is_password = self.editor.asks_password
        return self.take()


def recorded() -> list[Any]:
    found = []
    for transport in ("unix", "pipe", "tcp"):
        for _, situation in situations(transport):
            if not any(sent.startswith("@") for sent, _ in situation["steps"]):
                name = f"{transport}: {situation['name']}"
                found.append(pytest.param(situation, id=name))
    return found


@pytest.mark.parametrize("situation", recorded())
def test_each_recorded_step_is_answered_byte_for_byte(
    situation: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in situation.get("files", []):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    typist = Typist()
    drives = [word.split(",")[1] for word in situation.get("args", []) if ",id=" in word]
    typist.machine.drives = [drive.removeprefix("id=") for drive in drives]
    if situation.get("given"):
        before, length = situation["given"]
        assert len(typist.type(runner.parse(before))) == length
    for sent, wanted in situation["steps"]:
        assert runner.show(typist.type(runner.parse(sent))) == wanted.removesuffix("<EOF>")


def test_the_records_of_the_editor_are_many() -> None:
    assert len(recorded()) > 100


@given(st.lists(st.sampled_from([*KEYS, b"\r", b"\n", b"\x1b[F"]), max_size=60), st.data())
def test_the_answer_does_not_depend_on_how_the_input_is_cut(
    keys: list[bytes], data: st.DataObject
) -> None:
    text = b"".join(keys)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    cut, whole = Typist(), Typist()
    assert b"".join(map(cut.type, pieces)) == whole.type(text)
    assert cut.lines == whole.lines
    assert cut.editor.history == whole.editor.history


@given(st.binary(max_size=200))
def test_a_terminal_that_is_sent_the_answer_shows_the_line(text: bytes) -> None:
    typist = Typist()
    answer = typist.type(text.replace(b"\t", b""))
    shown = bytearray(b"(qemu) ")
    column = len(shown)
    _, line_break, row = answer.rpartition(b"\r\n")
    if line_break:
        shown, column = bytearray(), 0
    while row:
        for code, move in ((b"\x1b[D", -1), (b"\x1b[C", 1), (b"\x1b[K", 0)):
            if row.startswith(code):
                row = row.removeprefix(code)
                column += move
                if not move:
                    del shown[column:]
                break
        else:
            if row.startswith(b"\x1b[2J\x1b[1;1H"):
                row = row.removeprefix(b"\x1b[2J\x1b[1;1H")
                shown, column = bytearray(), 0
            else:
                shown[column : column + 1] = row[:1]
                column += 1
                row = row[1:]
    typed = typist.editor._line
    assert bytes(shown) == b"(qemu) " + typed
    assert column == len("(qemu) ") + typist.editor._cursor


@pytest.mark.parametrize("seed", range(2))
def test_random_keys_are_answered_as_the_real_editor_answers(
    seed: int, qemu: str, tmp_path: Path
) -> None:
    # Lines begin with a word that is no command, so that the answers are known.
    random_keys = random.Random(seed)
    path = f"{tmp_path}/monitor.sock"
    args = f"-M none -nodefaults -display none -monitor unix:{path},server=on,wait=off"
    typist = Typist()
    with subprocess.Popen([qemu, *args.split()]) as process, socket.socket(socket.AF_UNIX) as real:
        deadline = time.monotonic() + 5
        while real.connect_ex(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        real.settimeout(5)
        greeting = b""
        while not greeting.endswith(b"(qemu) "):
            greeting += real.recv(4096)
        try:
            for _ in range(400):
                keys = [random_keys.choice(KEYS) for _ in range(random_keys.choice([1, 5, 30]))]
                keys.append(random_keys.choice([b"", b"\0\x01zz\r", b"\0\x01zz\n"]))
                sent = b"".join(keys)
                wanted = typist.type(sent)
                real.sendall(sent)
                got = b""
                while len(got) < len(wanted):
                    got += real.recv(1 << 16)
                assert got == wanted, sent
        finally:
            process.kill()


def test_a_line_takes_4095_bytes_and_no_more() -> None:
    typist = Typist()
    typist.type(b"a" * (LINE_LIMIT - 1))
    assert typist.type(b"b") != b""
    assert typist.type(b"c") == b""
    typist.type(b"\r")
    assert typist.lines == ["a" * (LINE_LIMIT - 1) + "b"]


def test_a_completion_does_not_make_a_line_longer_than_a_line() -> None:
    typist = Typist()
    typist.type(b" " * (LINE_LIMIT - 6) + b"savev\t\r")
    assert typist.lines == [" " * (LINE_LIMIT - 6) + "savevm"]


def test_ctrl_w_takes_a_single_blank_at_the_start_with_the_word() -> None:
    assert Typist().type(b" ab\x17").endswith(b" ab\x1b[K\x1b[D\x1b[D\x1b[D\x1b[K")
    assert Typist().type(b"  ab\x17").endswith(b"  ab\x1b[K\x1b[D\x1b[D\x1b[D\x1b[D  \x1b[K")


def test_an_eight_bit_csi_goes_on_with_the_last_number() -> None:
    to_start = b"\x1b[D\x1b[D"
    assert Typist().type(b"ab\x1b[1~\x05\x9b~").endswith(b"\x1b[C\x1b[C" + to_start)
    assert Typist().type(b"ab\x1b[1~\x05\x1bOx\x9b~").endswith(b"\x1b[C\x1b[C")


def test_numbers_in_escape_sequences_have_32_bits() -> None:
    assert Typist().type(b"ab\x1b[4294967297~").endswith(b"\x1b[D\x1b[D")


def test_in_a_full_history_the_newest_line_entered_again_keeps_the_place() -> None:
    typist = Typist()
    typist.type(b"".join(b"foo%d\r" % index for index in range(HISTORY_LIMIT)))
    typist.type(b"\x1b[A\x1b[A" + b"\x7f" * 5 + b"foo63\r")
    assert typist.type(b"\x1b[B") == b"foo63\x1b[K"

    typist.type(b"\x1b[A\x1b[A" + b"\x7f" * 5 + b"foo10\r")
    assert typist.type(b"\x1b[B") == b""


def test_bytes_that_are_no_text_come_back_from_the_history() -> None:
    typist = Typist()
    typist.type(b"foo\xff\xc3\r")
    assert typist.type(b"\x1b[A") == b"foo\xff\xc3\x1b[K"
    assert os.fsencode(typist.lines[0]) == b"foo\xff\xc3"


def test_a_password_is_masked_and_forgotten() -> None:
    typist = Typist()
    assert typist.type(b"change vnc password\r").endswith(b"\r\nPassword: ")
    assert typist.type(b"a\tb\x0c") == b"*\x1b[K\x1b[D**\x1b[K\x1b[2J\x1b[1;1HPassword: **\x1b[K"
    assert typist.type(b"\r") == b"\r\n(qemu) "
    assert typist.editor.history == ["change vnc password"]
    assert typist.lines[-1] == "ab"


def test_a_half_typed_password_is_asked_for_again_after_a_restart() -> None:
    typist = Typist()
    typist.type(b"change vnc password\rab")
    typist.editor.restart()
    typist.editor.show_prompt()
    assert typist.take() == b"Password: "
    assert typist.type(b"c\r") == b"*\x1b[K\r\n(qemu) "
    assert typist.lines[-1] == "c"


def test_input_behind_a_finished_line_waits() -> None:
    typist = Typist()
    typist.editor.feed(b"a\rb\n\n")
    assert typist.editor.next_line() == "a"
    assert typist.take() == b"a\x1b[K\r\n"
    assert typist.editor.has_input
    assert [typist.editor.next_line() for _ in range(3)] == ["b", "", None]
    assert not typist.editor.has_input


def test_names_beyond_the_256th_are_not_offered() -> None:
    sent: list[bytes] = []
    editor = LineEditor(sent.append, lambda _: ([f"n{i:04}" for i in range(300)] * 2, 0))
    editor.feed(b"\t")
    assert editor.next_line() is None
    assert b"".join(sent).count(b"n0") == 257  # the common part is in the line, too
