"""The machine's main loop inside asyncio's, which prompt_toolkit needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from machine.loop import MainLoop


class Embedding:
    """Turns a main loop whenever it has something to do.

    Args:
        main_loop: the machine's.
        after_turn: called after each turn, for whoever looks at what has changed.
    """

    def __init__(self, main_loop: MainLoop, after_turn: Callable[[], object]) -> None:
        self._main_loop = main_loop
        self._after_turn = after_turn
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Handle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._holds = 0
        self._watch()

    def close(self) -> None:
        """Leave the main loop alone."""
        self._unwatch()
        self._holds += 1

    def kick(self) -> None:
        """Look anew what the main loop waits for: somebody gave it more from outside."""
        if not self._holds:
            self._schedule()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile everyone else waits: the guest, and the other monitors' lines."""
        self._holds += 1
        self._unwatch()
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._watch()

    async def turn(self, seconds: float) -> None:
        """Wait until the main loop has turned once, or so many seconds."""
        turned: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turned)
        await asyncio.wait([turned], timeout=seconds)
        if turned in self._waiting:
            self._waiting.remove(turned)

    def _watch(self) -> None:
        self._loop.add_reader(self._main_loop.fileno(), self._turn)
        self._schedule()

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._main_loop.fileno())
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        deadline = self._main_loop.next_deadline()
        if deadline is None:
            return
        delay = (deadline - time.monotonic_ns()) / 1e9
        if delay > 0:
            self._next = self._loop.call_later(delay, self._turn)
        else:
            self._next = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        if self._holds:
            return
        self._main_loop.run_ready()
        self._after_turn()
        waiting, self._waiting = self._waiting, []
        for turned in waiting:
            if not turned.done():
                turned.set_result(None)
        if not self._holds:
            self._schedule()
