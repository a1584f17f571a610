"""What a typed line says, without running it; compared with what the monitor then does."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp.commands import COMMANDS
from hmp.reading import read_line
from hmp.scanner import Scanner
from tests.hmp.near_misses import near_misses
from tests.hmp.trial import Session, TriedMachine

WORDS = [name for row in COMMANDS for name in row.names] + ["info", "status", "block", "-n", "/x"]
_SHARED = TriedMachine("none", 0)
LINES = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=5).flatmap(
    lambda words: st.sampled_from([" ", "\t", "  "]).map(lambda blank: blank.join(words))
)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("bogus", "bogus"),
        ("bogus ", "bogus "),
        ("  bogus x", "bogus x"),
        ("info bogus x", "bogus x"),
        ("info\tbogus x", "bogus x"),
        ("info  bogus x", "bogus x"),
        ("info status extra", "extra"),
        ("info status  é", "é"),
        ("stop now", "now"),
        ("savevm a b", "b"),
        ("savevm é b", "b"),
        ('delvm "a\\q"', '"a\\q"'),
        ("info block -z", "-z"),
        ("x /4z 0", "/4z 0"),
        ("print 1 ]", "]"),
        ("print $nosuch + 1", "$nosuch + 1"),
        ("migrate_set_capability xbzrle maybe", "maybe"),
        ("info usbhost", "info usbhost"),
    ],
)
def test_a_fault_begins_where_the_line_stops_to_fit(ask: Session, line: str, wrong: str) -> None:
    reading = read_line(ask.monitor, line)
    assert reading.fault
    assert not reading.is_unfinished
    assert reading.arguments is None
    assert line[reading.fault_start :] == wrong


@pytest.mark.parametrize(
    "line",
    ["s", "sav", "info", "info st", "info\tst", "delvm", 'delvm "a b', "eject", "qemu-io d",
     "print", "print (1", "migrate_set_capability xbzrle"],
)  # fmt: skip
def test_a_line_that_can_go_on_is_unfinished_or_right(ask: Session, line: str) -> None:
    reading = read_line(ask.monitor, line)
    assert not reading.fault or reading.is_unfinished


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("s", "stop", {}),
        ("savevm", "savevm", {"name": None}),
        ('savevm "a \\"b"', "savevm", {"name": 'a "b'}),
        ("info block -v d0", "info block", {"nodes": False, "verbose": True, "device": "d0"}),
        ("p 1+2*3", "print", None),
        ("", "", None),
        (" \t", "", None),
    ],
)
def test_a_line_is_read_as_the_monitor_reads_it(
    ask: Session, line: str, name: str, arguments: dict[str, object] | None
) -> None:
    reading = read_line(ask.monitor, line)
    assert reading.fault == ""
    assert reading.name == name
    if arguments is not None:
        assert reading.arguments == arguments


@given(LINES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_reading_changes_nothing_and_points_into_the_line(line: str) -> None:
    machine = _SHARED
    session = Session(machine)
    formats = session.monitor.formats
    before = formats.letter, formats.size
    reading = read_line(session.monitor, line)
    assert 0 <= reading.fault_start <= len(line)
    assert (reading.arguments is None) or not reading.fault
    assert session.monitor.formats is formats
    assert (formats.letter, formats.size) == before
    assert machine.reporter is None
    assert machine.complaints == []
    assert session.aside == []


def test_what_reads_well_is_what_the_monitor_runs(ask: Session) -> None:
    """There is a fault exactly where the monitor points to help, or knows no such command."""
    for line in near_misses(seed=4, for_each=3):
        scanner = Scanner(line)
        if scanner.command_name() in ("help", "?"):  # says the same of its arguments
            continue
        reading = read_line(ask.monitor, line)
        answer = ask(line)
        refused = answer.startswith("unknown command") or 'Try "help ' in answer
        assert bool(reading.fault) == refused, (line, reading.fault, answer)
