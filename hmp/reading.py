"""What a typed line says: the command it names, and a value for each of its arguments.

`find_command` and `read_arguments` are the monitor's own way through a line; `read_line` goes it
without running anything, for whoever wants to know beforehand what a line would do.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.errors import UsageError
from hmp.scanner import Scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.command import Command, CommandTable
    from hmp.monitor import Monitor


class UnknownCommandError(QemuError):
    """No command of this name; printed bare.

    Attributes:
        table: where there is none.
        start: the byte of the line at which the name begins.
    """

    def __init__(self, typed: str, table: CommandTable, start: int) -> None:
        super().__init__(f"unknown command: '{typed}'")
        self.table = table
        self.start = start


class Reading:
    """What a line says.

    Attributes:
        path: the command, after those whose topic it is; empty when none is named.
        arguments: values by keyword; None when the line can't be run.
        fault: why it can't; empty for none.
        fault_start: the character at which what doesn't fit begins.
        is_unfinished: it can't be run as it is, but could be if one went on typing.
    """

    __slots__ = ("arguments", "fault", "fault_start", "is_unfinished", "path")

    def __init__(
        self, path: tuple[Command, ...] = (), arguments: dict[str, Any] | None = None
    ) -> None:
        self.path = path
        self.arguments = arguments
        self.fault = ""
        self.fault_start = 0
        self.is_unfinished = False

    @property
    def name(self) -> str:
        """The command without aliases: `info block`."""
        return " ".join(command.names[0] for command in self.path)


def find_command(table: CommandTable, scanner: Scanner) -> tuple[Command, ...]:
    """The command a line names, after the commands whose topic it is; empty for a blank line.

    Raises:
        UnknownCommandError: there is none of that name.
    """
    path: tuple[Command, ...] = ()
    level: CommandTable | None = table
    while level is not None:
        name = scanner.command_name()
        if not name and scanner.at_end:
            break
        command = level.find(name)
        if command is None:
            typed = scanner.show(scanner.text[: scanner.position])
            raise UnknownCommandError(typed, level, scanner.position - len(name))
        path += (command,)
        level = command.sub_table
        scanner.skip_blanks()
    return path


def read_arguments(
    command: Command, scanner: Scanner, monitor: Monitor, starts: list[int] | None = None
) -> dict[str, Any]:
    """A value for each parameter of a command.

    Args:
        command: whose they are.
        scanner: stands behind the command's name.
        monitor: what values may depend on.
        starts: is given where each argument begins, as far as the scanner comes.

    Raises:
        UsageError: what is there doesn't fit.
    """
    values: dict[str, Any] = {}
    for parameter in command.parameters:
        scanner.skip_blanks()
        if starts is not None:
            starts.append(scanner.position)
        values[parameter.keyword] = parameter.read(scanner, command.name, monitor)
    scanner.skip_blanks()
    if not scanner.at_end:
        if starts is not None:
            starts.append(scanner.position)
        raise UsageError(f"{command.name}: extraneous characters at the end of line")
    return values


def read_line(monitor: Monitor, line: str) -> Reading:
    """Read a line as the monitor would; nothing is run, said, or remembered."""
    scanner = Scanner(line)
    try:
        path = find_command(monitor.commands, scanner)
    except UnknownCommandError as error:
        return _unknown(scanner, error)
    if not path:
        return Reading()
    if path[-1].run is None:
        reading = Reading(path)
        reading.fault = "the command is not available"
        return reading
    starts: list[int] = []
    machine, formats = monitor.machine, monitor.formats
    previous_reporter = machine.reporter
    machine.reporter, monitor.formats = _hear_nothing, formats.copy()
    try:
        return Reading(path, read_arguments(path[-1], scanner, monitor, starts))
    except UsageError as error:
        reading = Reading(path)
        reading.fault = str(error) or error.aside
        reading.fault_start = len(scanner.show(scanner.text[: starts[-1]]))
        reading.is_unfinished = error.aside == "unterminated string" or (
            scanner.at_end and _may_go_on(path[-1], scanner, starts)
        )
        return reading
    finally:
        machine.reporter, monitor.formats = previous_reporter, formats


def _may_go_on(command: Command, scanner: Scanner, starts: list[int]) -> bool:
    """Whether the argument at which reading ended could still become one."""
    if len(starts) > len(command.parameters):
        return False
    return command.parameters[len(starts) - 1].may_become_right(scanner.text[starts[-1] :])


def _unknown(scanner: Scanner, error: UnknownCommandError) -> Reading:
    """A line whose command, or topic, there is not: the last word that was looked up."""
    word = scanner.text[error.start : scanner.position]
    reading = Reading()
    reading.fault = str(error)
    reading.fault_start = len(scanner.show(scanner.text[: error.start]))
    reading.is_unfinished = scanner.at_end and any(
        name.startswith(word) for row in error.table for name in row.names
    )
    return reading


def _hear_nothing(_line: str) -> None:
    pass
