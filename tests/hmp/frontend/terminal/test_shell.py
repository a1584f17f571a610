"""The shell with keys through a pipe, and a terminal that is a string; all in this process."""

import asyncio
import io
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pyte
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from blockdev.errors import QemuError
from hmp.command import Command, CommandTable
from hmp.commands import COMMANDS
from hmp.errors import Canceled
from hmp.frontend.terminal.history import LineHistory
from hmp.frontend.terminal.screen import Screen
from hmp.frontend.terminal.shell import Shell
from hmp.frontend.terminal.themes import Theme
from hmp.monitor import Monitor
from hmp.settings import Settings
from tests.hmp.frontend.terminal.emulator import AlternateScreen
from tests.hmp.trial import TriedMachine

PASTE = "\x1b[200~{}\x1b[201~"
CTRL_C, CTRL_D, CTRL_R, ESCAPE = "\x03", "\x04", "\x12", "\x1b"


class Slow:
    """Commands that take as long as the test wants."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.steps = 0
        self.may_end = False

    def slow(self, monitor: Monitor, *, name: str | None) -> Iterator[object]:
        try:
            while not self.may_end:
                self.steps += 1
                yield self.steps, 1 << 20
        except Canceled:
            self.ran.append(f"canceled {name}")
            raise
        self.ran.append(f"slow {name}")

    def note(self, monitor: Monitor, *, name: str | None) -> None:
        self.ran.append(f"note {name}")
        monitor.print_line(f"noted {name}")

    def flood(self, monitor: Monitor, *, name: str | None) -> None:
        for number in range(int(name or 0)):
            monitor.print_line(f"line {number}")

    def fail(self, monitor: Monitor, *, name: str | None) -> None:
        raise QemuError("no luck") if name else RuntimeError("our mistake")

    def table(self) -> CommandTable:
        handlers = (("slow", self.slow), ("note", self.note), ("flood", self.flood))
        rows = [
            Command(name=name, args_type="name:s?", params="", help=f"does {name}", run=run)
            for name, run in (*handlers, ("fail", self.fail))
        ]
        return CommandTable([*COMMANDS, *rows])


class Window(io.StringIO):
    """Takes what is drawn, until it is shut."""

    is_shut = False

    def flush(self) -> None:
        if self.is_shut:
            raise OSError(5, "Input/output error")


class Person:
    """Somebody at the shell.

    Attributes:
        work: of the slow commands.
    """

    def __init__(self, shell: Shell, machine: TriedMachine, keys: PipeInput, slow: Slow) -> None:
        self.window = Window()
        self.machine = machine
        self.work = slow
        self._shell = shell
        self._keys = keys
        self._screen = AlternateScreen(80, 24)
        self._stream = pyte.Stream(self._screen)
        self._seen = 0  # letters of what was drawn that are on the screen

    def type(self, text: str) -> None:
        self._keys.send_text(text)

    def paste(self, text: str) -> None:
        self.type(PASTE.format(text))

    def hang_up(self) -> None:
        self.window.is_shut = True
        self._keys.close()

    def screen(self) -> str:
        drawn = self.window.getvalue()
        self._stream.feed(drawn[self._seen :])
        self._seen = len(drawn)
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def line(self) -> str:
        """The last line of the screen that isn't empty: there is no bar."""
        return (self.screen().splitlines() or [""])[-1]

    async def until(self, holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if holds():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"waited in vain:\n{self.screen()}")

    async def sees(self, text: str) -> None:
        await self.until(lambda: text in self.screen())

    async def is_asked(self) -> None:
        await self.until(lambda: self.line() == "(qemu)")

    async def run(self, line: str) -> None:
        started = "\x1b[?2004h"  # taking keys, pastes among them
        before = self.window.getvalue().count(started)
        self.type(f"{line}\r")
        await self.until(lambda: self.window.getvalue().count(started) > before)
        await self.is_asked()


Story = Callable[[Person], Awaitable[None]]


@pytest.fixture
def tell(machine: TriedMachine, tmp_path: Path) -> Callable[..., Person]:
    """Let a person do something at a shell, to the shell's end."""

    def tell(story: Story, **chosen: bool | int | str) -> Person:
        settings, slow = Settings(), Slow()
        settings.set("bar", False)
        settings.set("slow_ms", 10**9)
        settings.aliases["n"] = "note aliased"
        for name, value in chosen.items():
            settings.set(name.replace("__", "."), value)

        def make_monitor(machine: TriedMachine, write: Callable[[str], object]) -> Monitor:
            return Monitor(machine, write, slow.table())

        async def play() -> None:
            running = asyncio.ensure_future(shell.run())
            try:
                await person.is_asked()
                await story(person)
                os.write(bell, b"!")
                await asyncio.wait_for(running, 10)
            finally:
                running.cancel()

        door, bell = os.pipe()
        # As another monitor's quit would do it.
        machine.loop.add_reader(door, machine.request_shutdown)
        with create_pipe_input() as keys:
            window = Window()
            output = Vt100_Output(window, lambda: Size(24, 80), term="xterm", enable_cpr=False)
            with create_app_session(input=keys, output=output):
                history = LineHistory(f"{tmp_path}/history", 100, machine.complain)
                screen = Screen(keys, output, Theme("dark"))
                shell = Shell(machine, make_monitor, settings, screen, history)  # type: ignore[arg-type]
                person = Person(shell, machine, keys, slow)
                person.window = window
                asyncio.run(play())
        machine.loop.remove_reader(door)
        os.close(door)
        os.close(bell)
        return person

    return tell


Tell = Callable[..., Person]


# --- lines


def test_a_line_runs_and_is_kept(tell: Tell, tmp_path: Path) -> None:
    async def story(person: Person) -> None:
        await person.run("note one")
        await person.run("")
        await person.run("n")
        assert "noted one" in person.screen()
        assert "noted aliased" in person.screen()

    assert tell(story).work.ran == ["note one", "note aliased"]
    assert (tmp_path / "history").read_text() == "note one\nn\n"


def test_a_failure_is_an_answer_and_the_shell_goes_on(tell: Tell) -> None:
    async def story(person: Person) -> None:
        await person.run("fail x")
        assert "Error: no luck" in person.screen()
        await person.run("fail")
        assert "Error: internal error: RuntimeError: our mistake" in person.screen()
        assert len(person.machine.exceptions) == 1
        person.machine.exceptions.clear()
        await person.run("note on")

    assert tell(story).work.ran == ["note on"]


def test_ctrl_c_drops_the_line(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("note dropp")
        await person.sees("note dropp")
        person.type(CTRL_C)
        await person.is_asked()
        await person.run("note kept")

    assert tell(story).work.ran == ["note kept"]


def test_vi_keys(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("note abc")
        await person.sees("note abc")
        person.type(ESCAPE)
        await asyncio.sleep(0.6)  # until it is no longer the beginning of a key
        person.type("bcwxyz")
        await person.sees("note xyz")
        person.type("\r")
        await person.sees("noted xyz")

    assert tell(story, keys="vi").work.ran == ["note xyz"]


def test_help_on_a_word(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("loadvm \x1bOP")
        await person.sees("loadvm tag -- restore")
        person.type(CTRL_C)
        await person.is_asked()
        person.type("\x1bOP")
        await person.sees("F1 on a word shows its help")

    tell(story)


# --- pastes


def test_pasted_lines_run_in_order_and_the_rest_is_the_next_line(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("no")
        person.paste("te 1\r\nnote 2\n\nnote 3\nnote ")
        await person.until(lambda: person.line() == "(qemu) note")
        person.type("4\r")
        await person.sees("noted 4")

    assert tell(story).work.ran == [f"note {number}" for number in (1, 2, 3, 4)]


def test_a_paste_into_a_search_runs_nothing(tell: Tell) -> None:
    async def story(person: Person) -> None:
        await person.run("note 1")
        person.type(CTRL_R)
        await person.sees("search")
        person.paste("note 2\nnote 3\n")
        await asyncio.sleep(0.1)
        person.type(CTRL_C)
        await asyncio.sleep(0.1)
        person.type(CTRL_C)
        await person.is_asked()
        await person.run("note 4")

    assert tell(story).work.ran == ["note 1", "note 4"]


def test_controls_in_a_paste_are_shown(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.paste("note \x0e\x07\x9bx\n")
        await person.sees("noted ^N^G<9b>x")
        drawn = person.window.getvalue()
        assert not {"\x0e", "\x9b"} & set(drawn)

    tell(story)


# --- long work


def test_ctrl_c_cancels_and_gives_up_what_was_to_follow(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.paste("slow 1\nnote 2\nnote 3")
        await person.until(lambda: person.work.steps > 3)
        person.type(f"note 4\r{CTRL_C}note 5\r")
        await person.sees("noted 5")
        assert "Error: Operation canceled" in person.screen()

    assert tell(story).work.ran == ["canceled 1", "note 5"]


def test_what_is_typed_ahead_waits_for_the_next_line(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("slow 1\rnote 2\rnote 3")
        await person.until(lambda: person.work.steps > 3)
        assert person.work.ran == []
        person.work.may_end = True
        await person.until(lambda: person.line() == "(qemu) note 3")

    assert tell(story).work.ran == ["slow 1", "note 2"]


def test_the_time_of_a_command_shows_at_the_right(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("note 1\r")
        await person.until(lambda: person.line().endswith(" s"))
        await asyncio.sleep(0.05)

    tell(story, slow_ms=0)


def test_a_window_that_is_shut_ends_the_shell_when_its_command_has_ended(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("slow 1\r")
        await person.until(lambda: person.work.steps > 3)
        person.hang_up()
        person.machine.events.emit("STOP")  # that nobody sees
        await asyncio.sleep(0.3)
        person.work.may_end = True
        await person.until(lambda: person.machine.shutdown_requested)

    assert tell(story).work.ran == ["slow 1"]


@pytest.mark.parametrize("where", ["line", "question", "pager"])
def test_a_window_that_is_shut_ends_the_shell(tell: Tell, where: str) -> None:
    async def story(person: Person) -> None:
        if where == "question":
            person.type(CTRL_D)
            await person.sees("Quit?")
        elif where == "pager":
            person.type("flood 500\r")
            await person.sees("of 500 lines")
        person.hang_up()
        await person.until(lambda: person.machine.shutdown_requested)

    tell(story)


@pytest.mark.parametrize("where", ["line", "question", "pager"])
def test_the_end_of_the_machine_ends_the_shell(tell: Tell, where: str) -> None:
    async def story(person: Person) -> None:
        if where == "question":
            person.type(CTRL_D)
            await person.sees("Quit?")
        elif where == "pager":
            person.type("flood 500\r")
            await person.sees("of 500 lines")

    tell(story)  # whose end is that of the machine


# --- questions


@pytest.mark.parametrize(("keys", "ends"), [("y", True), (CTRL_D, True), ("n", False)])
def test_ctrl_d_asks(tell: Tell, keys: str, ends: bool) -> None:
    async def story(person: Person) -> None:
        person.type(CTRL_D)
        await person.sees("Quit? [y/N]")
        person.type(keys)
        if ends:
            await person.until(lambda: person.machine.shutdown_requested)
        else:
            await person.is_asked()
            assert not person.machine.shutdown_requested

    tell(story)


def test_ctrl_d_just_quits_where_that_is_wished(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type(CTRL_D)
        await person.until(lambda: person.machine.shutdown_requested)

    assert "Quit?" not in tell(story, confirm__quit=False).screen()


def test_a_question_takes_its_keys_and_no_others(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type(CTRL_D)
        await person.sees("Quit? [y/N]")
        person.paste("y\nnote 1\n")
        person.type("\x1b[A\x12x \x17\x19\x1a\t")
        await asyncio.sleep(0.2)
        assert person.line() == "Quit? [y/N]"
        person.type("n")
        await person.is_asked()
        assert "Quit? [y/N] no" in person.screen()

    assert tell(story).work.ran == []


# --- answers and events


def test_a_long_answer_has_pages(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("flood 500\r")
        await person.sees("of 500 lines")
        person.paste("q\nnote 1\n")
        person.type("G")
        await person.sees("500 of 500 lines")
        person.machine.events.emit("STOP")
        await asyncio.sleep(0.1)
        assert "STOP" not in person.screen()
        person.type("q")
        await person.until(lambda: person.window.getvalue().count("\x1b[?1049l") == 1)
        await person.sees(" STOP")

    assert tell(story).work.ran == []


def test_the_pager_can_be_left_away(tell: Tell) -> None:
    async def story(person: Person) -> None:
        await person.run("flood 500")
        assert "line 499" in person.screen()

    assert "1049h" not in tell(story, pager=False).window.getvalue()


@pytest.mark.parametrize(
    ("wanted", "own", "other"), [("all", 1, 1), ("others", 0, 1), ("none", 0, 0)]
)
def test_events_show_as_wished(tell: Tell, wanted: str, own: int, other: int) -> None:
    async def story(person: Person) -> None:
        person.machine.cont()
        await asyncio.sleep(0.05)
        await person.run("stop")
        assert person.screen().count(" RESUME") == other
        assert person.screen().count(" STOP") == own

    tell(story, events=wanted)


def test_an_event_leaves_the_line_whole(tell: Tell) -> None:
    async def story(person: Person) -> None:
        person.type("note ab")
        await person.sees("note ab")
        for number in range(40):
            person.machine.events.emit("EVENT", number=number)
        person.type("c")
        await person.until(lambda: person.line() == "(qemu) note abc")
        for line in person.screen().splitlines()[:-1]:
            assert " EVENT number=" in line
        person.type("\r")
        await person.sees("noted abc")

    tell(story)


def test_a_complaint_from_the_depths_leaves_the_line_whole(tell: Tell) -> None:
    async def story(person: Person) -> None:
        assert person.machine.console is not None
        person.type("note ab")
        await person.sees("note ab")
        person.machine.console("hmp: a warning")
        await person.until(
            lambda: person.screen().splitlines()[-2:] == ["hmp: a warning", "(qemu) note ab"]
        )

    assert tell(story).machine.console is None
