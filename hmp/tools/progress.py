"""How far a long run is, as `-p` shows it."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.tools.program import Program


def single(value: float) -> float:
    """A number as C's `float` keeps it."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


class Progress:
    """A percentage in one line that is written over.

    Args:
        is_shown: nothing is written otherwise.
        least: per cent that it must have gone on to be shown again.
    """

    def __init__(self, program: Program, *, is_shown: bool, least: float) -> None:
        self._program = program
        self._is_shown = is_shown
        self._least = least
        self._current = self._shown = 0.0

    def add(self, percent: float, share: float = 100) -> None:
        """So much more is done.

        Args:
            percent: of `share`; of everything done by now where that is 0.
            share: per cent of everything.
        """
        if not self._is_shown:
            return
        if share:
            current = single(self._current + single(single(single(percent) / 100) * share))
        else:
            current = single(percent)
        self._current = current = min(current, 100.0)
        passed = abs(current - self._shown) > self._least
        if passed or current in (0.0, 100.0):
            self._shown = current
            self._program.write(f"    ({current:3.2f}/100%)\r")
            self._program.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown:
            self._program.write("\n")
