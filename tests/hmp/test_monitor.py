from collections.abc import Iterator

import pytest

from blockdev.errors import QemuError
from hmp.command import Command, CommandTable
from hmp.monitor import Monitor
from tests.hmp.trial import Session, TriedMachine


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", ""),
        ("   ", ""),
        ("foo", "unknown command: 'foo'\n"),
        ("  foo bar", "unknown command: '  foo'\n"),
        ("INFO status", "unknown command: 'INFO'\n"),
        ("info foo bar", "unknown command: 'info foo'\n"),
        ("  info   foo", "unknown command: '  info   foo'\n"),
        ("info /x", "unknown command: 'info '\n"),
        ("info/status", "unknown command: 'info'\n"),
        ("/x", "unknown command: ''\n"),
        ('"info" status', "unknown command: '\"info\"'\n"),
        ('info "status"', "unknown command: 'info \"status\"'\n"),
        ("é", "unknown command: 'é'\n"),
        ("\udcff", "unknown command: '\udcff'\n"),
        ("stop|s", "unknown command: 'stop|s'\n"),
        ("info usbhost x", 'Command "info usbhost " is not available.\n'),
    ],
)
def test_what_is_no_command(line, answer, ask):
    assert ask(line) == answer


@pytest.mark.parametrize(
    ("line", "message", "pointer"),
    [
        ("stop now", "stop|s: extraneous characters at the end of line", "stop"),
        ("s now", "stop|s: extraneous characters at the end of line", "s"),
        ("  stop   now", "stop|s: extraneous characters at the end of line", "  stop"),
        ("stop/now", "stop|s: extraneous characters at the end of line", "stop"),
        ("info status x", "status: extraneous characters at the end of line", "info status"),
        (" info  status  x", "status: extraneous characters at the end of line", " info  status"),
        ("p/q 1", "invalid char in format: 'q'", "p"),
        ("set_link é", "Expected 'on' or 'off'", "set_link"),
    ],
)
def test_refusals_point_to_help(line, message, pointer, ask):
    assert ask(line) == f'{message}\nTry "help {pointer}" for more information\n'


def test_complaints_about_quotes_go_aside(ask):
    answer = 'savevm: string expected\nTry "help savevm" for more information\n'
    assert ask('savevm "open') == answer
    assert ask('savevm "\\q"') == answer
    assert ask.aside == ["unterminated string\n", "unsupported escape code: '\\q'\n"]


def test_a_front_end_that_does_not_ask_gets_asides_in_order(machine):
    said: list[str] = []
    for _ in Monitor(machine, said.append).execute('savevm "open'):
        pass
    assert said[0] == "unterminated string\n"


def test_a_lone_dash_ends_a_message_without_a_line_end(ask):
    expected = 'eject: unsupported option -Try "help eject" for more information\n'
    assert ask("eject -") == expected


# -- handlers


def table_of(run, args_type: str = "") -> CommandTable:
    return CommandTable([Command(name="go|g", args_type=args_type, params="", help="", run=run)])


def session_with(machine: TriedMachine, run, args_type: str = "") -> Session:
    session = Session(machine)
    session.monitor.commands = table_of(run, args_type)
    return session


def test_an_error_is_printed_in_its_own_words(machine):
    def go(monitor: Monitor) -> None:
        raise QemuError("it cannot be")

    assert session_with(machine, go)("go") == "Error: it cannot be\n"


def test_an_error_in_the_middle_of_long_work_is_printed_after_what_was_said(machine):
    def go(monitor: Monitor) -> Iterator[None]:
        monitor.print_line("one")
        yield
        raise QemuError("no two")

    assert session_with(machine, go)("go") == "one\nError: no two\n"


def test_our_own_mistake_is_one_line_and_a_traceback_in_the_log(machine):
    def go(monitor: Monitor) -> None:
        raise ZeroDivisionError("first\n  second")

    session = session_with(machine, go)
    assert session("go") == "Error: internal error: ZeroDivisionError: first second\n"
    assert "in go" in machine.exceptions[0]
    assert session("go x").startswith("go|g: extraneous")
    machine.exceptions.clear()


def test_steps_of_long_work_come_through(machine):
    def go(monitor: Monitor) -> Iterator[object]:
        yield "first"
        yield "second"

    assert list(session_with(machine, go).monitor.execute("go")) == ["first", "second"]


def test_nothing_happens_before_the_first_step_is_asked_for(machine):
    called: list[int] = []

    def go(monitor: Monitor) -> None:
        called.append(1)

    steps = session_with(machine, go).monitor.execute("go")
    assert called == []
    assert list(steps) == []
    assert called == [1]


def test_reports_from_the_depths_go_to_the_monitor_whose_command_runs(machine):
    def go(monitor: Monitor) -> Iterator[None]:
        machine.report("before")
        yield
        machine.report("after")

    session = session_with(machine, go)
    assert session("go") == "before\nafter\n"
    machine.report("outside")
    assert machine.complaints == ["hmp: outside"]


def test_a_command_within_a_command_gives_the_reports_back(machine):
    inner = session_with(machine, lambda monitor: machine.report("inside"))

    def go(monitor: Monitor) -> None:
        inner("go")
        machine.report("again")

    outer = session_with(machine, go)
    assert outer("go") == "again\n"


def test_work_that_is_broken_off_cleans_up(machine):
    ended: list[str] = []

    def go(monitor: Monitor) -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            ended.append("tidy")

    session = session_with(machine, go)
    steps = session.monitor.execute("go")
    next(steps)
    steps.close()
    assert ended == ["tidy"]
    assert machine.reporter is None
    assert session.monitor.running == ()


def test_any_line_of_any_bytes_is_answered(ask):
    for code in range(256):
        byte = bytes([code]).decode("utf-8", "surrogateescape")
        for line in (byte, f"p {byte}", f"p/{byte}", f"eject -{byte}", f'savevm "\\{byte}"'):
            ask(line)
    assert ask.machine.exceptions == []


def test_a_very_long_line_is_answered(ask):
    ask("p " + "(" * 10000)
    ask("p " + "9" * 10000)
    ask("help " + "a " * 10000)
    ask("block_resize d " + "9" * 10000)
    ask("block_resize d 1." + "9" * 10000)
    ask("xp /" + "9" * 10000 + " 0")
    assert ask.machine.exceptions == []


def test_quit_asks_the_machine_to_end(ask):
    assert ask("quit") == ""
    assert ask.machine.shutdown_requested


def test_stop_and_cont_and_their_aliases(ask):
    ask("c")
    assert ask("info status") == "VM status: running\n"
    ask("s")
    assert ask("info status") == "VM status: paused\n"
    ask("system_reset")
    assert ask("info status") == "VM status: paused (prelaunch)\n"


def test_the_current_cpu_is_each_monitors_own():
    machine = TriedMachine("pc", 16 << 20)
    second = type(machine.cpus[0])(1, machine.memory, signature=0)
    machine.cpus.append(second)
    one, two = Session(machine), Session(machine)
    assert one("cpu 1") == ""
    assert one("info cpus").splitlines()[1].startswith("* CPU #1: thread_id=")
    assert two("info cpus").splitlines()[0].startswith("* CPU #0: thread_id=")
    assert one("cpu 2") == "invalid CPU index\n"
    machine.close()


def test_history_is_numbered(ask):
    ask.monitor.history = ["a", "info history"]
    assert ask("info history") == "0: 'a'\n1: 'info history'\n"
