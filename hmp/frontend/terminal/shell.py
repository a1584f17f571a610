"""The rich front end: prompt_toolkit's line, over the same monitor as the plain one.

While a line is edited, asyncio turns the machine's main loop; while a command runs, that loop
waits, as everyone waits for a command.  The terminal is in raw mode from the first prompt to the
last, so that Ctrl-C is a key at all times, and what is typed ahead is kept.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.output import create_output

from hmp import __version__
from hmp.errors import Canceled
from hmp.frontend.confirm import question_before
from hmp.frontend.editor import remember
from hmp.frontend.terminal.answers import Fragments, paint
from hmp.frontend.terminal.bar import bar
from hmp.frontend.terminal.completer import LineLexer, MonitorCompleter
from hmp.frontend.terminal.embedding import Embedding
from hmp.frontend.terminal.history import LineHistory, default_path
from hmp.frontend.terminal.keyboard import Keyboard
from hmp.frontend.terminal.keys import make_keys
from hmp.frontend.terminal.pager import make_pager
from hmp.frontend.terminal.progress import Progress
from hmp.frontend.terminal.question import make_question
from hmp.frontend.terminal.screen import Screen
from hmp.frontend.terminal.themes import choose_theme
from hmp.monitor import Monitor
from hmp.reading import Reading, read_line
from hmp.settings import Settings
from machine.events import Event
from machine.loop import Wakeup
from machine.machine import Machine

_PROMPT: Fragments = [("class:prompt", "(qemu) ")]
_GREETING: Fragments = [
    ("class:greeting", "QEMU 7.2.0 monitor - type 'help' for more information\n"),
    ("class:note", f"hmp {__version__} - Tab completes, F1 helps, %lesson teaches, Ctrl-D quits\n"),
]
_QUIT = "\0quit"  # no line that can be typed
_COLOURED = 1 << 18  # characters of an answer that get colours
_DONE = object()
_ROWS_OF_THE_MENU = 8
_ROWS_BESIDE_THE_MENU = 4  # of a screen that is too small for that


class Shell:
    """One person at a terminal.

    Args:
        machine: what they look after.
        make_monitor: makes a monitor of it, whose output goes to the function given.
        settings: what they chose.
        screen: the terminal.
        history: the lines of earlier times.
    """

    def __init__(
        self,
        machine: Machine,
        make_monitor: Callable[[Machine, Callable[[str], object]], Monitor],
        settings: Settings,
        screen: Screen,
        history: LineHistory,
    ) -> None:
        self._machine = machine
        self._settings = settings
        self._screen = screen
        self._history = history
        self._monitor = make_monitor(machine, self._take_answer)
        self._lines: list[str] = []  # for `info history`: those of this time
        self._monitor.history = self._lines
        self._pending: deque[str] = deque()  # lines that were pasted and wait
        self._draft = ""  # what was pasted behind the last of them
        self._answer: list[str] = []  # what the running command has said so far
        self._is_running = False  # a command is
        self._seconds = 0.0  # that the last command took; 0 without one
        self._session = self._make_session()

    def _make_session(self) -> PromptSession[str]:
        settings, theme = self._settings, self._screen.theme
        session: PromptSession[str] = PromptSession(
            list(_PROMPT),
            lexer=LineLexer(self._monitor, settings),
            completer=MonitorCompleter(self._monitor, settings),
            complete_while_typing=settings["menu"] == "typing",
            auto_suggest=AutoSuggestFromHistory() if settings["suggest"] else None,
            history=self._history,
            bottom_toolbar=self._bar if settings["bar"] else None,
            rprompt=self._right_prompt,
            key_bindings=make_keys(self),
            editing_mode=EditingMode.VI if settings["keys"] == "vi" else EditingMode.EMACS,
            mouse_support=bool(settings["mouse"]),
            enable_suspend=True,
            style=theme.style,
            color_depth=theme.depth,
            include_default_pygments_style=False,
            refresh_interval=1.0 if settings["bar"] else 0,
            input=self._screen.input,
            output=self._screen.output,
        )

        def make_room(_app: object) -> None:
            rows = self._screen.rows - _ROWS_BESIDE_THE_MENU
            session.reserve_space_for_menu = max(0, min(rows, _ROWS_OF_THE_MENU))

        session.app.before_render += make_room
        return session

    # --- the course of things

    async def run(self) -> None:
        """Line after line, until the machine is to end."""
        machine = self._machine
        self._embedding = Embedding(machine.loop, self._look_around)
        asyncio.get_running_loop().set_exception_handler(self._take_exception)
        machine.console = self._take_notice
        machine.events.listen(self._take_event)
        try:
            with self._screen.input.raw_mode():
                self._screen.write(_GREETING)
                while not machine.shutdown_requested:
                    line = await self._next_line()
                    if line == _QUIT:
                        await self._quit()
                    elif line:
                        await self._run_line(line)
        except OSError:
            machine.request_shutdown()  # the terminal is gone; nobody is there to be told
        finally:
            machine.events.forget(self._take_event)
            machine.console = None
            self._embedding.close()

    async def _next_line(self) -> str:
        if self._pending:
            return await self._next_pasted_line()
        draft, self._draft = self._draft, ""
        try:
            return await self._screen.lend(
                self._session.app,
                lambda: self._session.prompt_async(
                    default=draft, handle_sigint=False, set_exception_handler=False
                ),
            )
        except EOFError:  # no keys will come any more, or the machine is to end
            self._machine.request_shutdown()
            return ""
        finally:
            self._seconds = 0.0

    async def _next_pasted_line(self) -> str:
        await asyncio.sleep(0)  # others get their turns between two lines
        if self._screen.is_interrupted() or self._screen.is_gone:
            self._give_up_paste()
            return ""
        line = self._pending.popleft()
        self._screen.write([*_PROMPT, ("", f"{line}\n")])
        self._history.append_string(line)
        return line

    def _give_up_paste(self) -> None:
        self._pending.clear()
        self._draft = ""

    async def _quit(self) -> None:
        if not self._settings["confirm.quit"] or await self._ask("Quit?", also_yes="c-d"):
            self._machine.request_shutdown()

    async def _ask(self, text: str, also_yes: str = "") -> bool:
        screen = self._screen
        question = make_question(text, screen, also_yes)
        try:
            return await screen.lend(
                question,
                lambda: question.run_async(handle_sigint=False, set_exception_handler=False),
            )
        except EOFError:
            self._machine.request_shutdown()
            return False

    # --- a command

    async def _run_line(self, line: str) -> None:
        line = self._settings.without_alias(line, self._monitor.commands)
        remember(self._lines, line)
        reading = read_line(self._monitor, line)
        question = question_before(self._machine, reading, self._settings)
        if question and not await self._ask(question):
            return
        started = time.monotonic()
        screen = self._screen
        progress = Progress(
            reading.name, columns=lambda: screen.columns, draw=screen.write, erase=screen.erase_line
        )
        self._is_running = screen.is_busy = True
        try:
            await self._drain(self._monitor.execute(line), progress)
        finally:
            self._is_running = screen.is_busy = False
            progress.hide()
        self._seconds = time.monotonic() - started
        await self._show_answer(reading)
        screen.release()

    async def _drain(self, work: Iterator[object], progress: Progress) -> None:
        """Step a command to its end; with Ctrl-C it, and what was pasted, is given up."""
        step = next(work, _DONE)
        while step is not _DONE:
            progress.show(step)
            if isinstance(step, Wakeup):  # it waits for somebody, so everyone has to go on
                await self._embedding.turn(0.05)
            else:
                with self._embedding.held():
                    await asyncio.sleep(0)
            step = self._next_step(work, step)
        self._embedding.kick()

    def _next_step(self, work: Iterator[object], step: object) -> object:
        """The step after this one; the same one again while what it waits for hasn't come."""
        if self._screen.is_interrupted() and isinstance(work, Generator):
            self._give_up_paste()
            try:
                return work.throw(Canceled())
            except StopIteration:
                return _DONE
        if isinstance(step, Wakeup) and not step.is_awake:
            return step
        return next(work, _DONE)

    # --- what is shown

    def _take_answer(self, text: str) -> None:
        """Take the monitor's output."""
        if self._is_running:
            self._answer.append(text)
        else:
            self._screen.write_between(paint("", text))

    async def _show_answer(self, reading: Reading) -> None:
        text, self._answer = "".join(self._answer), []
        if not text:
            return
        screen = self._screen
        if screen.is_gone:
            return
        if not text.endswith("\n"):
            text += "\n"
        fragments = paint(reading.name, text) if len(text) <= _COLOURED else [("", text)]
        if not self._settings["pager"] or self._pending or screen.has_room_for(text):
            screen.write(fragments)
            return
        pager = make_pager(fragments, screen)
        try:
            await screen.lend(
                pager, lambda: pager.run_async(handle_sigint=False, set_exception_handler=False)
            )
        except EOFError:
            self._machine.request_shutdown()

    def _take_notice(self, text: str) -> None:
        """Take a line that would have gone to stderr."""
        if self._is_running:
            self._answer.append(f"{text}\n")
        else:
            self._screen.write_between([("class:event", f"{text}\n")])

    def _take_event(self, event: Event) -> None:
        wanted = self._settings["events"]
        if wanted == "all" or (wanted == "others" and not self._is_running):
            data = "".join(f" {key}={value}" for key, value in event.data.items())
            clock = time.strftime("%H:%M:%S")
            self._screen.write_between([("class:event", f"{clock} {event.name}{data}\n")])
        self._screen.refresh()

    def _look_around(self) -> None:
        """The main loop has turned: see whether that was the last time."""
        if self._machine.shutdown_requested:
            self._screen.dismiss()

    def _bar(self) -> StyleAndTextTuples:
        mode = ""
        if self._settings["keys"] == "vi":
            mode = get_app().vi_state.input_mode.value.removeprefix("vi-")
        return list(bar(self._machine, self._screen.columns, mode))

    def _right_prompt(self) -> StyleAndTextTuples:
        if not self._seconds or self._seconds * 1000 < self._settings.number("slow_ms"):
            return []
        return [("class:note", f"{self._seconds:.2f} s")]

    def _take_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Something went wrong in a callback, where nobody could catch it."""
        error = context.get("exception")
        if isinstance(error, (OSError, EOFError)):
            self._machine.request_shutdown()  # the terminal is gone
            self._screen.dismiss()
        elif isinstance(error, Exception):
            try:
                raise error
            except Exception:
                self._machine.log_exception()

    # --- what keys do: `hmp.frontend.terminal.keys.KeyTarget`

    def ask_to_quit(self) -> None:
        """Leave the line to ask."""
        get_app().exit(result=_QUIT)

    def take_lines(self, lines: list[str], draft: str) -> None:
        """Run these after the present one; then go on with a line that begins with the draft."""
        self._pending.extend(lines)
        self._draft = draft

    def print_help_on(self, before: str) -> None:
        """Show the help of the command, or topic, whose name or arguments the text ends in."""
        reading = read_line(self._monitor, before)
        path = reading.path
        if not path and (words := before.split()[:-1]):
            path = read_line(self._monitor, " ".join(words)).path
        text = "F1 on a word shows its help; help lists all commands."
        if path:
            text = path[-1].help_line("".join(f"{command.names[0]} " for command in path[:-1]))
        self._screen.write_between(paint("help", f"{text}\n"))


def run_shell(
    machine: Machine,
    make_monitor: Callable[[Machine, Callable[[str], object]], Monitor],
    settings: Settings,
) -> None:
    """Let the person at standard input and output look after a machine, to its end."""
    # A stream that nobody closes: when the terminal is gone, that fails, and Python's exit status
    # would tell it if it were sys.stdout.
    stdout = open(1, "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115  see above
    with create_app_session(input=Keyboard(sys.stdin), output=create_output(stdout)) as session:
        screen = Screen(session.input, session.output, choose_theme(settings))
        history = LineHistory(default_path(), settings.number("history_size"), machine.complain)
        asyncio.run(Shell(machine, make_monitor, settings, screen, history).run())
