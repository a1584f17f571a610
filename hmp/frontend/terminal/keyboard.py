"""What is typed; much at once is taken for a paste, also where the terminal doesn't say so."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

_PASTE = 128  # letters in one go that nobody types
_ENTER = (Keys.ControlM, Keys.ControlJ)


class Keyboard(Vt100Input):
    """The terminal's input.

    A key costs prompt_toolkit half a millisecond, a paste hardly more: a megabyte, pasted into a
    terminal without bracketed paste, would keep the program busy for minutes.
    """

    def read_keys(self) -> list[KeyPress]:
        return gather(super().read_keys())


def gather(keys: Iterable[KeyPress]) -> list[KeyPress]:
    """The keys, each long run of letters and Enters among them as the paste that it is."""
    gathered: list[KeyPress] = []
    run: list[KeyPress] = []
    for key in keys:
        if len(key.key) == 1 or key.key in _ENTER:
            run.append(key)
        else:
            gathered += _as_paste(run)
            gathered.append(key)
            run = []
    return gathered + _as_paste(run)


def _as_paste(run: list[KeyPress]) -> list[KeyPress]:
    if len(run) < _PASTE:
        return run
    return [KeyPress(Keys.BracketedPaste, "".join(key.data for key in run))]
