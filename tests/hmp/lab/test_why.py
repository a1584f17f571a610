"""Every error that the records hold has something behind it."""

import errno
import os
import re
from pathlib import Path

import pytest

from hmp.lab import COMMANDS_WITH_LAB
from hmp.lab.reasons import REASONS
from hmp.monitor import Failure, Monitor
from machine.machine import Machine

RECORDS = Path(__file__).resolve().parents[2] / "oracle"


def recorded(*families: str) -> list[str]:
    """The sentences behind `Error: ` in the records of some families."""
    found: set[str] = set()
    for family in families:
        for record in RECORDS.glob(f"{family}-*.out"):
            found |= set(re.findall(r"^Error: (.*)$", record.read_text("latin-1"), re.MULTILINE))
    assert found
    return sorted(found)


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(Machine(), lambda _: None, COMMANDS_WITH_LAB)


@pytest.mark.parametrize("sentence", recorded("snap", "blk", "mig", "cmdline"))
def test_each_recorded_error_has_a_reason(sentence: str, monitor: Monitor) -> None:
    said: list[str] = []
    monitor = Monitor(Machine(), said.append, COMMANDS_WITH_LAB)
    monitor.failure = Failure("savevm", sentence)
    for _ in monitor.execute("%why"):
        pass
    lines = "".join(said).splitlines()
    assert sentence.splitlines()[0] in lines[0]
    assert len(lines) >= 3
    assert "That sentence is all there is to it." not in "".join(said)


def test_each_reason_is_for_a_sentence_that_can_come() -> None:
    """The words of each pattern stand somewhere in the program, or in a record of QEMU."""
    program = "".join(
        path.read_text()
        for floor in ("machine", "blockdev", "hmp")
        for path in (RECORDS.parents[1] / floor).rglob("*.py")
        if path.name != "reasons.py"
    )
    program += os.strerror(errno.ECANCELED)
    program += "".join(path.read_text("latin-1") for path in RECORDS.glob("*.out"))
    for reason in REASONS:
        plain = re.sub(r"\\(.)", r"\1", re.split(r"\(|\.\*", reason.pattern.pattern)[0])
        assert plain.strip("'\" ")[:18] in program, reason.pattern.pattern


def test_without_an_error_there_is_nothing_to_say(monitor: Monitor) -> None:
    said: list[str] = []
    monitor = Monitor(Machine(), said.append, COMMANDS_WITH_LAB)
    list(monitor.execute("%why"))
    assert said == ["No command has failed yet.\n"]
