"""What may stand at the cursor, each with a word about it: the menu of the rich front end.

QEMU's own Tab (`Monitor.completion`) offers fewer things, in QEMU's way of counting words; this
goes by what the command's row says.  What a value may be is in `hmp.suggestion_sources`.
"""

from __future__ import annotations

from hmp.arguments import Argument, FileName, Flag, FormatArgument, Rest
from hmp.scanner import BLANKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hmp.command import Command, CommandTable
    from hmp.monitor import Monitor

    Value = tuple[str, str]  # what may stand there, and a note

_ESCAPES = {"n": "\n", "r": "\r"}


class Suggestion:
    """One entry of the menu.

    Attributes:
        text: what takes the place of what was typed of it, quoted where it must be.
        typed: how many characters left of the cursor it takes the place of.
        note: a word about it, one line; may be empty.
        shown: how the menu calls it.
    """

    __slots__ = ("note", "shown", "text", "typed")

    def __init__(self, text: str, typed: int, note: str = "", shown: str = "") -> None:
        self.text = text
        self.typed = typed
        self.note = note
        self.shown = shown or text


class _Word:
    """A word of the line: as typed, and what it means."""

    __slots__ = ("meaning", "raw")

    def __init__(self, raw: str, meaning: str) -> None:
        self.raw = raw
        self.meaning = meaning


def suggest(monitor: Monitor, before: str) -> list[Suggestion]:
    """What may stand at the end of `before`, the text left of the cursor; changes nothing."""
    words = list(_words(before))
    if not before or (before[-1] in BLANKS and not (words and _is_open(words[-1].raw))):
        words.append(_Word("", ""))
    current = words.pop()
    table: CommandTable | None = monitor.commands
    path: list[Command] = []
    while words and table is not None:
        command = table.find(words[0].raw.partition("/")[0])
        if command is None:
            return []
        path.append(command)
        del words[0]
        table = command.sub_table
    if table is not None:
        return _names(table, current)
    if "help" in path[-1].names:
        return _help_topics(monitor, words, current)
    return _arguments(monitor, path, words, current)


def _names(table: CommandTable, current: _Word) -> list[Suggestion]:
    found = []
    for command in (*table, *table.aside):
        for name in command.names[:1] if not current.raw else command.names:
            if name.startswith(current.raw) and command.run is not None:
                note = _first_sentence(command.help)
                found.append(Suggestion(name, len(current.raw), note))
    return found


def _help_topics(monitor: Monitor, words: list[_Word], current: _Word) -> list[Suggestion]:
    table: CommandTable | None = monitor.commands
    for word in words:
        command = table.find(word.meaning) if table else None
        table = command.sub_table if command else None
    return _names(table, current) if table else []


def _first_sentence(help_text: str) -> str:
    """The help of a command in one line."""
    return " ".join(help_text.split()).partition(". ")[0]


def _arguments(
    monitor: Monitor, path: list[Command], words: list[_Word], current: _Word
) -> list[Suggestion]:
    command = path[-1]
    name = " ".join(each.names[0] for each in path)
    place = _Place(command.parameters)
    for word in words:
        place.pass_over(word)
    options = [] if place.awaited else [each for each in place.options if _fits(each, current)]
    if current.raw.startswith("-") and options:
        return [Suggestion(f"-{each.option}", len(current.raw), each.name) for each in options]
    parameter = place.awaited or place.parameter
    if parameter is None:
        return []
    return _values(monitor, name, command, parameter, place.values, current)


class _Place:
    """How far in a command's parameters its words have come; options have their places too.

    Attributes:
        values: what the words so far mean that weren't options.
        awaited: the option whose value comes next.
    """

    __slots__ = ("_left", "awaited", "values")

    def __init__(self, parameters: Iterable[Argument]) -> None:
        self._left = list(parameters)
        self.values: list[str] = []
        self.awaited: Flag | None = None

    def pass_over(self, word: _Word) -> None:
        """Take a word for what it can be first of what is left."""
        if self.awaited is not None:
            self.awaited = None
            return
        while self._left:
            parameter = self._left[0]
            if not isinstance(parameter, Rest):
                del self._left[0]
            if isinstance(parameter, Flag):
                if word.raw == f"-{parameter.option}":
                    self.awaited = parameter if parameter.takes_value else None
                    return
            elif not isinstance(parameter, FormatArgument):
                self.values.append(word.meaning)
                return
            elif word.raw.startswith("/"):
                return

    @property
    def options(self) -> list[Flag]:
        """Those that may come next."""
        found = []
        for parameter in self._left:
            if isinstance(parameter, Flag):
                found.append(parameter)
            elif not isinstance(parameter, FormatArgument):
                break
        return found

    @property
    def parameter(self) -> Argument | None:
        """The one that comes after them."""
        for parameter in self._left:
            if not isinstance(parameter, (Flag, FormatArgument)):
                return parameter
        return None


def _fits(option: Flag, word: _Word) -> bool:
    return f"-{option.option}".startswith(word.raw)


def _values(
    monitor: Monitor,
    name: str,
    command: Command,
    parameter: Argument,
    values: list[str],
    current: _Word,
) -> list[Suggestion]:
    from hmp.suggestion_sources import find_values

    is_rest = isinstance(parameter, Rest)  # where quotes are letters like others
    word = current.raw if is_rest else current.meaning
    typed, candidates = find_values(monitor, name, command, parameter, values, word)
    found = [each for each in candidates if each[0].startswith(typed) and "\0" not in each[0]]
    if is_rest:
        return [Suggestion(text, len(typed), note) for text, note in found]
    may_go_on = isinstance(parameter, FileName) or typed != word
    return list(_quoted(found, word[: len(word) - len(typed)], current, may_go_on=may_go_on))


def _quoted(
    candidates: Iterable[Value], before: str, current: _Word, *, may_go_on: bool
) -> Iterator[Suggestion]:
    """Suggestions for the end of a word, after what stands `before` it.

    Quotes stay open where the word is to go on: after a folder, or a key.
    """
    for text, note in candidates:
        whole = before + text
        if current.raw[:1] == '"' or _needs_quotes(whole):
            is_open = may_go_on and whole.endswith(("/", "="))
            quoted = _in_quotes(whole)[: -1 if is_open else None]
            yield Suggestion(quoted, len(current.raw), note, shown=text)
        else:
            yield Suggestion(text, len(current.meaning) - len(before), note)


def _needs_quotes(text: str) -> bool:
    return not text or text[0] == '"' or any(letter in BLANKS for letter in text)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _words(line: str) -> Iterator[_Word]:
    """The words of a line; the last one's quotes may be open."""
    position = 0
    while True:
        while position < len(line) and line[position] in BLANKS:
            position += 1
        if position == len(line):
            return
        start = position
        if line[position] == '"':
            letters: list[str] = []
            position += 1
            while position < len(line) and line[position] != '"':
                letter = line[position]
                if letter == "\\":
                    position += 1
                    letter = line[position : position + 1]
                    letter = _ESCAPES.get(letter, letter)
                letters.append(letter)
                position += 1
            position = min(position + 1, len(line))
            yield _Word(line[start:position], "".join(letters))
        else:
            while position < len(line) and line[position] not in BLANKS:
                position += 1
            yield _Word(line[start:position], line[start:position])


def _is_open(raw: str) -> bool:
    """Whether a word begins with a quote that nothing closes."""
    return raw[:1] == '"' and (len(raw) == 1 or raw[-1] != '"')
