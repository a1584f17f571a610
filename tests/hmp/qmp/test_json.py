"""JSON as QEMU takes it apart and writes it."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockdev.errors import QemuError
from hmp.qmp import json_parser
from hmp.qmp.json_parser import JsonReader
from hmp.qmp.json_writer import to_json
from tests.hmp.qmp.conftest import Both

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RESET = b"\xff"


def read(*packets: bytes) -> list[object]:
    reader = JsonReader()
    found = [value for packet in packets for value in reader.feed(packet)]
    return [str(value) if isinstance(value, QemuError) else value for value in found]


@settings(max_examples=40)
@given(VALUES.map(lambda value: {"a": value}), st.integers(1, 7))
def test_what_is_written_reads_as_it_was_wherever_it_is_cut(value, size):
    text = to_json(value).encode()
    assert json.loads(text) == value
    assert read(*(text[at : at + size] for at in range(0, len(text), size))) == [value]


@settings(max_examples=40)
@given(VALUES.map(lambda value: [value]))
def test_many_lines_say_the_same_as_one(value):
    assert json.loads(to_json(value, is_pretty=True)) == value


def test_a_pretty_value_has_four_blanks_a_level():
    assert to_json({"a": [1, {}]}, is_pretty=True) == (
        '{\n    "a": [\n        1,\n        {\n        }\n    ]\n}'
    )


def test_several_values_come_in_one_packet():
    assert read(b"{'a': 1}{\"b\": 2} [3]") == [{"a": 1}, {"b": 2}, [3]]


def test_a_number_or_a_word_waits_for_what_ends_it():
    assert read(b"12", b"34 ") == [1234]
    assert read(b"tr", b"ue", b"\n") == [True]


def test_ff_lets_both_sides_begin_anew():
    assert read(b'{"a": [1, "', RESET, b'{"b": 2}')[-1] == {"b": 2}


def test_depth_has_a_limit_and_no_recursion():
    deepest = b"[" * json_parser.MAX_DEPTH + b"]" * json_parser.MAX_DEPTH
    [value] = read(deepest)
    assert to_json(value) == deepest.decode()
    assert read(b"[" + deepest)[0] == "JSON nesting depth limit exceeded"


def test_tokens_have_a_limit(monkeypatch):
    monkeypatch.setattr(json_parser, "MAX_TOKENS", 5)
    assert read(b"[1,1,1]")[0] == "JSON token count limit exceeded"


@pytest.mark.parametrize("quote", [b'"', b"'"])
def test_a_string_without_end_has_a_limit(monkeypatch, quote):
    monkeypatch.setattr(json_parser, "MAX_SIZE", 1000)
    said = read(b"[" + quote, *[b"x" * 100] * 11, b" 7 ")
    assert said == ["JSON token size limit exceeded", *said[1:]]
    assert len(said) < 4


def test_a_long_number_is_no_trouble():
    assert read(b"9" * 100_000 + b" ") == [float("inf")]


# --- the same texts to both

ATOMS = (
    '{ } [ ] , : "a" "execute" "query-name" "id" 1 -1 0 1.5 1e5 0e1 1E3 -0.0 01 1. 1e+ -\u0020'
    ' +1 .5 true false null nul @ A % " \' \\ . {} [] "\\u00e9" "\\ud83d\\ude00" "\\q" "\u00e9" '
    '"\\u0000" "\\uffff" "\\ufdd0" "\\u12g4" "\\ud800\\u0041" "\\"" \'\\\'\' "\x7f" \u00e9 1x x1 '
    '12345678901234567890 123456789012345678901234567890 "arguments" \x01 \t '
    '{"execute":"query-name"} {"execute":"query-name","id":[1,{"b":2.5}]}'
).split(" ")


def spoilt(draw: random.Random) -> str:
    """A text that is no JSON, most likely."""
    if draw.random() < 0.5:
        return " ".join(draw.choice(ATOMS) for _ in range(draw.randint(1, 12)))
    letters = list('{"execute": "query-name", "id": {"k": [1, 2.5, null, {"z": "y"}]}}')
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(letters))
        letters[at : at + draw.randrange(2)] = draw.choice(ATOMS) if draw.random() < 0.7 else ""
    return "".join(letters)


STRANGE_BYTES = (
    b"\xff", b"\xc3", b"\xe2\x82", b"\xc0\x80", b"\xc1\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xf0\x9f\x98\x80", b"\xef\xbf\xbf", b"\xef\xb7\x90", b"\xf0\x9f\xbf\xbe",
    b"\x00", b"\x7f", b"\x1f",
)  # fmt: skip


def test_strange_bytes_in_a_string_get_qemus_answers(both: Both):
    data = b""
    for number, strange in enumerate(STRANGE_BYTES):
        data += b'{"execute": "a' + strange + b'b"}\n' + RESET
        data += b'{"execute": "query-name", "id": "#%d"}\n' % number
    answers = []
    for each in both():
        each.send(data)
        answers.append(each.lines_until(lambda line: f'"#{len(STRANGE_BYTES) - 1}"' in line))
    theirs, ours = answers
    assert ours == theirs


def test_spoilt_texts_get_qemus_answers(both: Both):
    draw = random.Random(7)
    texts = [spoilt(draw) for _ in range(400)]
    data = b""
    for number, text in enumerate(texts):
        data += text.encode() + b"\n" + RESET
        data += b'{"execute": "query-name", "id": "#%d"}\n' % number
    answers = []
    for each in both():
        each.send(data)
        lines = each.lines_until(lambda line: f'"#{len(texts) - 1}"' in line)
        answers.append("\n".join(lines).split('"id": "#'))
    theirs, ours = answers
    for text, wanted, got in zip(texts, theirs, ours, strict=False):
        assert got == wanted, repr(text)
    assert len(theirs) == len(ours) == len(texts) + 1
