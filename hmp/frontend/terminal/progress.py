"""A line that shows how far long work has come, and goes when the work is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from prompt_toolkit.utils import get_cwidth

from hmp.block_info import size_text
from hmp.frontend.terminal.answers import Fragments

_PATIENCE = 0.15  # seconds before anything shows
_PAUSE = 0.05  # seconds from one drawing to the next


class Progress:
    """The line for one command.

    Args:
        name: the command's.
        columns: tells how wide the screen is now.
        draw: writes styled text where the cursor is.
        erase: takes away the line that the cursor is in.
        now: seconds of any clock.
    """

    def __init__(
        self,
        name: str,
        *,
        columns: Callable[[], int],
        draw: Callable[[Fragments], object],
        erase: Callable[[], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._columns = columns
        self._draw = draw
        self._erase = erase
        self._now = now
        self._started = now()
        self._next = self._started + _PATIENCE
        self._is_drawn = False

    def show(self, step: object) -> None:
        """Draw how far it is, if it is time to.

        Args:
            step: what the work said of itself: done and total, bytes; or anything else.
        """
        now = self._now()
        if now < self._next:
            return
        self._next = now + _PAUSE
        self.hide()
        self._is_drawn = True
        self._draw(_line(self._name, step, now - self._started, self._columns()))

    def hide(self) -> None:
        """Take the line away."""
        if self._is_drawn:
            self._erase()
            self._is_drawn = False


def _line(name: str, step: object, seconds: float, columns: int) -> Fragments:
    """The line, shorter than the screen is wide."""
    if isinstance(step, tuple) and len(step) == 2 and step[1]:
        done, total = step
        share = min(done / total, 1.0)
        text = f" {share:4.0%}  {size_text(done)} of {size_text(total)}"
        if share and seconds:
            text += f"  {size_text(int(done / seconds))}/s  {_time_left(seconds, share)} left"
    else:
        share, text = 0.0, f" {seconds:.0f} s"
    text += "  Ctrl-C cancels"
    room = columns - 1 - get_cwidth(name) - 1
    if room < len(text):  # a narrow screen has the figures alone, as far as they fit
        return [("", text.strip()[: max(0, columns - 1)])]
    width = min(room - len(text), 40)
    full = round(width * share)
    return [
        ("class:prompt", name + " "),
        ("class:progress.done", "━" * full),
        ("class:progress.left", "─" * (width - full)),
        ("", text),
    ]


def _time_left(seconds: float, share: float) -> str:
    left = seconds / share - seconds
    return f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
