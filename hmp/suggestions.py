"""What may stand at the cursor, each with a word about it: the menu of the rich front end.

QEMU's own Tab (`Monitor.completion`) offers fewer things, in QEMU's way of counting words; this
goes by what the command's row says.  What a value may be is in `hmp.suggestion_sources`.
"""

from __future__ import annotations

from hmp.arguments import Argument, Flag, FormatArgument, Rest
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
    parameters = [p for p in command.parameters if not isinstance(p, (Flag, FormatArgument))]
    flags = {f"-{p.option}": p for p in command.parameters if isinstance(p, Flag)}
    values: list[str] = []
    wants_value: Flag | None = None
    for word in words:
        if wants_value is not None:
            wants_value = None
        elif (flag := flags.pop(word.raw, None)) is not None:
            wants_value = flag if flag.takes_value else None
        else:
            values.append(word.meaning)
    name = " ".join(each.names[0] for each in path)
    if wants_value is not None:
        return _values(monitor, name, command, wants_value, values, current)
    if current.raw.startswith("-"):
        return [
            Suggestion(option, len(current.raw), flag.name)
            for option, flag in flags.items()
            if option.startswith(current.raw)
        ]
    if not parameters:
        return []
    index = len(values)
    if index >= len(parameters):
        if not isinstance(parameters[-1], Rest):
            return []
        index = len(parameters) - 1
    return _values(monitor, name, command, parameters[index], values, current)


def _values(
    monitor: Monitor,
    name: str,
    command: Command,
    parameter: Argument,
    values: list[str],
    current: _Word,
) -> list[Suggestion]:
    from hmp.suggestion_sources import find_values

    typed, candidates = find_values(monitor, name, command, parameter, values, current.meaning)
    if typed != current.meaning:  # only a part of the word, which can't need quotes of its own
        return [
            Suggestion(text, len(typed), note)
            for text, note in candidates
            if text.startswith(typed)
        ]
    return list(_quoted(candidates, current))


def _quoted(candidates: Iterable[Value], current: _Word) -> Iterator[Suggestion]:
    for text, note in candidates:
        if text.startswith(current.meaning):
            quoted = _in_quotes(text) if current.raw[:1] == '"' or _needs_quotes(text) else text
            yield Suggestion(quoted, len(current.raw), note, shown=text)


def _needs_quotes(text: str) -> bool:
    return not text or text[0] == '"' or any(letter in BLANKS for letter in text)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
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
