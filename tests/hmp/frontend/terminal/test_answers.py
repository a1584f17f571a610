"""Colours of answers; the text stays what the monitor said."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hmp.commands import COMMANDS, INFO
from hmp.frontend.terminal.answers import paint
from hmp.lab import LAB
from tests.hmp.near_misses import near_misses
from tests.hmp.trial import Session, TriedMachine

NAMES = st.sampled_from(
    ["", *(row.names[0] for row in COMMANDS), *(f"info {row.names[0]}" for row in INFO)]
    + [row.name for row in LAB]
)
MAP = "       0: HRR=Td.\n  H header\n"
LAB_LINES = [
    "1. Do\n",
    "   d0: ID 1; 2\n",
    "  [x] it\n",
    "  [ ] it\n",
    "| `-o a  <- HEAD\n",
    "x lost\n",
]
ROW = "--        a                36.8 KiB 2024-01-02 03:04:05 00:00:00.215           \n"
TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet='abc:; |()"\t\n\r\x0b\x0c\x1c\x85\u2028-0123456789.', max_size=80),
    st.lists(
        st.sampled_from(
            [
                ROW,
                "Error: no\n",
                "x (y): z (w)\n",
                "VM status: running\n",
                " ",
                "\n",
                MAP,
                *LAB_LINES,
            ]
        )
    ).map("".join),
)


def text_of(fragments: list[tuple[str, str]]) -> str:
    return "".join(text for _, text in fragments)


def style_of(command: str, text: str, piece: str) -> str:
    return next(style for style, part in paint(command, text) if piece in part)


@given(NAMES, TEXTS)
@example("info snapshots", ROW)
@example("info block", "d0 (#block1): a (b) (qcow2)\n    Cache mode:  x\n")
@settings(max_examples=500)
def test_painting_keeps_every_letter(command: str, text: str) -> None:
    assert text_of(paint(command, text)) == text


def test_painting_keeps_what_the_monitor_says(pc: TriedMachine) -> None:
    session = Session(pc)
    for line in near_misses(seed=21, for_each=2):
        answer = session(line)
        name = " ".join(line.split()[: 2 if line.startswith("info") else 1])
        assert text_of(paint(name, answer)) == answer


@pytest.mark.parametrize(
    ("command", "text", "piece", "style"),
    [
        ("info snapshots", ROW, "a", "answer.name"),
        ("info snapshots", ROW, "36.8 KiB", "answer.number"),
        ("info snapshots", ROW, "2024-01-02", "answer.date"),
        ("info snapshots", ROW.replace("a  ", "a b"), "a b", "answer.name"),
        ("info snapshots", "ID        TAG               VM SIZE\n", "TAG", "answer.heading"),
        ("info block", "d0 (#block1): /a (b) (qcow2)\n", "d0", "answer.name"),
        ("info block", "d0 (#block1): /a (b) (qcow2)\n", "/a (b)", "answer.file"),
        ("info status", "VM status: running\n", "running", "answer.good"),
        ("info status", "VM status: paused (prelaunch)\n", "paused", "answer.stopped"),
        ("help", "loadvm tag -- restore\n", "loadvm", "answer.name"),
        ("info name", "Error: no such thing\n", "Error", "answer.error"),
        ("", 'Try "help x" for more information\n', "help", "answer.hint"),
        ("info name", "plain words\n", "plain", ""),
        ("%map", MAP, "RR", "map.table"),
        ("%map", MAP, "d", "map.now"),
        ("%map", MAP, "=", "map.shared"),
        ("%explain", "1. Stop the machine.\n", "Stop", "answer.heading"),
        ("%tree", "|-o a  clock 1  <- HEAD\n", "HEAD", "answer.good"),
        ("%tree", "|-x lost: 1 s\n", "lost", "answer.stopped"),
        ("%diff", "    timer/x: 1 -> 2\n", "timer/x", "answer.name"),
        ("%why", "- Try: this.\n", "Try", "answer.label"),
        ("savevm", "  [x] it is so\n", "so", "answer.good"),
    ],
)
def test_parts_have_their_styles(command: str, text: str, piece: str, style: str) -> None:
    assert style_of(command, text, piece) == (f"class:{style}" if style else "")


def test_a_very_long_line_costs_little() -> None:
    """No pattern goes over a line again and again."""
    for text in (
        "a" * 200_000,
        " " * 200_000,
        "1 " * 100_000,
        "a: " * 70_000,
        "(" * 200_000,
        "a (b" * 50_000,
        "\t" * 200_000,
        "a" + " " * 200_000,
        "1 B" * 70_000,
    ):
        for command in (
            "info snapshots",
            "info block",
            "info status",
            "help",
            "x",
            "",
            "%map",
            "%tree",
            "%diff",
            "%lesson",
        ):
            started = time.process_time()
            paint(command, text + "\n")
            assert time.process_time() - started < 1.0, (command, text[:10])
