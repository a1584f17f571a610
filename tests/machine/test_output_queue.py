"""Output queues over real descriptors."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.chardev.output_queue import OutputQueue, private_description
from machine.loop import MainLoop

SIZE = 1_000_000


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    loop = MainLoop()
    yield loop
    loop.close()


@pytest.fixture(params=["blocking", "not blocking"])
def pipe(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[1], request.param == "blocking")
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            continue  # closed by the test


def make(loop: MainLoop, fd: int) -> OutputQueue:
    return OutputQueue(loop, fd, blocks=os.get_blocking(fd))


def test_what_fits_is_written_at_once(loop: MainLoop, pipe: tuple[int, int]) -> None:
    queue = make(loop, pipe[1])
    queue.write(b"x")
    assert queue.is_empty
    assert os.read(pipe[0], 9) == b"x"
    assert loop.next_deadline() is None


def test_what_does_not_fit_is_written_in_order_when_there_is_room(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    queue = make(loop, pipe[1])
    data = os.urandom(SIZE)
    queue.write(data)
    queue.write(b"end")
    assert not queue.is_empty
    got = bytearray()
    while len(got) < SIZE + 3:
        got += os.read(pipe[0], 5000)
        loop.run_ready()
    assert got == data + b"end"
    assert queue.is_empty
    assert pipe[1] not in loop._writers


def test_draining_waits_for_the_reader(loop: MainLoop, pipe: tuple[int, int]) -> None:
    queue = make(loop, pipe[1])
    queue.write(bytes(SIZE))
    got = bytearray()

    def read() -> None:
        while len(got) < SIZE:
            got.extend(os.read(pipe[0], 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    queue.drain(None)
    assert queue.is_empty
    reader.join()


def test_draining_gives_up_when_nothing_moves(loop: MainLoop, pipe: tuple[int, int]) -> None:
    queue = make(loop, pipe[1])
    queue.write(bytes(SIZE))
    before = time.monotonic()
    queue.drain(20_000_000)
    assert 0.01 < time.monotonic() - before < 2
    assert not queue.is_empty
    queue.close()


def test_draining_ends_when_the_reader_leaves(loop: MainLoop, pipe: tuple[int, int]) -> None:
    queue = make(loop, pipe[1])
    queue.write(bytes(SIZE))
    os.close(pipe[0])
    queue.drain(None)
    assert queue.is_empty
    queue.write(b"lost")
    assert queue.is_empty
    assert pipe[1] not in loop._writers


def test_who_waits_for_an_empty_queue_is_told_once(loop: MainLoop, pipe: tuple[int, int]) -> None:
    queue = make(loop, pipe[1])
    queue.write(bytes(SIZE))
    told: list[int] = []
    queue.when_empty = lambda: told.append(1)
    left = SIZE
    while left:
        assert bool(told) == queue.is_empty
        left -= len(os.read(pipe[0], 1 << 16))
        loop.run_ready()
    queue.write(b"x")
    assert told == [1]


def test_a_private_description_does_not_change_the_shared_one() -> None:
    read_end, write_end = os.pipe()
    private = private_description(write_end)
    assert private >= 0
    assert os.get_blocking(write_end)
    assert not os.get_blocking(private)
    os.write(private, b"x")
    assert os.read(read_end, 9) == b"x"
    for fd in (read_end, write_end, private):
        os.close(fd)


def test_a_terminal_has_a_private_description_too() -> None:
    master, slave = os.openpty()
    private = private_description(slave)
    assert private >= 0
    assert os.get_blocking(slave)
    os.close(private)
    # A new description of the other end would be another terminal.
    assert private_description(master) == -1
    os.close(master)
    os.close(slave)


def test_a_file_needs_no_private_description(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        assert private_description(file.fileno()) == -1
