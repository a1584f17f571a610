"""The human monitor: a line in, text out."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.arguments import Argument, Flag, FormatMemory
from hmp.command import Command, CommandTable, Completion
from hmp.commands import COMMANDS
from hmp.errors import UsageError, WordError
from hmp.reading import UnknownCommandError, find_command, read_arguments
from hmp.scanner import BLANKS, WORD_COUNT_LIMIT, Scanner, split_words
from machine.descriptors import NamedDescriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from hmp.command import Handler
    from hmp.lab.notebook import Notebook
    from machine.cpu.x86 import X86Cpu
    from machine.machine import Machine


class Failure:
    """A command that failed: its name, and what was said after ``Error: ``."""

    __slots__ = ("name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text


class Monitor:
    """The human monitor.  It holds no terminal, no socket and no clock: a test is a list of lines.

    Attributes:
        machine: what the commands act on.
        history: the lines that were entered, oldest first; the line editor keeps it.
        formats: what `print` and `x` fall back to. QEMU has one for all its monitors.
        aside: takes what QEMU prints on its own standard output, not on the monitor: two
            complaints about quotes. The same as ``write`` unless a front end changes it.
        receive_descriptor: gives a descriptor that came with what was typed last; the front end
            knows where.
        descriptors: those that the user gave names, which are this monitor's only.
        read_password: asks for one on the terminal; None where there is none.
        can_wait: whether a command may make its user wait for a long time; not so over QMP.
        failure: the last command that failed; None for none.
        has_failed: whether the last line could not be carried out.
        running: the command being run, and before it the one whose topic it is.
        notebook: what the words of the lab keep; None for nothing.
        when_done: called after each line; None for nobody.
    """

    def __init__(
        self,
        machine: Machine,
        write: Callable[[str], object],
        commands: CommandTable = COMMANDS,
        formats: FormatMemory | None = None,
    ) -> None:
        self.machine = machine
        self.commands = commands
        self.history: Sequence[str] = ()
        self.formats = formats or FormatMemory()
        self.aside = write
        self.receive_descriptor: Callable[[], int | None] = _receive_nothing
        self.descriptors = NamedDescriptors()
        self.read_password: Callable[[Callable[[str], object]], object] | None = None
        self.can_wait = True
        self.failure: Failure | None = None
        self.has_failed = False
        self.running: tuple[Command, ...] = ()
        self.notebook: Notebook | None = None
        self.when_done: Callable[[], object] | None = None
        self._write = write
        self._cpu_index = 0

    # -- what handlers call

    def print(self, text: str) -> None:
        """Write ``text`` as it is."""
        self._write(text)

    def print_line(self, text: str) -> None:
        self._write(text + "\n")

    @property
    def current_cpu(self) -> X86Cpu | None:
        """The CPU that memory and registers are looked at through; None if there is none."""
        cpus = self.machine.cpus
        for cpu in cpus:
            if cpu.index == self._cpu_index:
                return cpu
        return cpus[0] if cpus else None

    def select_cpu(self, index: int) -> bool:
        """Make a CPU the current one; False if there is none of this index."""
        if not any(cpu.index == index for cpu in self.machine.cpus):
            return False
        self._cpu_index = index
        return True

    def take_descriptor(self, name: str) -> int:
        """A descriptor that the user named; it is the caller's then.

        Raises:
            QemuError: there is none of this name.
        """
        return self.descriptors.take(name)

    def register(self, name: str) -> int | None:
        """The value of the current CPU's register; None if there is no such."""
        cpu = self.current_cpu
        return None if cpu is None else cpu.register(name)

    @property
    def running_name(self) -> str:
        """The running command as one types it, without aliases: `info block`."""
        return " ".join(command.names[0] for command in self.running)

    # -- lines

    def execute(self, line: str) -> Iterator[object]:
        """Run one line; a generator, of which each step may take a while.

        After a step that isn't a `Wakeup` nobody else may touch the machine before the next one.
        Nothing a line can hold makes this raise. What it has to say goes to ``write``.
        """
        self.has_failed = False
        try:
            yield from self._execute(line)
            if self.when_done is not None:
                self.when_done()
        except Exception as error:  # our own mistake, which must not end the monitor
            self.has_failed = True
            self.machine.log_exception()
            text = " ".join(str(error).split())
            self.print_line(f"Error: internal error: {type(error).__name__}: {text}")

    def _execute(self, line: str) -> Iterator[object]:
        machine = self.machine
        machine.trace("handle_hmp_command", f"mon {id(self):#x} cmdline: {line}")
        scanner = Scanner(line)
        try:
            path = find_command(self.commands, scanner)
        except UnknownCommandError as error:
            self.has_failed = True
            self.print_line(str(error))
            return
        if not path:
            return
        typed = scanner.show(scanner.text[: scanner.position])
        if path[-1].run is None:
            self.has_failed = True
            self.print_line(f'Command "{typed}" is not available.')
            return
        try:
            arguments = read_arguments(path[-1], scanner, self)
        except UsageError as error:
            self.has_failed = True
            if error.aside:
                self.aside(error.aside + "\n")
            if text := str(error):
                self.print(text + error.line_end)
            self.print_line(f'Try "help {typed.rstrip(BLANKS)}" for more information')
            return
        yield from self._run(path, path[-1].run, arguments)

    def _run(
        self, path: tuple[Command, ...], run: Handler, arguments: dict[str, Any]
    ) -> Iterator[object]:
        machine = self.machine
        previous = machine.reporter, machine.teller, self.running
        machine.reporter, machine.teller, self.running = self.print_line, self.aside, path
        try:
            work = run(self, **arguments)
            if work is not None:
                yield from work
            # Once a command has answered, nothing about a disk is only in memory.
            machine.settle()
        except QemuError as error:
            self.print_line(f"Error: {error}")
            self.has_failed = True
            self.failure = Failure(self.running_name, str(error))
            self._settle_quietly()
        finally:
            machine.reporter, machine.teller, self.running = previous

    def _settle_quietly(self) -> None:
        """Write back after a failure; what can't be written is tried again with the next line."""
        try:
            self.machine.settle()
        except QemuError:
            return

    # -- help

    def print_help(self, words: Sequence[str]) -> None:
        """The help lines of the command that ``words`` name, or of all there are."""
        table, before = self.commands, ""
        for depth, word in enumerate(words):
            command = table.find(word)
            if command is None:
                self.print_line(f"unknown command: '{' '.join(words[: depth + 1])}'")
                return
            if command.sub_table is None:
                self.print_line(command.help_line(before))
                return
            table, before = command.sub_table, f"{before}{word} "
        for command in table:
            self.print_line(command.help_line(before))

    # -- completion

    def completions(self, line: str) -> list[str]:
        """The words that may stand at the end of ``line``, each whole; changes nothing."""
        return self.completion(line).candidates

    def completion(self, line: str) -> Completion:
        """What Tab offers at the end of ``line``: the text left of the cursor."""
        try:
            words = split_words(line)
        except WordError as error:
            return Completion(complaint=str(error))
        if words is None:
            return Completion()
        if not line or line[-1] in BLANKS:
            if len(words) == WORD_COUNT_LIMIT:
                return Completion()
            words.append("")
        return self._complete_words(self.commands, words)

    def _complete_words(self, table: CommandTable, words: Sequence[str]) -> Completion:
        if len(words) == 1:
            return Completion.of(words[0], [name for row in table for name in row.names])
        command, arguments = table.find(words[0]), words[1:]
        if command is None:
            return Completion()
        if command.sub_table is not None:
            return self._complete_words(command.sub_table, arguments)
        if "help" in command.names:
            return self._complete_words(self.commands, arguments)
        if command.complete is not None:
            return command.complete(self.machine, arguments)
        parameter = _parameter_at(command.parameters, len(arguments) - 1)
        if parameter is None:
            return Completion()
        prefix = arguments[-1]
        return Completion.of(prefix, parameter.complete(prefix, self.machine))


def _receive_nothing() -> int | None:
    """Where no front end passes descriptors on."""
    return None


def _parameter_at(parameters: Sequence[Argument], index: int) -> Argument | None:
    """The parameter that Tab takes the word of number ``index`` for.

    QEMU counts a word for each parameter, options too, then passes over the options that
    follow; words beyond the last parameter are taken for the last.
    """
    if not parameters:
        return None
    index = min(index, len(parameters) - 1)
    while isinstance(parameters[index], Flag) and index < len(parameters) - 1:
        index += 1
    return parameters[index]
