import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp.command_line.option_list import is_identifier, parse_options


def parse(text: str, implied_key: str = "") -> tuple[list[tuple[str, str]], list[str]]:
    warnings: list[str] = []
    return parse_options(text, implied_key, warnings.append), warnings


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", []),
        ("a=1,b=2", [("a", "1"), ("b", "2")]),
        ("a=1,", [("a", "1")]),
        ("a=", [("a", "")]),
        ("=", [("", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("a=1,,2,b=3", [("a", "1,2"), ("b", "3")]),
        ("a=1,a=2", [("a", "1"), ("a", "2")]),
    ],
)
def test_options(text, options):
    assert parse(text) == (options, [])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("disk", [("driver", "disk")]),
        ("disk,id=x", [("driver", "disk"), ("id", "x")]),
        ("dis,,k,id=x", [("driver", "dis,k"), ("id", "x")]),
        (",id=x", [("driver", ""), ("id", "x")]),
        ("id=x", [("id", "x")]),
    ],
)
def test_the_first_key_may_go_without_saying(text, options):
    assert parse(text, "driver") == (options, [])


def test_a_key_without_value_is_on_and_advised_against():
    assert parse("d,foo,nobar", "driver") == (
        [("driver", "d"), ("foo", "on"), ("bar", "off")],
        [
            "short-form boolean option 'foo' deprecated\nPlease use foo=on instead",
            "short-form boolean option 'nobar' deprecated\nPlease use bar=off instead",
        ],
    )


@pytest.mark.parametrize("word", ["help", "?"])
def test_asking_for_help_is_not_advised_against(word):
    assert parse(f"d,{word}", "driver") == ([("driver", "d"), (word, "on")], [])


@given(st.text("abc=,", max_size=12), st.text("abc,", max_size=12))
def test_a_value_with_its_commas_doubled_comes_back(first, second):
    text = f"x={first.replace(',', ',,')},y={second.replace(',', ',,')}"
    assert parse(text) == ([("x", first), ("y", second)], [])


@pytest.mark.parametrize("text", ["a", "A1", "a-b.c_d"])
def test_identifiers(text):
    assert is_identifier(text)


@pytest.mark.parametrize("text", ["", "1a", "-a", "a b", "a,b", "é", "aé"])
def test_no_identifiers(text):
    assert not is_identifier(text)
