"""The words of the lab take whatever is typed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp.commands import COMMANDS
from hmp.lab import LAB
from hmp.monitor import Monitor
from hmp.suggestions import suggest
from tests.hmp.lab.conftest import Lab

WORDS = ("", "a", "d0", "d1", "1", "now", "on", "nosuch", '""', '"x', "-x", "=", "\xff", "%map")
# Not one that begins a lesson: those make folders.
LINES = st.builds(
    lambda name, words: " ".join([name, *words]),
    st.sampled_from([row.name for row in LAB if row.name != "%lesson"]),
    st.lists(st.sampled_from(WORDS), max_size=3),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES)
def test_whatever_is_typed_is_answered_in_words(lab: Lab, line: str) -> None:
    if not lab.machine.drives.backends[0].medium().snapshots():
        lab("savevm a")
    assert "internal error" not in lab(line)
    assert lab("info status") == "VM status: paused (prelaunch)\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("%map nosuch", "Error: Cannot find device='nosuch' nor node-name='nosuch'\n"),
        ("%vmstate nosuch", "Error: Snapshot 'nosuch' does not exist in one or more devices\n"),
        ("%lesson hint", "Error: No lesson goes on; %lesson 1 begins the first\n"),
        ("%lesson nosuch", "Error: There is no lesson 'nosuch'; %lesson lists them\n"),
    ],
)
def test_what_there_is_not_is_said_in_a_sentence(lab: Lab, line: str, answer: str) -> None:
    assert lab(line) == answer


def test_help_lists_them_all(lab: Lab) -> None:
    assert [line.split()[0] for line in lab("%help").splitlines()] == [row.name for row in LAB]
    assert lab("help %map") == f"{lab.monitor.commands.find('%map').help_line()}\n"  # type: ignore[union-attr]


def test_without_the_lab_they_are_unknown(lab: Lab) -> None:
    said: list[str] = []
    monitor = Monitor(lab.machine, said.append, COMMANDS)
    for row in LAB:
        said.clear()
        list(monitor.execute(row.name))
        assert said == [f"unknown command: '{row.name}'\n"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%", "%lesson"),
        ("%explain sa", "savevm"),
        ("%explain loadvm ", "a"),
        ("%map ", "d1"),
        ("%vmstate ", "a"),
        ("%diff ", "a"),
        ("%diff a ", "now"),
        ("%trace o", "off"),
        ("%lesson ", "3"),
        ("%lesson predict ", "b"),
    ],
)
def test_the_menu_knows_what_may_follow(lab: Lab, line: str, wanted: str) -> None:
    lab("savevm a")
    assert wanted in [each.text for each in suggest(lab.monitor, line)]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("%map ", "d1"),
        ("%vmstate ", "a"),
        ("%diff a n", "now"),
        ("%lesson h", "hint"),
        ("%explain l", "loadvm"),
        ("%explain loadvm ", "a"),
        ("%lesson predict ", "c"),
    ],
)
def test_tab_knows_too(lab: Lab, line: str, wanted: str) -> None:
    lab("savevm a")
    assert wanted in lab.monitor.completions(line)
