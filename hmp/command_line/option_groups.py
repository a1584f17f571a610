"""The groups of QEMU's options: which keys each takes, and what their values may be.

`option_groups.tsv` has a line for each group, with the key of a first value that has none, and
below it an indented line for each key: its kind, with ``=`` what it is by itself, and its help.
All of QEMU's are there, whether they are simulated or not: QMP is asked what this QEMU has.

Source: what `query-command-line-options` of QEMU 7.2 answers.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from blockdev.errors import QemuError
from hmp.command_line.option_list import BadIdentifier, is_identifier, parse_options
from hmp.command_line.option_values import HelpAnswer, about, on_off
from hmp.command_line.options import Option
from hmp.scanner import Scanner
from hmp.size import SIZE_HINT, read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BOOLEAN, NUMBER, SIZE, STRING = "boolean", "number", "size", "string"
_HELP_WORDS = ("help", "?")
_SHOWN = {BOOLEAN: "<bool (on/off)>", NUMBER: "<num>", SIZE: "<size>", STRING: "<str>"}
_HELP_COLUMN = 24


class Key:
    """What one key of a group takes.

    Attributes:
        kind: `BOOLEAN`, `NUMBER`, `SIZE` or `STRING`.
        default: what it is by itself; None where nothing is said of that.
        help: what it is for; None where nothing is said of that.
    """

    __slots__ = ("default", "help", "kind", "name")

    def __init__(self, name: str, kind: str, default: str | None, text: str | None) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.help = text

    def check(self, value: str) -> None:
        """Raises: QemuError: the value is of another kind."""
        if self.kind == BOOLEAN:
            on_off(self.name, value)
        elif self.kind == NUMBER and read_number(value) is None:
            raise QemuError(f"Parameter '{self.name}' expects a number")
        elif self.kind == SIZE:
            scanner = Scanner(value)
            if read_size(scanner, "b") is None or not scanner.at_end:
                raise QemuError(f"Parameter '{self.name}' {SIZE_HINT}")

    def value(self) -> dict[str, str]:
        """What QMP tells of it."""
        told = {"help": self.help, "default": self.default}
        given = {name: text for name, text in told.items() if text is not None}
        return {"name": self.name, "type": self.kind, **given}

    def describe(self) -> str:
        head = f"  {self.name}={_SHOWN[self.kind]}"
        if self.help is None:
            return head
        shown = f"{head:<{_HELP_COLUMN}} - {self.help}"
        return shown if self.default is None else f"{shown} (default: {self.default})"


class OptionGroup:
    """The keys of one group; one without any takes all, as what they mean is said elsewhere.

    Attributes:
        implied_key: of a first value that has none; "" where it needs one.
        keys: in QEMU's order.
    """

    __slots__ = ("implied_key", "keys", "name")

    def __init__(self, name: str, implied_key: str) -> None:
        self.name = name
        self.implied_key = implied_key
        self.keys: list[Key] = []

    def read(self, option: Option, warn: Callable[[str], object]) -> dict[str, str]:
        """The values of an option, checked; of a key given twice the later one.

        Args:
            option: where they stand.
            warn: takes what is to be warned of.

        Raises:
            HelpAnswer: the option asks for help.
            QemuError: there is no such key, or its value is of another kind.
        """
        pairs = parse_options(
            option.value, self.implied_key, lambda text: warn(f"{option.text}: warning: {text}")
        )
        keys = {key.name: key for key in self.keys}
        found: dict[str, str] = {}
        for name, value in pairs:
            if name == "id":
                if not is_identifier(value):
                    raise about(option, BadIdentifier())
                found.setdefault(name, value)  # of ids the first counts
                continue
            if name in _HELP_WORDS and name not in keys:
                raise HelpAnswer(self.describe(), status=1)
            if keys and name not in keys:
                raise about(option, QemuError(f"Invalid parameter '{name}'"))
            if keys:
                try:
                    keys[name].check(value)
                except QemuError as error:
                    raise about(option, error) from error
            found[name] = value
        return found

    def describe(self) -> str:
        return "\n".join([f"{self.name} options:", *sorted(key.describe() for key in self.keys)])


def read_number(text: str) -> int | None:
    """A number as C reads one with its base left open; None for anything else.

    One below zero is what is left of it in 64 bits.
    """
    digits = text.lstrip()
    sign = digits[:1] if digits[:1] in ("-", "+") else ""
    digits = digits[len(sign) :]
    base = 16 if digits[:2].lower() == "0x" else 8 if digits[:1] == "0" else 10
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        number = int(digits, base)
    except ValueError:
        return None
    if number >= 1 << 64:
        return None
    return -number % (1 << 64) if sign == "-" else number


@cache
def option_groups() -> dict[str, OptionGroup]:
    """All groups, by name, in QEMU's order."""
    groups: dict[str, OptionGroup] = {}
    for line in (
        files("hmp.command_line").joinpath("option_groups.tsv").read_text("utf-8").splitlines()
    ):
        name, *rest = line.split("\t")
        if name or len(rest) < 2:
            group = groups[name] = OptionGroup(name, rest[0])
            continue
        key, kind, *text = rest
        kind, equals, default = kind.partition("=")
        help_text = text[0].replace("\\n", "\n").replace('\\"', '"') if text else None
        group.keys.append(Key(key, kind, default if equals else None, help_text))
    return groups
