import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp.errors import UsageError
from hmp.expression import evaluate, signed64
from hmp.scanner import Scanner

REGISTERS = {"pc": 0xFFFFFFF0, "cs.base": 5, "big": 2**64 - 1}


def value(text: str) -> int:
    return evaluate(Scanner(text), REGISTERS.get)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("2+3&1", 3),
        ("1|6^3", 4),
        ("6&3|8^1", 11),
        ("6|3&2", 2),
        ("1+2*3&7|8", 15),
        ("1-2-3", -4),
        ("100/7/2", 7),
        ("-7/2", -3),
        ("7/-2", -3),
        ("-7%4", -3),
        ("7%-3", 1),
        ("2--3", 5),
        ("2+~0", 1),
        ("- - 5", 5),
        ("1 ++ 2", 3),
        ("~ 5", -6),
        ("0x1F", 31),
        ("0X1f", 31),
        ("010", 8),
        ("0", 0),
        ("'a'", 97),
        ("'a' + 1", 98),
        ("'''", 39),
        ("' '", 32),
        ("$pc", 0xFFFFFFF0),
        ("$cs.base + 1", 6),
        ("$big", -1),
        ("18446744073709551615", -1),
        ("-18446744073709551615", 1),
        ("9223372036854775807+1", -(2**63)),
        ("4611686018427387904*4", 0),
        ("9223372036854775808/2", -(2**62)),
        ("(-9223372036854775807-1)/-1", -(2**63)),
        ("(-9223372036854775807-1)%-1", 0),
        (" ( 1 ) ".strip(), 1),
    ],
)
def test_values(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of expression"),
        ("1+", "unexpected end of expression"),
        ("1-(", "unexpected end of expression"),
        ("~", "unexpected end of expression"),
        ("abc", "invalid char 'a' in expression"),
        ("()", "invalid char ')' in expression"),
        ("1|&2", "invalid char '&' in expression"),
        ('"1"', "invalid char '\"' in expression"),
        ("é", "invalid char '\udcc3' in expression"),
        ("(1+2", "')' expected"),
        ("(1 2)", "')' expected"),
        ("1/0", "division by zero"),
        ("1%0", "division by zero"),
        ("1/0+x", "division by zero"),
        ("(1/0", "division by zero"),
        ("1+2/0*x", "division by zero"),
        ("18446744073709551616", "number too large"),
        ("9" * 5000, "number too large"),
        ("0x10000000000000000", "number too large"),
        ("$nosuch", "unknown register"),
        ("$", "unknown register"),
        ("'", "character constant expected"),
        ("''", "missing terminating ' character"),
        ("'ab'", "missing terminating ' character"),
        (r"'\n'", "missing terminating ' character"),
    ],
)
def test_messages(text, message):
    with pytest.raises(UsageError) as caught:
        value(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("1.5", ".5"),
        ("08", "8"),
        ("0xg", "xg"),
        ("0x", "x"),
        ("1<<2", "<<2"),
        ("1 ) x", ") x"),
        ("(1) 2", "2"),
        ("1_0", "_0"),
        ("0b11", "b11"),
        ("12  34", "34"),
    ],
)
def test_what_does_not_belong_is_left(text, rest):
    scanner = Scanner(text)
    evaluate(scanner, REGISTERS.get)
    assert scanner.text[scanner.position :] == rest


def test_a_byte_above_127_is_negative():
    assert evaluate(Scanner("'\udcc3'"), REGISTERS.get) == 0xC3 - 256


def test_thousands_of_parentheses_and_signs_are_fine():
    assert value("(" * 2000 + "-" * 2000 + "1" + ")" * 2000) == 1


def test_a_long_run_of_leading_zeros_is_no_large_number():
    assert value("0" * 5000 + "17") == 15


@given(
    st.recursive(
        st.integers(0, 2**64 - 1),
        lambda inner: st.tuples(st.sampled_from("+-*&|^"), inner, inner),
        max_leaves=30,
    )
)
def test_with_all_parentheses_written_it_is_pythons_arithmetic_in_64_bits(tree):
    def write(node):
        return (
            str(node) if isinstance(node, int) else f"({write(node[1])}{node[0]}{write(node[2])})"
        )

    text = write(tree)
    assert value(text) == signed64(eval(compile(ast.parse(text, mode="eval"), "", "eval")))


@given(st.lists(st.sampled_from([*"+-*/%&|^~()'$ ", "1", "0x", "pc", "9", "é"]), max_size=30))
def test_any_text_has_a_value_or_a_message(parts):
    try:
        result = value("".join(parts))
    except UsageError:
        return
    assert -(2**63) <= result < 2**63
