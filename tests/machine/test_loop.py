"""The main loop, with real descriptors and the real clock."""

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machine.loop import MainLoop

MILLISECOND = 1_000_000


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    loop = MainLoop()
    yield loop
    loop.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def in_the_past() -> int:
    return time.monotonic_ns() - MILLISECOND


def test_a_reader_is_called_while_there_is_something_to_read(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    seen: list[bytes] = []
    loop.add_reader(pipe[0], lambda: seen.append(os.read(pipe[0], 1)))
    loop.run_ready()
    assert seen == []
    os.write(pipe[1], b"ab")
    loop.run_ready()
    loop.run_ready()
    loop.run_ready()
    assert seen == [b"a", b"b"]
    os.write(pipe[1], b"c")
    loop.remove_reader(pipe[0])
    loop.run_ready()
    assert seen == [b"a", b"b"]


def test_a_writer_is_called_when_a_full_pipe_has_room_again(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    os.set_blocking(pipe[1], False)
    while True:
        try:
            os.write(pipe[1], bytes(4096))
        except BlockingIOError:
            break
    calls: list[int] = []
    loop.add_writer(pipe[1], lambda: calls.append(1))
    loop.run_ready()
    assert calls == []
    os.read(pipe[0], 1 << 20)
    loop.run_ready()
    assert calls == [1]


def test_one_descriptor_has_a_reader_and_a_writer(loop: MainLoop) -> None:
    master, slave = os.openpty()
    calls: list[str] = []
    loop.add_reader(master, lambda: calls.append("read"))
    loop.add_writer(master, lambda: calls.append("write"))
    loop.run_ready()
    assert calls == ["write"]
    os.write(slave, b"x")
    loop.remove_writer(master)
    loop.run_ready()
    assert calls == ["write", "read"]
    loop.remove_reader(master)
    loop.run_ready()
    assert calls == ["write", "read"]
    os.close(master)
    os.close(slave)


def test_the_end_of_a_pipe_calls_its_reader_and_its_writer(loop: MainLoop) -> None:
    first, second = os.pipe(), os.pipe()
    calls: list[str] = []
    loop.add_reader(first[0], lambda: calls.append("read"))
    os.close(first[1])
    os.close(second[0])
    loop.add_writer(second[1], lambda: calls.append("write"))
    loop.run_ready()
    assert sorted(calls) == ["read", "write"]
    os.close(first[0])
    os.close(second[1])


def test_files_that_epoll_refuses_are_always_ready(loop: MainLoop, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ab")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    null = os.open(os.devnull, os.O_RDWR)
    seen: list[bytes] = []
    calls: list[int] = []
    loop.add_reader(fd, lambda: seen.append(os.read(fd, 1)))
    loop.add_writer(null, lambda: calls.append(1))
    assert loop.next_deadline() == 0
    loop.run_until(lambda: len(seen) == 3)
    assert seen == [b"a", b"b", b""]
    assert len(calls) == 3
    loop.remove_reader(fd)
    loop.remove_writer(null)
    assert loop.next_deadline() is None
    loop.run_ready()
    assert len(seen) == 3
    os.close(fd)
    os.close(null)


def test_timers_fire_in_the_order_of_their_moments(loop: MainLoop) -> None:
    now = time.monotonic_ns()
    fired: list[int] = []
    for delay in (9, 3, 6, 3):
        loop.call_at(now + delay * MILLISECOND, lambda delay=delay: fired.append(delay))
    assert loop.next_deadline() == now + 3 * MILLISECOND
    loop.run_until(lambda: len(fired) == 4)
    assert fired == [3, 3, 6, 9]
    assert time.monotonic_ns() - now >= 9 * MILLISECOND
    assert loop.next_deadline() is None


def test_a_timer_is_never_early(loop: MainLoop) -> None:
    for microseconds in (100, 900, 1500, 2300):
        deadline = time.monotonic_ns() + microseconds * 1000
        late: list[int] = []
        loop.call_at(deadline, lambda late=late: late.append(time.monotonic_ns()))
        loop.run_until(lambda late=late: bool(late))
        assert late[0] >= deadline


def test_a_cancelled_timer_neither_fires_nor_wakes(loop: MainLoop) -> None:
    fired: list[int] = []
    timer = loop.call_at(in_the_past(), lambda: fired.append(1))
    later = loop.call_at(time.monotonic_ns() + 10**12, lambda: fired.append(2))
    assert timer.is_pending
    timer.cancel()
    later.cancel()
    assert loop.next_deadline() is None
    loop.run_ready()
    assert fired == []
    assert not timer.is_pending


def test_a_timer_set_by_a_timer_waits_for_the_next_turn(loop: MainLoop) -> None:
    fired: list[int] = []

    def again() -> None:
        fired.append(1)
        loop.call_at(in_the_past(), again)

    loop.call_at(in_the_past(), again)
    loop.run_ready()
    assert fired == [1]
    loop.run_ready()
    assert fired == [1, 1]


def test_what_is_asked_for_soon_is_called_in_the_next_turn_once(loop: MainLoop) -> None:
    calls: list[str] = []

    def first() -> None:
        calls.append("first")
        loop.call_soon(lambda: calls.append("second"))

    loop.call_soon(first)
    assert loop.next_deadline() == 0
    loop.run_ready()
    assert calls == ["first"]
    loop.run_ready()
    loop.run_ready()
    assert calls == ["first", "second"]


def test_tasks_take_a_step_a_turn_side_by_side(loop: MainLoop) -> None:
    steps: list[str] = []

    def work(name: str, count: int) -> Iterator[None]:
        for number in range(count):
            steps.append(f"{name}{number}")
            yield
        steps.append(f"{name} ends")

    finished: list[str] = []
    a = loop.spawn(work("a", 1), lambda: finished.append("a"))
    loop.spawn(work("b", 2), lambda: finished.append("b"))
    loop.run_ready()
    assert steps == ["a0", "b0"]
    assert not a.is_done
    loop.run_until(lambda: len(finished) == 2)
    assert steps == ["a0", "b0", "a ends", "b1", "b ends"]
    assert finished == ["a", "b"]
    assert a.is_done
    assert loop.next_deadline() is None


def test_a_cancelled_task_is_closed_and_not_finished(loop: MainLoop) -> None:
    seen: list[str] = []

    def work() -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            seen.append("closed")

    task = loop.spawn(work(), lambda: seen.append("finished"))
    loop.run_ready()
    task.cancel()
    task.cancel()
    loop.run_ready()
    assert seen == ["closed"]
    assert loop.next_deadline() is None


def test_a_task_that_fails_is_not_tried_again(loop: MainLoop) -> None:
    def work() -> Iterator[None]:
        yield
        raise ValueError("no")

    loop.spawn(work())
    loop.run_ready()
    with pytest.raises(ValueError, match="no"):
        loop.run_ready()
    loop.run_ready()
    assert loop.next_deadline() is None


def test_a_callback_that_removes_another_in_the_same_turn_is_obeyed(loop: MainLoop) -> None:
    ends = [os.pipe(), os.pipe()]
    calls: list[int] = []

    def take(number: int) -> Callable[[], None]:
        def read() -> None:
            calls.append(number)
            loop.remove_reader(ends[1 - number][0])

        return read

    for number, (read_end, write_end) in enumerate(ends):
        os.write(write_end, b"x")
        loop.add_reader(read_end, take(number))
    loop.run_ready()
    assert len(calls) == 1
    for pair in ends:
        loop.remove_reader(pair[0])
        os.close(pair[0])
        os.close(pair[1])


def test_a_number_that_is_another_file_by_now_gets_no_old_event(loop: MainLoop) -> None:
    first, second = os.pipe(), os.pipe()
    calls: list[str] = []

    def replace() -> None:
        """Close the second pipe and open one that gets its numbers."""
        loop.remove_reader(first[0])
        loop.remove_reader(second[0])
        os.close(second[0])
        os.close(second[1])
        assert os.pipe() == second
        loop.add_reader(second[0], lambda: calls.append("new"))

    os.write(first[1], b"x")
    loop.add_reader(first[0], replace)
    loop.add_reader(second[0], lambda: calls.append("old"))
    os.write(second[1], b"x")
    loop.run_ready()
    # Whichever came first: the new one was never readable.
    assert "new" not in calls
    loop.remove_reader(second[0])
    for fd in first + second:
        os.close(fd)


def test_the_loop_sleeps_while_nothing_is_due(loop: MainLoop) -> None:
    done: list[int] = []
    turns: list[int] = []
    loop.call_at(time.monotonic_ns() + 100 * MILLISECOND, lambda: done.append(1))

    def is_done() -> bool:
        turns.append(1)
        return bool(done)

    before = time.process_time_ns()
    loop.run_until(is_done)
    assert time.process_time_ns() - before < 50 * MILLISECOND
    assert len(turns) < 10


def test_the_loop_embeds_in_another_by_its_descriptor(
    loop: MainLoop, pipe: tuple[int, int]
) -> None:
    seen: list[bytes] = []
    loop.add_reader(pipe[0], lambda: seen.append(os.read(pipe[0], 10)))
    assert select.select([loop.fileno()], [], [], 0)[0] == []
    os.write(pipe[1], b"x")
    assert select.select([loop.fileno()], [], [], 1)[0] == [loop.fileno()]
    loop.run_ready()
    assert seen == [b"x"]
    assert select.select([loop.fileno()], [], [], 0)[0] == []
