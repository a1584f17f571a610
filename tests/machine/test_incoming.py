"""An incoming migration at a socket: whatever comes, however slowly, ends in one sentence."""

import socket
from collections.abc import Iterator

import pytest

from machine.migration.status import ACTIVE, COMPLETED, FAILED, NONE
from machine.runstate import RunState
from tests.hmp.trial import TriedMachine
from tests.machine.machines import SavedMachine

STREAM = SavedMachine(0).save()
END = STREAM.rindex(b"\6\0\0\1")  # of what must be there; the description may be missing
FAILURE = "load of migration failed: "


class Waiting:
    """A machine that waits for its state, and the socket at which it does."""

    def __init__(self) -> None:
        self.machine = TriedMachine("none", 0)
        self.machine.set_runstate(RunState.INMIGRATE)
        self.peer, ours = socket.socketpair()
        self.machine.incoming.start("fd:state", lambda _: ours.detach())

    def turn(self) -> None:
        """Let it take what has come."""
        for _ in range(3):
            self.machine.loop.run_ready()
        while self.machine.loop.next_deadline() == 0:
            self.machine.loop.run_ready()

    def send(self, data: bytes) -> None:
        self.peer.sendall(data)
        self.turn()

    def end(self) -> None:
        """The peer leaves."""
        self.peer.close()
        self.turn()

    def check(self) -> bool:
        """Whether the state came; if not, it must have been refused well."""
        machine = self.machine
        assert machine.exceptions == []
        if machine.incoming.status is COMPLETED:
            assert machine.runstate is not RunState.INMIGRATE
            assert not machine.shutdown_requested
            return True
        assert machine.incoming.status is FAILED
        assert machine.runstate is RunState.INMIGRATE
        assert (machine.shutdown_requested, machine.exit_status) == (True, 1)
        said = [line.removeprefix(f"{machine.program}: ") for line in machine.complaints]
        assert [line for line in said if line.startswith(FAILURE)] == said[-1:]
        assert len(said) <= 4
        return False

    def close(self) -> None:
        self.peer.close()
        self.machine.close()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    waiting = Waiting()
    yield waiting
    waiting.close()


def test_a_stream_in_one_piece(waiting: Waiting) -> None:
    waiting.send(STREAM)
    waiting.end()
    assert waiting.check()
    assert waiting.machine.runstate is RunState.RUNNING
    assert waiting.machine.complaints == []


def test_a_stream_byte_by_byte(waiting: Waiting) -> None:
    for index in range(len(STREAM)):
        assert waiting.machine.incoming.status is (ACTIVE if index else NONE)
        waiting.send(STREAM[index : index + 1])
    assert waiting.check()


def test_a_peer_that_stalls_is_waited_for_and_one_that_leaves_is_not() -> None:
    """At every byte."""
    for size in range(1, len(STREAM)):
        waiting = Waiting()
        waiting.send(STREAM[:size])
        assert waiting.machine.incoming.status is ACTIVE, size
        assert waiting.machine.complaints == []
        waiting.end()
        assert waiting.check() == (size >= END)
        waiting.close()


@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_garbage_at_any_byte_is_refused_or_does_no_harm(change: int) -> None:
    arrived = 0
    for position in range(len(STREAM)):
        data = bytearray(STREAM)
        data[position] ^= change
        waiting = Waiting()
        waiting.send(bytes(data))
        waiting.end()
        arrived += waiting.check()
        waiting.close()
    # Most of it is the description, and clocks and room that may hold anything.
    assert len(STREAM) - END <= arrived < len(STREAM)
