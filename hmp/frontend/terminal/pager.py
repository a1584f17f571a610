"""An answer that is longer than the screen, page by page; `q` goes back to the line."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples, split_lines
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.scroll import (
    scroll_half_page_down,
    scroll_half_page_up,
    scroll_one_line_down,
    scroll_one_line_up,
    scroll_page_down,
    scroll_page_up,
)
from prompt_toolkit.layout import (
    BufferControl,
    FormattedTextControl,
    HSplit,
    Layout,
    SearchBufferControl,
    Window,
)
from prompt_toolkit.layout.processors import (
    HighlightIncrementalSearchProcessor,
    HighlightSearchProcessor,
    TabsProcessor,
)
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.search import SearchDirection, start_search

from hmp.frontend.terminal.answers import Fragments
from hmp.frontend.terminal.screen import Screen

_HELP = " q back  space/b page  / search  n next  g/G ends "


class _Painted(Lexer):
    """Gives back the colours that an answer has already."""

    def __init__(self, fragments: Fragments) -> None:
        self._lines = list(split_lines(list(fragments)))

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The styled text of each line."""
        lines = self._lines
        return lambda line: lines[line] if line < len(lines) else []


def make_pager(fragments: Fragments, screen: Screen) -> Application[None]:
    """An application that shows the text until it is left."""
    text = "".join(piece for _, piece in fragments).removesuffix("\n")
    buffer = Buffer(document=Document(text, 0), read_only=True)
    search = SearchBufferControl(buffer=Buffer(multiline=False))
    window = Window(
        BufferControl(
            buffer,
            lexer=_Painted(fragments),
            search_buffer_control=search,
            input_processors=[
                HighlightIncrementalSearchProcessor(),
                HighlightSearchProcessor(),
                TabsProcessor(tabstop=8, char1=" ", char2=" "),
            ],
            include_default_input_processors=False,
        ),
        wrap_lines=True,
    )

    def status() -> StyleAndTextTuples:
        if get_app().layout.is_searching:
            return [("class:pager.bar", " /")]
        info = window.render_info
        last = info.last_visible_line() + 1 if info else 0
        return [("class:pager.bar", f" {last} of {buffer.document.line_count} lines {_HELP}")]

    bar = Window(FormattedTextControl(status), height=1, style="class:pager.bar")
    search_line = Window(search, height=1)
    return Application(
        layout=Layout(HSplit([window, search_line, bar]), focused_element=window),
        key_bindings=_keys(buffer, search),
        style=screen.theme.style,
        color_depth=screen.theme.depth,
        include_default_pygments_style=False,
        full_screen=True,
        input=screen.input,
        output=screen.output,
    )


def _keys(buffer: Buffer, search: SearchBufferControl) -> KeyBindings:
    keys = KeyBindings()
    reading = ~is_searching

    def bind(action: Callable[[KeyPressEvent], object], *names: str) -> None:
        for name in names:
            keys.add(name, filter=reading)(action)

    bind(lambda event: event.app.exit(), "q", "Q", "escape", "c-c", "c-d")
    bind(scroll_page_down, " ", "pagedown", "c-f", "f")
    bind(scroll_page_up, "b", "pageup", "c-b")
    bind(scroll_half_page_down, "d")
    bind(scroll_half_page_up, "u")
    bind(scroll_one_line_down, "down", "j", "enter", "e")
    bind(scroll_one_line_up, "up", "k", "y")
    bind(lambda _: _go_to(buffer, 0), "g", "home", "<")
    bind(lambda _: _go_to(buffer, len(buffer.text)), "G", "end", ">")
    bind(lambda _: start_search(direction=SearchDirection.FORWARD), "/")
    bind(lambda _: _search_on(buffer, search), "n")
    return keys


def _go_to(buffer: Buffer, position: int) -> None:
    buffer.cursor_position = position


def _search_on(buffer: Buffer, search: SearchBufferControl) -> None:
    buffer.apply_search(search.searcher_search_state, include_current_position=False)
