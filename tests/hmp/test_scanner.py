import pytest

from hmp.errors import WordError
from hmp.scanner import WORD_LIMIT, Scanner, split_words


def test_blanks_part_words():
    assert split_words("  a\tb  c\v") == ["a", "b", "c"]


def test_a_line_of_blanks_has_no_words():
    assert split_words("   ") == []


def test_double_quotes_keep_words_together():
    assert split_words('"a b" c') == ["a b", "c"]


def test_empty_quotes_are_a_word():
    assert split_words('""') == [""]


def test_a_quote_counts_only_at_the_start_of_a_word():
    assert split_words('a"b c"') == ['a"b', 'c"']


def test_text_behind_a_closing_quote_begins_the_next_word():
    assert split_words('"x"y') == ["x", "y"]


def test_single_quotes_are_letters():
    assert split_words("'i j'") == ["'i", "j'"]


def test_a_bare_backslash_is_a_letter():
    assert split_words("a\\n") == ["a\\n"]


def test_escapes_within_quotes():
    assert split_words(r'"\n\r\\\'\""') == ["\n\r\\'\""]


@pytest.mark.parametrize("line", ['"open', '"', '"a\\"'])
def test_an_open_quote_is_an_error(line):
    with pytest.raises(WordError, match=r"^unterminated string$"):
        split_words(line)


def test_an_unknown_escape_is_an_error():
    with pytest.raises(WordError) as caught:
        split_words(r'"bad\q"')
    assert str(caught.value) == r"unsupported escape code: '\q'"


def test_a_backslash_at_the_end_of_a_line_escapes_nothing():
    with pytest.raises(WordError) as caught:
        split_words('"a\\')
    assert str(caught.value) == "unsupported escape code: '\\\0'"


def test_too_many_words_give_none():
    assert split_words("a " * 16) == ["a"] * 16
    assert split_words("a " * 17) is None


@pytest.mark.parametrize("line", ["a" * 1100, '"' + "a" * 1100 + '"'])
def test_a_long_word_is_cut_and_read_to_its_end(line):
    assert split_words(line + " b") == ["a" * WORD_LIMIT, "b"]


def test_words_are_cut_by_bytes():
    word = "x" * (WORD_LIMIT - 1) + "é"
    assert split_words(word) == ["x" * (WORD_LIMIT - 1) + "\udcc3"]


@pytest.mark.parametrize("text", ["é", "ěšč", "\udcff\udcc3", "日本"])
def test_any_byte_survives(text):
    assert Scanner(text).word() == text


def test_blanks_of_unicode_are_no_blanks():
    assert split_words("a\u00a0b\u2003c\u0085d") == ["a\u00a0b\u2003c\u0085d"]


def test_a_command_name_ends_at_a_blank_or_a_slash():
    scanner = Scanner("  xp/2x 0")
    assert scanner.command_name() == "xp"
    assert scanner.peek() == "/"


def test_a_nul_ends_the_line():
    assert split_words("a\0b") == ["a"]
