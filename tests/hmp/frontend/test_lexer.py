"""The colours of lines: nothing of the text is lost, and each part is called what it is."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.token import Token, _TokenType

from hmp.frontend.lexer import HmpLexer
from tests.hmp.near_misses import near_misses

TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='(qemu) info"\\savevm,=/#%-\n\r\x0b\u2028 ', max_size=60),
)


def pieces(text: str) -> list[tuple[_TokenType, str]]:
    return [(token, piece) for _, token, piece in HmpLexer().get_tokens_unprocessed(text)]


def assert_joined(text: str) -> None:
    found = list(HmpLexer().get_tokens_unprocessed(text))
    assert "".join(piece for _, _, piece in found) == text
    for position, _, piece in found:
        assert text.startswith(piece, position)


@given(TEXTS)
@settings(max_examples=400)
def test_the_pieces_are_the_text(text: str) -> None:
    assert_joined(text)


def test_the_pieces_of_commands_are_the_lines() -> None:
    for line in near_misses(seed=9, for_each=2):
        assert_joined(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stop", [(Token.Name.Function, "stop")]),
        ("info block", [(Token.Name.Function, "info"), (Token.Name.Class, "block")]),
        ("bogus", [(Token.Error, "bogus")]),
        ("info bogus", [(Token.Name.Function, "info"), (Token.Error, "bogus")]),
        ("help stop", [(Token.Name.Function, "help"), (Token.Name.Function, "stop")]),
        ("x /4xw 0x10", [
            (Token.Name.Function, "x"), (Token.Keyword.Type, "/4xw"),
            (Token.Literal.Number, "0x10"),
        ]),
        ("x/4xw 0", [
            (Token.Name.Function, "x"), (Token.Keyword.Type, "/4xw"), (Token.Literal.Number, "0"),
        ]),
        ("eject -f d0", [
            (Token.Name.Function, "eject"), (Token.Name.Attribute, "-f"),
            (Token.Name.Variable, "d0"),
        ]),
        ('delvm "a b"', [
            (Token.Name.Function, "delvm"), (Token.Literal.String.Double, '"a b"'),
        ]),
        ("device_add virtio-blk-pci,drive=d0", [
            (Token.Name.Function, "device_add"), (Token.Name.Constant, "virtio-blk-pci"),
            (Token.Operator, ","), (Token.Name.Attribute, "drive"), (Token.Operator, "="),
            (Token.Literal.String.Other, "d0"),
        ]),
        ("# a note", [(Token.Comment, "# a note")]),
        ("migrate_set_capability events on", [
            (Token.Name.Function, "migrate_set_capability"), (Token.Name.Variable, "events"),
            (Token.Keyword.Constant, "on"),
        ]),
    ],
)  # fmt: skip
def test_each_part_is_called_what_it_is(line: str, expected: list[tuple[_TokenType, str]]) -> None:
    assert [(t, piece) for t, piece in pieces(line) if not piece.isspace()] == expected


def test_a_transcript_has_commands_behind_its_prompts_alone() -> None:
    text = "(qemu) stop\nstop it\nError: no\n(qemu) "
    assert pieces(text) == [
        (Token.Generic.Prompt, "(qemu) "),
        (Token.Name.Function, "stop"),
        (Token.Text.Whitespace, "\n"),
        (Token.Generic.Output, "stop it"),
        (Token.Text.Whitespace, "\n"),
        (Token.Generic.Error, "Error: no"),
        (Token.Text.Whitespace, "\n"),
        (Token.Generic.Prompt, "(qemu) "),
    ]


def test_pygments_finds_it() -> None:
    """In a program of its own, as anyone would use it who has both installed."""
    code = (
        "from pygments.lexers import get_lexer_by_name, get_lexer_for_filename, guess_lexer\n"
        "print(get_lexer_by_name('hmp').name)\n"
        "print(get_lexer_for_filename('a.hmp').name)\n"
        "print(guess_lexer('(qemu) info block\\n').name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["QEMU human monitor"] * 3
