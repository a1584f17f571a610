"""Colours for monitor lines, from the monitor's own command table: a pygments lexer.

It takes a script (a command a line) and a transcript (where lines behind the prompt are commands,
and the others are answers).  Installed as the pygments plugin `hmp`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pygments.lexer import Lexer
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    Whitespace,
    _TokenType,
)

from hmp.arguments import (
    Argument,
    FileName,
    Flag,
    FormatArgument,
    Long,
    Options,
    Switch,
    parse_args_type,
)
from hmp.command import Command
from hmp.commands import COMMANDS
from hmp.scanner import BLANKS

PROMPT = "(qemu) "
Pieces = Iterator[tuple[_TokenType, str]]

_VALUES = parse_args_type("rest:s")
_LETTERS_OF_NUMBERS = frozenset("0123456789abcdefABCDEFxX.kKmMgGtT")


class HmpLexer(Lexer):
    """Lexer for the QEMU human monitor: its scripts and its transcripts."""

    name = "QEMU human monitor"
    aliases = ["hmp", "qemu-monitor"]  # noqa: RUF012  pygments looks for a plain list
    filenames = ["*.hmp"]  # noqa: RUF012
    mimetypes = ["text/x-hmp"]  # noqa: RUF012
    url = "https://www.qemu.org/docs/master/system/monitor.html"

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Pieces that together are the text, each with the index of its first character."""
        position = 0
        is_transcript = PROMPT in text
        for line in text.splitlines(keepends=True):
            for token, piece in _pieces_of_line(line, is_transcript):
                if piece:
                    yield position, token, piece
                    position += len(piece)

    @staticmethod
    def analyse_text(text: str) -> float:
        """How sure we are that this is a transcript of the monitor."""
        return 0.9 if PROMPT in text else 0.0


def _pieces_of_line(line: str, is_transcript: bool) -> Pieces:
    body = line.rstrip("\n")
    if body.startswith(PROMPT):
        yield Generic.Prompt, PROMPT
        yield from _pieces_of_command(body[len(PROMPT) :])
    elif is_transcript:
        yield (Generic.Error if body.startswith("Error: ") else Generic.Output), body
    else:
        yield from _pieces_of_command(body)
    yield Whitespace, line[len(body) :]


def _pieces_of_command(line: str) -> Pieces:
    """One command: its name, the topics behind it, and its arguments."""
    words = _words(line)
    table, command = COMMANDS, None
    for blank, word in words:
        yield Whitespace, blank
        if not command and word.startswith("#"):
            yield Comment, line[line.index(word) :]
            return
        if not command and word.startswith("%"):  # a word of the lab
            yield Name.Decorator, word
            if word == "%explain":
                yield from _pieces_of_command(line[line.index(word) + len(word) :])
            else:
                yield from _pieces_of_arguments(None, words)
            return
        name, slash, suffix = word.partition("/")
        row = table.find(name)
        if row is None:
            yield Error, word
            break
        yield (Name.Class if command else Name.Function), name
        if slash:
            yield Keyword.Type, slash + suffix
        command = row
        if row.sub_table is None:
            break
        table = row.sub_table
    if command is not None and "help" in command.names:
        for blank, word in words:
            yield Whitespace, blank
            yield Name.Function, word
        return
    yield from _pieces_of_arguments(command, words)


def _pieces_of_arguments(command: Command | None, words: Iterator[tuple[str, str]]) -> Pieces:
    parameters = command.parameters if command else _VALUES
    values = [each for each in parameters if not isinstance(each, (Flag, FormatArgument))]
    flags = {f"-{each.option}" for each in parameters if isinstance(each, Flag)}
    index = 0
    for blank, word in words:
        yield Whitespace, blank
        if word.startswith("-") and word in flags:
            yield Name.Attribute, word
        elif word.startswith("/") and index == 0:
            yield Keyword.Type, word
        else:
            yield from _pieces_of_value(
                word, values[min(index, len(values) - 1)] if values else None
            )
            index += 1


def _pieces_of_value(word: str, argument: Argument | None) -> Pieces:
    if word.startswith('"'):
        yield String.Double, word
    elif isinstance(argument, Options) or ("=" in word and "," in word):
        yield from _pieces_of_options(word)
    elif isinstance(argument, Switch):
        yield Keyword.Constant, word
    elif isinstance(argument, FileName) or "/" in word:
        yield String.Other, word
    elif isinstance(argument, Long) or _looks_like_number(word):
        yield Number, word
    else:
        yield Name.Variable, word


def _pieces_of_options(word: str) -> Pieces:
    for number, part in enumerate(word.split(",")):
        if number:
            yield Operator, ","
        key, equals, value = part.partition("=")
        yield (Name.Attribute if equals else Name.Constant), key
        yield Operator, equals
        yield (Number if _looks_like_number(value) else String.Other), value


def _looks_like_number(word: str) -> bool:
    return word[:1].isdigit() and _LETTERS_OF_NUMBERS.issuperset(word)


def _words(line: str) -> Iterator[tuple[str, str]]:
    """The words of a line, quotes and all, each with the blanks before it."""
    position = 0
    while position < len(line):
        start = position
        while position < len(line) and line[position] in BLANKS:
            position += 1
        blank, start = line[start:position], position
        if line[position : position + 1] == '"':
            position += 1
            while position < len(line) and line[position] != '"':
                position += 2 if line[position] == "\\" else 1
            position = min(position + 1, len(line))
        else:
            while position < len(line) and line[position] not in BLANKS:
                position += 1
        if blank or position > start:
            yield blank, line[start:position]
