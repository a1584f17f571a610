"""The terminal as the shell has it: who draws on it now, and how others get a line in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.utils import get_cwidth

from hmp.frontend.terminal.answers import Fragments
from hmp.frontend.terminal.themes import Theme

T = TypeVar("T")

# A terminal obeys these, so they are shown as prompt_toolkit shows them in its line: `^G`.
_CONTROLS = str.maketrans(
    {code: shown for code, shown in Char.display_mappings.items() if code not in "\n\t\xa0"}
)


class Screen:
    """Where things are written.

    Args:
        input, output: the terminal.
        theme: its looks.

    Attributes:
        is_busy: something is drawn that a line would tear; lines wait meanwhile.
        is_gone: the terminal takes nothing any more; what is written is lost.
    """

    def __init__(self, input: Input, output: Output, theme: Theme) -> None:
        self.input = input
        self.output = output
        self.theme = theme
        self.is_busy = False
        self.is_gone = False
        self._active: Application[Any] | None = None
        self._waiting: list[Fragments] = []

    # --- applications that take keys

    async def lend(self, app: Application[Any], run: Callable[[], Awaitable[T]]) -> T:
        """Let an application have the terminal until it is through.

        Raises:
            EOFError: no keys will come any more, or `dismiss` was called.
        """
        self.release()
        # prompt_toolkit would print a warning, and wait for an answer after each line.
        app.renderer.cpr_not_supported_callback = self._ask_no_position
        self._active = app
        try:
            return await run()
        finally:
            self._active = None

    def _ask_no_position(self) -> None:
        """The terminal doesn't say where its cursor is; never ask again."""
        if isinstance(self.output, Vt100_Output):
            self.output.enable_cpr = False

    def dismiss(self) -> None:
        """Take the terminal back from the application that has it; it ends with an EOFError."""
        app = self._active
        if app is not None and app.is_running and app.future is not None and not app.future.done():
            app.exit(exception=EOFError)

    def refresh(self) -> None:
        """Let the application draw again what may have changed."""
        if self._active is not None:
            self._active.invalidate()

    # --- writing

    @property
    def columns(self) -> int:
        return self.output.get_size().columns

    @property
    def rows(self) -> int:
        return self.output.get_size().rows

    def has_room_for(self, text: str) -> bool:
        """Whether these lines can be seen all at once, a prompt below them."""
        lines = text.split("\n")[:-1]
        if len(lines) >= self.rows:
            return False
        columns = self.columns
        return sum(1 + max(0, get_cwidth(line) - 1) // columns for line in lines) < self.rows

    def write(self, fragments: Fragments) -> None:
        """Write styled text where the cursor is; nobody else may draw now."""
        shown = FormattedText((style, text.translate(_CONTROLS)) for style, text in fragments)
        self._draw(
            lambda: print_formatted_text(
                self.output, shown, self.theme.style, color_depth=self.theme.depth
            )
        )

    def erase_line(self) -> None:
        """Empty the line that the cursor is in, and go to its start."""
        self.output.write_raw("\r")
        self.output.erase_end_of_line()
        self._draw(self.output.flush)

    def write_between(self, fragments: Fragments) -> None:
        """Write whole lines above what is drawn now, as soon as they tear nothing."""
        app = self._active
        if self.is_busy or (app is not None and app.full_screen):
            self._waiting.append(fragments)
        elif app is not None and app.is_running and app.renderer.waiting_for_cpr:
            # The answer on its way says in which row the cursor was before this line: wait for it.
            if not self._waiting:
                app.create_background_task(self._write_after_answer(app))
            self._waiting.append(fragments)
        elif app is not None and app.is_running:
            # Not `run_in_terminal`, which lets the terminal echo what is typed meanwhile.
            self._draw(app.renderer.erase)
            self.write(fragments)
            self._draw(app.renderer.request_absolute_cursor_position)
            app.invalidate()
        else:
            self.write(fragments)

    async def _write_after_answer(self, app: Application[Any]) -> None:
        """Write what waits for the terminal to tell where its cursor is, or for a second."""
        await app.renderer.wait_for_cpr_responses()
        if app is self._active:
            waiting, self._waiting = self._waiting, []
            self.write_between([part for fragments in waiting for part in fragments])

    def release(self) -> None:
        """Write what has been waiting; nothing is drawn now."""
        waiting, self._waiting = self._waiting, []
        for fragments in waiting:
            self.write(fragments)

    def _draw(self, draw: Callable[[], object]) -> None:
        """Draw: whoever has something to say can't help it that the terminal is gone."""
        try:
            draw()
        except OSError:
            self.is_gone = True

    # --- keys while no application takes them

    def is_interrupted(self) -> bool:
        """Whether Ctrl-C was typed.

        Keys behind it are kept for the application that comes next; those before it are given
        up too, as terminals do it.
        """
        keys = get_typeahead(self.input) + self.input.read_keys()
        interrupts = [index for index, key in enumerate(keys) if key.key == Keys.ControlC]
        store_typeahead(self.input, keys[interrupts[-1] + 1 :] if interrupts else keys)
        return bool(interrupts)
