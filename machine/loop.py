"""The main loop: descriptors, timers, tasks, and nothing else that could make the machine wait.

One thread, one epoll descriptor. A turn waits until something is due, then calls everything that
is, once: timers first, then descriptors, callbacks that were waiting, and one step of each task.
Whoever has its own loop embeds this one: wait for `fileno` until `next_deadline`, then `run_ready`.
"""

from __future__ import annotations

import heapq
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READABLE = select.EPOLLIN
_WRITABLE = select.EPOLLOUT
# The kernel reports these unasked; whoever watches the descriptor learns of them by trying.
_BROKEN = select.EPOLLERR | select.EPOLLHUP


class Timer:
    """One call at a moment of the host's monotonic clock."""

    __slots__ = ("_callback", "deadline_ns")

    def __init__(self, deadline_ns: int, callback: Callable[[], object]) -> None:
        self.deadline_ns = deadline_ns
        self._callback: Callable[[], object] | None = callback

    @property
    def is_pending(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        """Forget the call; harmless when it was made already."""
        self._callback = None

    def _fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Wakeup:
    """What a step of work yields when it waits for something: it goes on after `wake`."""

    __slots__ = ("_callback", "is_awake")

    def __init__(self) -> None:
        self.is_awake = False
        self._callback: Callable[[], object] | None = None

    def wake(self) -> None:
        """What was waited for is there; harmless when it was before."""
        if not self.is_awake:
            self.is_awake = True
            if self._callback is not None:
                self._callback()

    def then(self, callback: Callable[[], object]) -> None:
        """Call at `wake`; at once if that was already."""
        if self.is_awake:
            callback()
        else:
            self._callback = callback


class Task:
    """Work that goes on a step a turn, and rests where a step yields a `Wakeup`."""

    __slots__ = ("_finished", "_steps", "_wakeup", "is_done")

    def __init__(self, steps: Iterator[object], finished: Callable[[], object] | None) -> None:
        self._steps = steps
        self._finished = finished
        self._wakeup: Wakeup | None = None
        self.is_done = False

    @property
    def is_ready(self) -> bool:
        """Whether a step can be taken now."""
        return not self.is_done and (self._wakeup is None or self._wakeup.is_awake)

    def wake(self) -> None:
        """Let it go on though what it waits for hasn't come."""
        if self._wakeup is not None:
            self._wakeup.wake()

    def cancel(self) -> None:
        """Take no further step; ``finished`` is not called. Harmless when it is done."""
        if not self.is_done:
            self.is_done = True
            close = getattr(self._steps, "close", None)
            if close is not None:
                close()

    def _step(self) -> None:
        try:
            step = next(self._steps)
            self._wakeup = step if isinstance(step, Wakeup) else None
        except StopIteration:
            self.is_done = True
            if self._finished is not None:
                self._finished()
        except BaseException:
            self.is_done = True
            raise


class MainLoop:
    """Descriptors, timers, callbacks and tasks of one machine.

    A callback that raises ends the turn: errors that can be answered are answered inside.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        self._registered: dict[int, int] = {}  # descriptor -> events epoll watches for
        # Regular files and /dev/null: epoll refuses them, and they never make anyone wait.
        self._always_ready: set[int] = set()
        self._timers: list[tuple[int, int, Timer]] = []
        self._timer_count = 0  # breaks ties: timers of one moment fire in the order they were set
        self._soon: list[Callable[[], object]] = []
        self._tasks: list[Task] = []

    # -- what to wait for

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call whenever ``fd`` has something to read, its end and its errors included."""
        self._readers[fd] = callback
        self._watch(fd)

    def remove_reader(self, fd: int) -> None:
        """Harmless when there is none; to be called before ``fd`` is closed."""
        if self._readers.pop(fd, None):
            self._watch(fd)

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        """Call whenever ``fd`` has room, its errors included."""
        self._writers[fd] = callback
        self._watch(fd)

    def remove_writer(self, fd: int) -> None:
        """Harmless when there is none; to be called before ``fd`` is closed."""
        if self._writers.pop(fd, None):
            self._watch(fd)

    def call_at(self, deadline_ns: int, callback: Callable[[], object]) -> Timer:
        """Call at or after a moment of the host's monotonic clock (``time.monotonic_ns``)."""
        timer = Timer(deadline_ns, callback)
        self._timer_count += 1
        heapq.heappush(self._timers, (deadline_ns, self._timer_count, timer))
        return timer

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call in the next turn; what is asked for during a turn waits for the one after it."""
        self._soon.append(callback)

    def spawn(self, steps: Iterator[object], finished: Callable[[], object] | None = None) -> Task:
        """Run one step a turn, from the next turn on, to the end; then call ``finished``.

        A step that yields a `Wakeup` is the last one until that is awake.
        """
        task = Task(steps, finished)
        self._tasks.append(task)
        return task

    # -- what a step of a task may wait for, with ``yield from``

    def readable(self, fd: int) -> Iterator[Wakeup]:
        """Until ``fd`` has something to read, or its end."""
        wakeup = Wakeup()
        self.add_reader(fd, wakeup.wake)
        try:
            yield wakeup
        finally:
            self.remove_reader(fd)

    def writable(self, fd: int) -> Iterator[Wakeup]:
        """Until ``fd`` has room, or nobody reads any more."""
        wakeup = Wakeup()
        self.add_writer(fd, wakeup.wake)
        try:
            yield wakeup
        finally:
            self.remove_writer(fd)

    def moment(self, deadline_ns: int) -> Iterator[Wakeup]:
        """Until a moment of the host's monotonic clock."""
        wakeup = Wakeup()
        timer = self.call_at(deadline_ns, wakeup.wake)
        try:
            yield wakeup
        finally:
            timer.cancel()

    # -- running

    def run_until(self, predicate: Callable[[], bool]) -> None:
        """Turn until the predicate holds; it is asked before each turn."""
        while not predicate():
            self._turn(self._patience_ns())

    def run_ready(self) -> None:
        """One turn that does not wait."""
        self._turn(0)

    def next_deadline(self) -> int | None:
        """When `run_ready` is due though no descriptor is ready.

        Returns:
            Nanoseconds of the host's monotonic clock; a moment in the past when there is work
            already; None when only descriptors are waited for.
        """
        if self._has_work():
            return 0
        self._drop_cancelled_timers()
        return self._timers[0][0] if self._timers else None

    def fileno(self) -> int:
        """The epoll descriptor: readable when a descriptor is ready."""
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()

    # -- inside

    def _watch(self, fd: int) -> None:
        """Tell epoll what is asked of ``fd`` now."""
        events = (_READABLE if fd in self._readers else 0) | (
            _WRITABLE if fd in self._writers else 0
        )
        before = self._registered.get(fd, 0)
        if not events:
            self._always_ready.discard(fd)
            if before:
                del self._registered[fd]
                self._epoll.unregister(fd)
        elif fd in self._always_ready:
            pass
        elif before:
            self._registered[fd] = events
            self._epoll.modify(fd, events)
        else:
            try:
                self._epoll.register(fd, events)
            except PermissionError:
                self._always_ready.add(fd)
            else:
                self._registered[fd] = events

    def _has_work(self) -> bool:
        return bool(self._soon or self._always_ready) or any(task.is_ready for task in self._tasks)

    def _drop_cancelled_timers(self) -> None:
        while self._timers and not self._timers[0][2].is_pending:
            heapq.heappop(self._timers)

    def _patience_ns(self) -> int | None:
        deadline = self.next_deadline()
        return None if deadline is None else max(deadline - time.monotonic_ns(), 0)

    def _turn(self, patience_ns: int | None) -> None:
        # epoll counts in milliseconds; Python rounds up, so no timer is early.
        events = self._epoll.poll(None if patience_ns is None else patience_ns / 1e9)
        if self._timers:
            self._fire_timers()
        events += [(fd, _READABLE | _WRITABLE) for fd in self._always_ready]
        calls = [(fd, event, self._readers.get(fd), self._writers.get(fd)) for fd, event in events]
        for fd, event, reader, writer in calls:
            # A callback before may have removed this one, and its descriptor's number may be
            # another file's by now; so only whoever asked for the event is told of it.
            if reader and event & (_READABLE | _BROKEN) and self._readers.get(fd) is reader:
                reader()
            if writer and event & (_WRITABLE | _BROKEN) and self._writers.get(fd) is writer:
                writer()
        if self._soon:
            soon, self._soon = self._soon, []
            for callback in soon:
                callback()
        if self._tasks:
            self._step_tasks()

    def _fire_timers(self) -> None:
        now = time.monotonic_ns()
        due = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            timer._fire()

    def _step_tasks(self) -> None:
        for task in tuple(self._tasks):
            if task.is_ready:
                task._step()
        self._tasks = [task for task in self._tasks if not task.is_done]
