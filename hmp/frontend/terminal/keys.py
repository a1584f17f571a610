"""Keys of the line that prompt_toolkit has no meaning, or another one, for."""

from __future__ import annotations

from typing import Protocol

from prompt_toolkit.application import get_app
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import (
    Condition,
    completion_is_selected,
    emacs_mode,
    has_completions,
    has_focus,
)
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from hmp.frontend.editor import LINE_LIMIT


class KeyTarget(Protocol):
    """What the keys act on, besides the line."""

    def ask_to_quit(self) -> None: ...
    def take_lines(self, lines: list[str], draft: str) -> None: ...
    def print_help_on(self, before: str) -> None: ...


def make_keys(target: KeyTarget) -> KeyBindings:
    """The bindings; they go before prompt_toolkit's own."""
    keys = KeyBindings()

    @keys.add("c-c", filter=has_focus(DEFAULT_BUFFER))  # a search has its own way out
    def _clear(event: KeyPressEvent) -> None:
        """Drop the line, as a shell does."""
        event.current_buffer.reset()

    @keys.add("c-d", filter=has_focus(DEFAULT_BUFFER) & Condition(_line_is_empty))
    def _quit(event: KeyPressEvent) -> None:
        target.ask_to_quit()

    @keys.add("f1")
    def _help(event: KeyPressEvent) -> None:
        target.print_help_on(_up_to_word_end(event.current_buffer.document.text, event))

    @keys.add("enter", filter=completion_is_selected)
    def _choose(event: KeyPressEvent) -> None:
        """Take the entry that is chosen in the menu, and go on with the line."""
        event.current_buffer.complete_state = None

    @keys.add("escape", filter=has_completions & emacs_mode, eager=True)
    def _close_menu(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    @keys.add(Keys.BracketedPaste, filter=has_focus(DEFAULT_BUFFER))
    def _paste(event: KeyPressEvent) -> None:
        """Insert a line; of several, run each."""
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        first, *rest = text.split("\n")
        buffer = event.current_buffer
        buffer.insert_text(first[: _room(buffer.text)])
        if rest:
            *lines, draft = rest
            target.take_lines([line[:LINE_LIMIT] for line in lines], draft[:LINE_LIMIT])
            buffer.validate_and_handle()

    @keys.add(Keys.Any, filter=Condition(_line_is_full))
    def _ignore(event: KeyPressEvent) -> None:
        """QEMU's monitor takes no more either."""

    return keys


def _room(line: str) -> int:
    return max(0, LINE_LIMIT - len(line))


def _current_line() -> str:
    return get_app().current_buffer.text


def _line_is_empty() -> bool:
    return not _current_line()


def _line_is_full() -> bool:
    return not _room(_current_line())


def _up_to_word_end(line: str, event: KeyPressEvent) -> str:
    """The line as far as the end of the word that the cursor is in."""
    end = event.current_buffer.cursor_position
    while end < len(line) and not line[end].isspace():
        end += 1
    return line[:end]
