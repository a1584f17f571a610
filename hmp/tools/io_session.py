"""What the commands of qemu-io have in common: their rows, and the session they run in."""

from __future__ import annotations

from hmp.tools.dump import dump_lines, transfer_text
from hmp.tools.io_words import Options, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from hmp.tools.io_target import IoTarget


class IoCommand:
    """One command.

    Args:
        name: as `help` shows it.
        help: what it does, in a line.
        run: given the session and the words, the first of which is the command's name; tells
            whether all went well.
        alias: another name; "" for none.
        arguments: its syntax; None where QEMU shows none.
        least: how many words it needs.
        most: how many it takes; None: any number.
        writes: it needs a medium that can be written, if there is one.
        resizes: it changes the medium's size too.
        failure: what stands before the reason when a node refuses; "" for a command that
            reports the node's own words instead.
        is_asynchronous: a refusal is only seen after the command, which therefore succeeds.
    """

    __slots__ = (
        "alias",
        "arguments",
        "failure",
        "help",
        "is_asynchronous",
        "least",
        "most",
        "name",
        "resizes",
        "run",
        "writes",
    )

    def __init__(
        self,
        *,
        name: str,
        help: str,
        run: Callable[[IoSession, Sequence[str]], bool],
        alias: str = "",
        arguments: str | None = None,
        least: int = 0,
        most: int | None = 0,
        writes: bool = False,
        resizes: bool = False,
        failure: str = "",
        is_asynchronous: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.run = run
        self.alias = alias
        self.arguments = arguments
        self.least = least
        self.most = most
        self.writes = writes
        self.resizes = resizes
        self.failure = failure
        self.is_asynchronous = is_asynchronous

    def syntax(self, name: str) -> str:
        """The line that tells how it is used, under the name it was called by."""
        words = name if self.arguments is None else f"{name} {self.arguments}"
        return f"{words} -- {self.help}\n"

    def takes(self, count: int) -> bool:
        """Whether so many words may follow its name."""
        return self.least <= count and (self.most is None or count <= self.most)

    @property
    def expected(self) -> str:
        """How many words may follow its name, for people."""
        if self.most is None:
            return f"at least {self.least}"
        if self.least == self.most:
            return str(self.least)
        return f"between {self.least} and {self.most}"


class IoSession:
    """Where a command runs; the parameters are those of `hmp.tools.io.run`."""

    def __init__(
        self,
        target: IoTarget,
        *,
        write: Callable[[str], object],
        complain: Callable[[str], object],
        report: Callable[[str], object],
        commands: Sequence[IoCommand],
        clock_ns: Callable[[], int],
        sleep: Callable[[float], object],
    ) -> None:
        self.target = target
        self.write = write
        self.complain = complain
        self.report = report
        self.commands = commands
        self.clock_ns = clock_ns
        self.sleep = sleep

    def find(self, name: str) -> IoCommand | None:
        """The command of this name or alias."""
        for command in self.commands:
            if name in (command.name, command.alias):
                return command
        return None

    def size(self, text: str) -> int:
        """An offset or a length that was typed."""
        return size(text, self.report)

    def options(
        self, words: Sequence[str], letters: str, **meanings: Callable[[str], Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """The options that were given, with their values, and the operands.

        Args:
            letters: as for `Options`.
            meanings: what makes a value of an option's text; for the others it's the text.
        """
        options = Options(words, letters, self.complain)
        given = {letter: meanings.get(letter, str)(text) for letter, text in options}
        return given, options.operands

    def read(
        self,
        offset: int,
        length: int,
        pieces: Iterable[bytes],
        given: dict[str, Any],
        *,
        compared: range | None = None,
    ) -> bool:
        """Read, compare with a pattern (`P`), dump (`v`), and say what was done.

        Args:
            pieces: the bytes, read as they are asked for.
            compared: which of them to compare; None for all.

        Returns:
            Whether the pattern was right.
        """
        if compared is None:
            compared = range(length)
        is_dumped = "v" in given and "q" not in given
        dumped: list[bytes] = []
        is_right = True
        position = 0
        start_ns = self.clock_ns()
        for piece in pieces:
            if is_dumped:
                dumped.append(piece)
            if "P" in given:
                part = piece[max(compared.start - position, 0) : max(compared.stop - position, 0)]
                is_right = is_right and part.count(given["P"]) == len(part)
            position += len(piece)
        elapsed_ns = self.clock_ns() - start_ns
        if not is_right:
            place = f"offset {offset + compared.start}, {len(compared)} bytes"
            self.write(f"Pattern verification failed at {place}\n")
        position = offset
        for piece in dumped:
            self.write("".join(dump_lines(piece, position)))
            position += len(piece)
        self.show("read", offset, length, elapsed_ns, given)
        return is_right

    def change(
        self, verb: str, offset: int, length: int, change: Callable[[], None], given: dict[str, Any]
    ) -> None:
        """Change the medium, and say what was done."""
        start_ns = self.clock_ns()
        change()
        self.show(verb, offset, length, self.clock_ns() - start_ns, given)

    def show(
        self, verb: str, offset: int, length: int, elapsed_ns: int, given: dict[str, Any]
    ) -> None:
        """Say what was done and how fast, in one line (`C`) or two, unless quiet (`q`)."""
        if "q" not in given:
            self.write(transfer_text(verb, offset, length, elapsed_ns, terse="C" in given))
