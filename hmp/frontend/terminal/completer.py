"""The monitor's suggestions as prompt_toolkit's menu, and what it colours in the line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer, PygmentsLexer

from hmp.monitor import Monitor
from hmp.reading import read_line
from hmp.settings import Settings
from hmp.suggestions import suggest

_FAULT = "class:fault"


class MonitorCompleter(Completer):
    """The menu.

    Args:
        monitor: whose commands, on whose machine.
        settings: have words of the user's own, and the line that each stands for.
    """

    def __init__(self, monitor: Monitor, settings: Settings) -> None:
        self._monitor = monitor
        self._settings = settings

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """The suggestions for what is left of the cursor."""
        before = document.text_before_cursor
        meant = self._settings.without_alias(before, self._monitor.commands)
        if len(before.split()) == 1 and not before[-1].isspace():
            meant = before  # the word may still become a longer one
        for suggestion in suggest(self._monitor, meant):
            yield Completion(
                suggestion.text,
                start_position=-suggestion.typed,
                display=suggestion.shown,
                display_meta=suggestion.note,
            )
        word = before.lstrip()
        for alias, line in self._settings.aliases.items():
            if alias.startswith(word) and self._monitor.commands.find(alias) is None:
                yield Completion(alias, start_position=-len(word), display_meta=f"alias: {line}")


class LineLexer(Lexer):
    """Colours for the line, and a mark on what the monitor would refuse.

    Args:
        monitor: that would.
        settings: say whether there are marks at all, and what the user's own words mean.
    """

    def __init__(self, monitor: Monitor, settings: Settings) -> None:
        self._monitor = monitor
        self._settings = settings
        self._colours: Lexer | None = None

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The styled text of each line: there is just one."""
        if not document.text:
            return lambda _line: []
        if self._colours is None:  # made late: pygments costs a fifth of the whole start
            from hmp.frontend.lexer import HmpLexer

            self._colours = PygmentsLexer(HmpLexer)
        line_of = self._colours.lex_document(document)
        start = self._fault_start(document.text)
        if start is None:
            return line_of
        return lambda line: _marked(line_of(line), start)

    def _fault_start(self, line: str) -> int | None:
        if not self._settings["marks"]:
            return None
        if any(alias.startswith(line.strip()) for alias in self._settings.aliases):
            return None  # it may become one
        meant = self._settings.without_alias(line, self._monitor.commands)
        reading = read_line(self._monitor, meant)
        if not reading.fault or reading.is_unfinished:
            return None
        return max(0, reading.fault_start - len(meant) + len(line))


def _marked(fragments: StyleAndTextTuples, start: int) -> StyleAndTextTuples:
    """The fragments, with all from a character on in the style of a fault."""
    marked: StyleAndTextTuples = []
    position = 0
    for style, text, *_ in fragments:
        cut = min(max(start - position, 0), len(text))
        if text[:cut]:
            marked.append((style, text[:cut]))
        if text[cut:]:
            marked.append((_FAULT, text[cut:]))
        position += len(text)
    return marked
