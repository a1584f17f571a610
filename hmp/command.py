"""One row of the monitor's table: a command, what it takes, and what runs it."""

from __future__ import annotations

from hmp.arguments import Argument, parse_args_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from machine.machine import Machine

    Handler = Callable[..., Iterator[object] | None]
    Completer = Callable[[Machine, Sequence[str]], "Completion"]


class Completion:
    """What Tab offers at the end of a line.

    Attributes:
        candidates: whole words, unsorted, maybe repeated.
        typed_size: how many bytes of each of them are typed already.
        complaint: what QEMU prints aside instead of offering anything; empty for nothing.
    """

    __slots__ = ("candidates", "complaint", "typed_size")

    def __init__(
        self, candidates: Iterable[str] = (), *, typed_size: int = 0, complaint: str = ""
    ) -> None:
        self.candidates = list(candidates)
        self.typed_size = typed_size
        self.complaint = complaint

    @classmethod
    def of(cls, prefix: str, words: Iterable[str]) -> Completion:
        """Those of ``words`` that begin with ``prefix``, which is what was typed."""
        return cls(
            [word for word in words if word.startswith(prefix)],
            typed_size=len(prefix.encode("utf-8", "surrogateescape")),
        )


class Command:
    """A command, or a topic of `info`.

    Attributes:
        name: with its aliases as QEMU spells them (`stop|s`); messages print it whole.
        args_type: what it takes, in the monitor's notation; see `hmp.arguments`.
        params: the words that the help line shows.
        help: what the help line says of it; may have several lines.
        run: ``run(monitor, **arguments)``; a generator where the work can last. It yields how
            far it is, (done, total), while the guest and other monitors wait for it, and a
            `Wakeup` where it waits for somebody, so that they must go on. None for a command
            that QEMU has in a module of its own, which is not loaded.
        sub_table: the commands that may follow this one's name.
        complete: what Tab offers for its arguments, where that does not follow from the
            args_type: takes the machine and the arguments typed so far, of which the last
            is to be completed.
    """

    __slots__ = (
        "_parameters",
        "args_type",
        "complete",
        "help",
        "name",
        "params",
        "run",
        "sub_table",
    )

    def __init__(
        self,
        *,
        name: str,
        args_type: str,
        params: str,
        help: str,
        run: Handler | None,
        sub_table: CommandTable | None = None,
        complete: Completer | None = None,
    ) -> None:
        self.name = name
        self.args_type = args_type
        self.params = params
        self.help = help
        self.run = run
        self.sub_table = sub_table
        self.complete = complete
        self._parameters: tuple[Argument, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return tuple(self.name.split("|"))

    def help_line(self, before: str = "") -> str:
        """What `help` says of it.

        Args:
            before: what stands before a topic's name, such as ``info ``.
        """
        return f"{before}{self.name} {self.params} -- {self.help}"

    @property
    def parameters(self) -> tuple[Argument, ...]:
        """What the args_type says, parsed when first asked for: there are many rows."""
        if self._parameters is None:
            self._parameters = parse_args_type(self.args_type)
        return self._parameters


class CommandTable:
    """Commands by name; walked, they come in the order of `help`.

    Args:
        rows: the commands.
        aside: more of them, which are found by name but not walked.
    """

    __slots__ = ("_by_name", "_rows", "aside")

    def __init__(self, rows: Iterable[Command], aside: Iterable[Command] = ()) -> None:
        self._rows = tuple(rows)
        self.aside = tuple(aside)
        self._by_name: dict[str, Command] = {}

    def with_aside(self, rows: Iterable[Command]) -> CommandTable:
        """The same table with more commands aside."""
        return CommandTable(self._rows, (*self.aside, *rows))

    def __iter__(self) -> Iterator[Command]:
        return iter(sorted(self._rows, key=lambda row: row.name))

    def find(self, name: str) -> Command | None:
        """The command of exactly this name or alias."""
        if not self._by_name:
            rows = (*self._rows, *self.aside)
            self._by_name = {alias: row for row in rows for alias in row.names}
        return self._by_name.get(name)
