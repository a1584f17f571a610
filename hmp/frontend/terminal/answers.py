"""Colours for what commands print; the text stays QEMU's to the character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from blockdev.qcow2 import ownership

Fragments = list[tuple[str, str]]  # style, text: prompt_toolkit's own form

# Quantifiers that others could follow with the same letters are possessive: a hostile image has
# long tags of blanks, and would keep a pattern busy that tries all ways to share them.

# A line that begins so says that something went wrong, whatever the command was.
_TROUBLE = re.compile(r"(?P<error>Error: .*|unknown command: .*)|(?P<hint>Try \"help .*)")
# What a lesson tells after any command.
_LESSON = (
    re.compile(r"(?P<heading>Lesson \d+: .*)"),
    re.compile(r"(?P<good>  \[x\] .*|Lesson \d+ is solved\.)|(?P<label>  \[ \])(?P<plain> .*)"),
)
_SIZE = r"[\d.]+(?:e\+\d+)? [KMGTPE]?i?B"
_SNAPSHOT = re.compile(
    rf"(?P<label>\S++ ++)(?P<name>.*?)(?P<number> +{_SIZE})"
    r"(?P<date> +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?P<number2> +[\d:.]+)(?P<label2> *\d* *)$"
)
_RULES: dict[str, tuple[re.Pattern[str], ...]] = {
    "info snapshots": (
        _SNAPSHOT,
        re.compile(r"(?P<heading>ID +TAG .*)"),
        re.compile(r"(?P<label>List of .*|None|There is no .*)"),
    ),
    "info block": (
        re.compile(
            r"(?P<name>[^\s:(][^\s:]*+)(?P<label> \(\S+\))?(?P<plain>: )"
            r"(?P<file>.*?)(?P<label2> \([^()]*\))?$"
        ),
        re.compile(r"(?P<label> ++[\w-][\w -]*+: *)(?P<plain>.*)"),
    ),
    "info status": (re.compile(r"(?P<label>VM status: )(?:(?P<good>running.*)|(?P<stopped>.*))"),),
    "info version": (re.compile(r"(?P<number>[\d.]+)(?P<label>.*)"),),
    "help": (
        re.compile(r"(?P<name>(?:info )?[^\s|]\S*+)(?P<label>.* -- )(?P<plain>.*)"),
        re.compile(r"(?P<label>\t.*)"),
    ),
    "x": (re.compile(r"(?P<label>[0-9a-f]{8,16}:)(?P<plain>.*)"),),
}
_STEPS = (
    re.compile(r"(?P<heading>\d+\. .*)"),
    re.compile(r"(?P<label> {3}.*|In all: .*)"),
    re.compile(r"(?P<good>Before you run it: |The machine stood .*)(?P<plain>.*)"),
)
_RULES["%explain"] = _STEPS
_RULES["%lesson"] = (
    re.compile(r"(?P<number> +\d+)(?P<plain>  .*)"),
    re.compile(r"(?P<name>  [a-f]\))(?P<plain> .*)"),
    re.compile(r"(?P<label>Disks until .*)|(?P<good>Predict, )(?P<plain2>.*)"),
)
_RULES["%diff"] = (
    re.compile(r"(?P<heading>(?:memory|memory, devices|devices|disk [^:]*+): .*)"),
    re.compile(r"(?P<stopped> {6}- .*)|(?P<good> {6}\+ .*)"),
    re.compile(r"(?P<name> {4}[^\s:]++)(?P<plain>(?:: | {2}).*)|(?P<label> {4}.*)"),
)
_RULES["%tree"] = (
    re.compile(r"(?P<label>[ |`-]*+)(?:(?P<stopped>x .*)|(?P<name>o .*?)(?P<good>  <- HEAD.*)?)"),
)
_RULES["%why"] = (re.compile(r"(?P<label>- (?:Looked (?:for|at)|Found|Try|Now): )(?P<plain>.*)"),)
_RULES["xp"] = _RULES["x"]
_RULES["info"] = _RULES["help"]
# A row of letters behind a number, or one letter before what it means.
_LETTERS = re.escape("".join(map(chr, ownership.MEANINGS)))
_MAP_LINE = re.compile(
    rf"(?P<before> *+\d++: )(?P<row>[{_LETTERS}]++)"
    rf"|(?P<blank>  )(?P<letter>[{_LETTERS}])(?P<rest> .*)"
)
_KINDS = {
    ownership.NOW: "now",
    ownership.SNAPSHOTS: "snapshots",
    ownership.SHARED: "shared",
    ownership.STATE: "state",
    ownership.LEAKED: "leaked",
    ownership.FREE: "free",
}
# For all that has no rules of its own: `name: value`.
_ANY = (re.compile(r"(?P<label> *[\w][\w \-/.'()]{0,40}: +)(?P<plain>\S.*)"),)


def paint(command: str, text: str) -> Fragments:
    """The text in pieces, each with its style.

    Args:
        command: the name of the command that said it; empty for none.
        text: any number of lines.
    """
    rules = (_TROUBLE, *_LESSON, *_RULES.get(command, _ANY))
    fragments: Fragments = []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\n")
        in_map = _MAP_LINE.fullmatch(body) if command == "%map" else None
        fragments += _paint_map(in_map) if in_map else _paint_line(body, rules)
        fragments.append(("", line[len(body) :]))
    return fragments


def _paint_map(line: re.Match[str]) -> Iterator[tuple[str, str]]:
    """A line of `%map`: letters by what they mean, tables all in one colour."""
    yield "class:answer.label", line["before"] or line["blank"]
    for letter, alike in groupby(line["row"] or line["letter"]):
        yield f"class:map.{_KINDS.get(ord(letter), 'table')}", "".join(alike)
    yield "", line["rest"] or ""


def _paint_line(line: str, rules: tuple[re.Pattern[str], ...]) -> Iterator[tuple[str, str]]:
    for rule in rules:
        match = rule.fullmatch(line)
        if match:
            for name, piece in match.groupdict().items():
                if piece:
                    style = name.rstrip("0123456789")
                    yield ("" if style == "plain" else f"class:answer.{style}"), piece
            return
    yield "", line
