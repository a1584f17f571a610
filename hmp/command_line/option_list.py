"""Lists of options: `virtio-blk-pci,drive=d0,id=disk`.

`key=value` parted by commas; two commas in a value stand for one. The first may come without
its key where the list has one that goes without saying; a later one without value is `on`.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.keyval import read_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_HELP_WORDS = ("help", "?")


def parse_options(
    text: str, implied_key: str, warn: Callable[[str], object]
) -> list[tuple[str, str]]:
    """The options of a list in order, repeated ones too.

    Args:
        text: the list.
        implied_key: the key of a first option that has none; empty where there is no such.
        warn: takes a warning, without the word `warning`; it may have a second line.
    """
    options = []
    position = 0
    while position < len(text):
        mark = position
        while mark < len(text) and text[mark] not in "=,":
            mark += 1
        if text[mark : mark + 1] == "=":
            key = text[position:mark]
            value, position = read_value(text, mark + 1)
        elif implied_key:
            key = implied_key
            value, position = read_value(text, position)
        else:
            key, position = text[position:mark], mark
            value = "on"
            flag = key
            if key.startswith("no"):
                key, value = key[2:], "off"
            if flag not in _HELP_WORDS:
                warn(
                    f"short-form boolean option '{flag}' deprecated\n"
                    f"Please use {key}={value} instead"
                )
        implied_key = ""
        options.append((key, value))
        position += 1  # the comma
    return options


def is_identifier(text: str) -> bool:
    """Whether ``text`` may be an ID: letters, digits, `-`, `.`, `_`, first a letter (ASCII)."""
    return (
        text.isascii()
        and text[:1].isalpha()
        and all(letter.isalnum() or letter in "-._" for letter in text)
    )


class BadIdentifier(QemuError):
    """An ID of characters that an ID may not have."""

    def __init__(self) -> None:
        super().__init__(
            "Parameter 'id' expects an identifier\n"
            "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter."
        )
