"""The letters of an args_type: one class each, with all that the letter means.

An args_type is the monitor's own notation for what a command takes: `force:-f,device:B` is
an option `-f`, called force, and then a block device, called device. Each class here says
what its letter accepts, what is said when it does not, and what Tab offers.
"""

from __future__ import annotations

import os
import stat

from hmp.command_line.option_list import BadIdentifier, is_identifier, parse_options
from hmp.errors import UsageError, WordError
from hmp.expression import evaluate
from hmp.scanner import BLANKS, Scanner
from hmp.size import read_size
from machine.identifiers import block_device_names, option_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hmp.monitor import Monitor
    from machine.machine import Machine

_MIB = 1 << 20
_LARGEST_INTEGER = 2**63 - 1
_DIGITS = "0123456789"
_GRAPHIC = "".join(map(chr, range(0x21, 0x7F)))

# The key that goes without saying, by the name of the options' group.
_IMPLIED_KEYS = {"device": "driver", "netdev": "type"}
_TIME_UNITS = {"ms": 1e3, "us": 1e6, "ns": 1e9}
_FORMAT_LETTERS = "oduxic"
_FORMAT_SIZES = {"b": 1, "h": 2, "w": 4, "g": 8, "L": 8}


class Argument:
    """One entry of an args_type: ``name:s?``.

    Attributes:
        name: as the args_type spells it.
        keyword: what the handler calls it: the name as an identifier.
        kind: what follows the colon.
        is_optional: may be missing; the handler is then given None.
    """

    letter = ""
    __slots__ = ("is_optional", "keyword", "kind", "name")

    def __init__(self, name: str, kind: str, rest: str) -> None:
        self.name = name
        self.keyword = name.replace("-", "_")
        self.kind = kind
        self.is_optional = kind.endswith("?")

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> Any:
        """What the line has for this argument.

        Args:
            scanner: stands behind the arguments before.
            command: the command's name, aliases too, for messages.
            monitor: what the value may depend on: registers, and formats used before.

        Raises:
            UsageError: what is there does not fit, or nothing is.
        """
        raise NotImplementedError

    def complete(self, prefix: str, machine: Machine) -> Iterable[str]:
        """Words that Tab may offer; of these, it takes those that begin with ``prefix``."""
        return ()

    def may_become_right(self, text: str) -> bool:
        """Whether ``text``, which was refused, may only be the beginning of what fits."""
        return True


class Text(Argument):
    """``s``: a word, or text in double quotes."""

    letter = "s"
    expected = "string"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> str | None:
        scanner.skip_blanks()
        if self.is_optional and scanner.at_end:
            return None
        return read_word(scanner, f"{command}: {self.expected} expected")


class BlockDevice(Text):
    """``B``: the name of a block device of this machine."""

    letter = "B"
    expected = "block device name"
    __slots__ = ()

    def complete(self, prefix: str, machine: Machine) -> Iterable[str]:
        return block_device_names(machine)


class FileName(Text):
    """``F``: the name of a file."""

    letter = "F"
    expected = "filename"
    __slots__ = ()

    def complete(self, prefix: str, machine: Machine) -> Iterable[str]:
        return file_names(prefix)


class Rest(Argument):
    """``S``: the rest of the line as it is, quotes too."""

    letter = "S"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> str | None:
        scanner.skip_blanks()
        rest = scanner.text[scanner.position :]
        if not rest:
            if self.is_optional:
                return None
            raise UsageError(f"{command}: string expected")
        scanner.position = len(scanner.text)
        return scanner.show(rest)


class Options(Argument):
    """``O``: a list of options; its name says of which kind, and so what its first key is."""

    letter = "O"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> dict[str, str]:
        scanner.skip_blanks()
        if scanner.at_end:
            return {}
        text = read_word(scanner, "")
        machine = monitor.machine
        pairs = parse_options(
            text, _IMPLIED_KEYS[self.name], lambda warning: machine.report(f"warning: {warning}")
        )
        # The first ID is the one that is checked and kept; else the last of a key counts.
        identifier = next((value for key, value in pairs if key == "id"), None)
        options = dict(pairs)
        if identifier is not None:
            self._check_identifier(identifier, machine)
            options["id"] = identifier
        return options

    def _check_identifier(self, identifier: str, machine: Machine) -> None:
        """QEMU's option parser says these on standard error, the monitor only where help is."""
        if not is_identifier(identifier):
            machine.report(str(BadIdentifier()))
        elif identifier in option_ids(machine, self.name):
            machine.report(f"Duplicate ID '{identifier}' for {self.name}")
        else:
            return
        raise UsageError("")


class Long(Argument):
    """``l``: an expression, 64 bits; with a `.` behind, one that must follow a `.`."""

    letter = "l"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> int | None:
        scanner.skip_blanks()
        if self.is_optional and scanner.at_end:
            return None
        if self.kind.endswith("."):
            if scanner.peek() != ".":
                return None
            scanner.position += 1
            scanner.skip_blanks()
        return self.check(evaluate(scanner, monitor.register), command)

    def check(self, value: int, command: str) -> int:
        return value


class Integer(Long):
    """``i``: an expression that fits 32 bits without sign."""

    letter = "i"
    __slots__ = ()

    def check(self, value: int, command: str) -> int:
        if value >> 32:
            raise UsageError(f"'{command}' has failed: integer is for 32-bit values")
        return value


class Mebibytes(Long):
    """``M``: an expression in MiB; the value is in bytes."""

    letter = "M"
    __slots__ = ()

    def check(self, value: int, command: str) -> int:
        if value < 0:
            raise UsageError("enter a positive value")
        value = value * _MIB & (1 << 64) - 1
        return value - (1 << 64) if value > _LARGEST_INTEGER else value


class ByteSize(Argument):
    """``o``: a size such as `64k` or `1.5G`, MiB without suffix; the value is in bytes."""

    letter = "o"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> int | None:
        scanner.skip_blanks()
        if self.is_optional and scanner.at_end:
            return None
        start = scanner.position
        size = read_size(scanner, "M")
        if size is None:
            raise UsageError("invalid size")
        if size.is_scaled_hexadecimal:
            monitor.machine.report(
                "warning: Using a multiplier suffix on hex numbers is deprecated: "
                + scanner.show(scanner.text[start:])
            )
        if size.value > _LARGEST_INTEGER:
            raise UsageError("invalid size")
        return size.value


class Duration(Argument):
    """``T``: a number of seconds; with `ms`, `us` or `ns` behind, of those."""

    letter = "T"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> float | None:
        scanner.skip_blanks()
        if self.is_optional and scanner.at_end:
            return None
        number = scanner.take_while("+-") + scanner.take_while(_DIGITS + ".")
        try:
            value = float(number)
        except ValueError:
            raise UsageError("Number expected") from None
        unit = scanner.text[scanner.position : scanner.position + 2]
        if unit in _TIME_UNITS:
            scanner.position += 2
            value /= _TIME_UNITS[unit]
        if scanner.bare_word():
            raise UsageError("Unknown unit suffix")
        return value


class Switch(Argument):
    """``b``: `on` or `off`, exactly."""

    letter = "b"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> bool:
        scanner.skip_blanks()
        word = scanner.take_while(_GRAPHIC)
        if word not in ("on", "off"):
            raise UsageError("Expected 'on' or 'off'")
        return word == "on"

    def may_become_right(self, text: str) -> bool:
        return "on".startswith(text) or "off".startswith(text)


class Flag(Argument):
    """``-x``: an option; with ``-xs`` it is followed by a string.

    The handler is given whether it was there, or its string, or None.

    Attributes:
        option: the letter behind the dash.
        rest: what the args_type has behind this entry. An unknown option is only noticed when
            it does not occur in there; QEMU searches the bare text, so the names count too.
    """

    letter = "-"
    __slots__ = ("option", "rest", "takes_value")

    def __init__(self, name: str, kind: str, rest: str) -> None:
        super().__init__(name, kind, rest)
        self.option = kind[1]
        self.takes_value = kind[2:] == "s"
        self.rest = rest

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> bool | str | None:
        missing = None if self.takes_value else False
        scanner.skip_blanks()
        if scanner.peek() != "-":
            return missing
        letter = scanner.text[scanner.position + 1 : scanner.position + 2]
        if letter != self.option:
            if f"-{letter}" in self.rest:
                return missing
            # A dash that ends the line makes QEMU print a NUL, which ends the message early.
            raise UsageError(
                f"{command}: unsupported option -{scanner.show(letter)}",
                line_end="\n" if letter else "",
            )
        scanner.position += 2
        if self.takes_value:
            return read_word(scanner, f"{command}: value expected for -{letter}")
        return True


class Format:
    """How a number or memory is shown: `/4xw`.

    Attributes:
        count: how many values; 32 bits with sign, as QEMU counts them.
        letter: one of `x d u o c i`.
        size: bytes of a value: 1, 2, 4 or 8; -1 when instructions are shown (`i`).
    """

    __slots__ = ("count", "letter", "size")

    def __init__(self, count: int, letter: str, size: int) -> None:
        self.count = count
        self.letter = letter
        self.size = size


class FormatMemory:
    """The format letter and size that count for the next command that names none."""

    __slots__ = ("letter", "size")

    def __init__(self, letter: str = "x", size: int = 4) -> None:
        self.letter = letter
        self.size = size

    def copy(self) -> FormatMemory:
        return FormatMemory(self.letter, self.size)


class FormatArgument(Argument):
    """``/``: `/` count, letter and size, all optional; what is missing is as it was last."""

    letter = "/"
    __slots__ = ()

    def read(self, scanner: Scanner, command: str, monitor: Monitor) -> Format:
        memory = monitor.formats
        count, letter, size = 1, "", 0
        scanner.skip_blanks()
        if scanner.peek() == "/":
            scanner.position += 1
            digits = scanner.take_while(_DIGITS)
            if digits:
                # The lowest 32 bits count; of very many digits the last ones decide them.
                count = int(digits[-32:]) & 0xFFFFFFFF
                count -= (count >> 31) << 32
            for following in scanner.take_while(_FORMAT_LETTERS + "".join(_FORMAT_SIZES)):
                if following in _FORMAT_SIZES:
                    size = _FORMAT_SIZES[following]
                else:
                    letter = following
            following = scanner.peek()
            if following and following not in BLANKS:
                raise UsageError(f"invalid char in format: '{scanner.show(following)}'")
            memory.letter = letter or memory.letter
            if memory.letter != "i" and size:
                memory.size = size
        letter = memory.letter
        if letter == "i":
            return Format(count, letter, size or -1)
        return Format(count, letter, memory.size)


ARG_TYPES: dict[str, type[Argument]] = {
    argument.letter: argument
    for argument in (
        BlockDevice,
        FileName,
        Text,
        Rest,
        Options,
        Integer,
        Long,
        Mebibytes,
        ByteSize,
        Duration,
        Switch,
        Flag,
        FormatArgument,
    )
}


def parse_args_type(args_type: str) -> tuple[Argument, ...]:
    """The arguments that an args_type stands for, in order."""
    arguments = []
    rest = args_type
    while rest:
        entry, _, rest = rest.partition(",")
        name, _, kind = entry.partition(":")
        arguments.append(ARG_TYPES[kind[0]](name, kind, rest))
    return tuple(arguments)


def read_word(scanner: Scanner, complaint: str) -> str:
    """A word that has to be there.

    Raises:
        UsageError: of the text ``complaint``, when there is none, or one that is not closed.
    """
    try:
        word = scanner.word()
    except WordError as error:
        raise UsageError(complaint, aside=str(error)) from error
    if word is None:
        raise UsageError(complaint)
    return word


def file_names(prefix: str) -> list[str]:
    """The paths that begin with ``prefix``; a folder ends with a slash."""
    folder, slash, start = prefix.rpartition("/")
    try:
        names = os.listdir(folder + slash or ".")
    except (OSError, ValueError):  # ValueError: what was typed has a NUL
        return []
    return [
        path + "/" if _is_folder(path) else path
        for path in (folder + slash + name for name in names if name.startswith(start))
    ]


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False
