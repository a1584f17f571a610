import inspect
import keyword

import pytest

from hmp.arguments import ARG_TYPES
from hmp.command import Command
from hmp.commands import COMMANDS, INFO
from hmp.commands.unavailable import unavailable

ALL_COMMANDS = [*COMMANDS, *INFO]


def name_of(command: Command) -> str:
    return command.name


def test_there_is_every_command_and_every_topic():
    assert len(list(COMMANDS)) == 108
    assert len(list(INFO)) == 67


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=name_of)
def test_handler_takes_exactly_what_the_row_declares(command):
    if command.run in (None, unavailable):
        return
    _, *keywords = inspect.signature(command.run).parameters.values()
    assert [k.name for k in keywords] == [p.keyword for p in command.parameters]
    assert all(k.kind is inspect.Parameter.KEYWORD_ONLY for k in keywords)


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=name_of)
def test_args_types_have_known_letters_and_names_of_their_own(command):
    words = [parameter.keyword for parameter in command.parameters]
    assert len(set(words)) == len(words)
    assert all(word.isidentifier() and not keyword.iskeyword(word) for word in words)
    for parameter in command.parameters:
        assert type(parameter) is ARG_TYPES[parameter.letter]


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=name_of)
def test_the_rest_of_the_line_is_only_taken_last(command):
    letters = [parameter.letter for parameter in command.parameters]
    assert "S" not in letters[:-1]


@pytest.mark.parametrize("table", [COMMANDS, INFO], ids=["commands", "info"])
def test_no_name_is_there_twice(table):
    names = [name for row in table for name in row.names]
    assert len(set(names)) == len(names)


def test_every_name_and_alias_finds_its_row():
    assert COMMANDS.find("stop") is COMMANDS.find("s")
    assert COMMANDS.find("stop|s") is None
    assert all(
        table.find(name) is row for table in (COMMANDS, INFO) for row in table for name in row.names
    )


def test_args_types_are_parsed_once():
    row = COMMANDS.find("savevm")
    assert row is not None
    assert row.parameters is row.parameters


def test_every_command_has_a_handler_of_its_own():
    assert not [row.name for row in ALL_COMMANDS if row.run is unavailable]
