"""Several users of one character device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.chardev.device import Chardev
from machine.chardev.mux import QUEUE_LIMIT, EscapeKeys, Multiplexer
from machine.loop import MainLoop


class Base(Chardev):
    """A device whose other side is the test."""

    filename = "base"

    def __init__(self, loop: MainLoop) -> None:
        super().__init__(loop, "base")
        self.is_open = True
        self.written = b""

    @property
    def takes_input(self) -> bool:
        return self._wants_input

    def type(self, data: bytes) -> None:
        self._receive(data)

    def hang_up_and_call_again(self) -> None:
        self._leave()
        self._come()

    def _send(self, data: bytes) -> None:
        self.written += data


class Bench:
    """A multiplexer with its users, and what each was told."""

    def __init__(self, users: int, code: int = 1) -> None:
        self.loop = MainLoop()
        self.base = Base(self.loop)
        self.deeds: list[str] = []
        keys = EscapeKeys(
            code=code,
            quit=lambda: self.deeds.append("quit"),
            commit=lambda: self.deeds.append("commit"),
        )
        self.now_ns = 5_000_000_000
        self.mux = Multiplexer(self.loop, "m", self.base, keys, lambda: self.now_ns)
        self.events: list[list[str]] = []
        self.heard: list[bytes] = []
        self.places: list[Chardev] = []
        for number in range(users):
            self.add(number)

    def add(self, number: int) -> None:
        self.events.append([])
        self.heard.append(b"")
        place = self.mux.claim()
        tell = self.events[number].append

        def hear(data: bytes) -> None:
            self.heard[number] += data

        place.watch_focus(lambda: tell("lost"), lambda: tell("gained"))
        place.receive_break = lambda: tell("break")
        place.attach(lambda: tell("opened"), hear, lambda: tell("closed"))
        self.places.append(place)

    def open(self) -> None:
        assert not self.base.takes_input, "nobody may hear anything before it is opened"
        self.loop.run_ready()


def test_users_are_told_once_the_loop_turns_and_the_last_has_the_focus() -> None:
    bench = Bench(2)
    assert bench.events == [["gained", "lost"], ["gained"]]
    bench.open()
    assert bench.events == [["gained", "lost", "opened"], ["gained", "opened"]]
    bench.add(2)
    assert bench.events[1:] == [["gained", "opened", "lost"], ["gained", "opened"]]
    bench.base.hang_up_and_call_again()
    assert [events[-2:] for events in bench.events] == [["closed", "opened"]] * 3


def test_four_users_are_all_there_may_be() -> None:
    bench = Bench(4)
    with pytest.raises(QemuError, match="Device 'm' is in use"):
        bench.mux.claim()
    bench.places[1].detach()
    bench.mux.claim()
    with pytest.raises(QemuError, match="Device 'base' is in use"):
        bench.base.claim()


def test_all_of_them_write() -> None:
    bench = Bench(2)
    bench.open()
    bench.places[0].write(b"a")
    bench.places[1].write(b"b")
    assert bench.base.written == b"ab"


def test_what_is_typed_for_a_busy_user_waits_but_keys_do_not() -> None:
    bench = Bench(2)
    bench.open()
    bench.places[1].pause()
    bench.base.type(b"\x01b" + b"x" * (QUEUE_LIMIT - 1))
    assert bench.heard == [b"", b""]
    assert bench.events[1][-1] == "break"
    assert bench.base.takes_input
    bench.base.type(b"\x01c" + b"y")
    assert bench.heard == [b"y", b""]
    bench.base.type(b"\x01c")
    bench.base.type(b"zzz\x01c")
    assert not bench.base.takes_input
    assert bench.heard == [b"y", b""]
    bench.places[1].resume()
    assert bench.heard == [b"y", b"x" * (QUEUE_LIMIT - 1) + b"zzz"]
    assert bench.base.takes_input
    bench.base.type(b"w")
    assert bench.heard[0] == b"yw"


def test_the_keys_do_what_they_are_told() -> None:
    bench = Bench(1)
    bench.open()
    bench.base.type(b"\x01x\x01s\x01q\x01\x01a")
    assert bench.deeds == ["quit", "commit"]
    assert bench.heard == [b"\x01a"]
    assert bench.base.written == b"QEMU: Terminated\n\r"


def test_each_line_is_stamped_with_the_time_since_the_first() -> None:
    bench = Bench(1)
    bench.open()
    bench.places[0].write(b"before\r\n")
    bench.base.type(b"\x01t")
    bench.places[0].write(b"x\ny")
    bench.now_ns += 3_723_004_000_000
    bench.places[0].write(b"z\r\n")
    bench.places[0].write(b"\r")
    bench.base.type(b"\x01t")
    bench.places[0].write(b"\nend\n")
    assert bench.base.written == (b"before\r\nx\n[00:00:00.000] yz\r\n[01:02:03.004] \r\nend\n")


def expected(typed: bytes, users: int) -> list[bytes]:
    """What users who are never busy hear."""
    heard = [b""] * users
    focus, is_escaped = users - 1, False
    for number in typed:
        byte = bytes([number])
        if is_escaped:
            is_escaped = False
            if byte == b"c":
                focus = (focus + 1) % users
            elif byte == b"\x01":
                heard[focus] += byte
        elif byte == b"\x01":
            is_escaped = True
        else:
            heard[focus] += byte
    return heard


@given(
    st.lists(st.text("\x01\x01cab\r\nh", max_size=8).map(str.encode), max_size=12),
    st.integers(1, 4),
)
def test_everybody_hears_what_is_typed_for_them_however_it_is_cut(
    pieces: list[bytes], users: int
) -> None:
    bench = Bench(users)
    bench.open()
    for piece in pieces:
        if piece:
            bench.base.type(piece)
    assert bench.heard == expected(b"".join(pieces), users)
    bench.loop.close()
