"""The words after a subcommand of hmp-img, taken apart as the C library does it."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class UsageError(QemuError):
    """The words don't fit the command; a pointer to the help follows."""


def split_words(
    words: Sequence[str], letters: str, names: Sequence[str] = ()
) -> tuple[list[tuple[str, str]], list[str]]:
    """Part options from operands, wherever they stand; ``--`` ends the options.

    Args:
        letters: the short options; a colon behind those that want a value.
        names: the long ones, ``=`` behind those that want a value; their beginnings will do
            where only one begins so.

    Returns:
        The options in order, each as the word that the table has for it (``-f``, ``--json``)
        and its value; and the operands.

    Raises:
        UsageError: in qemu-img's words.
    """
    options: list[tuple[str, str]] = []
    operands: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            operands += left
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            found = _long_option(name, word, names)
            if found.endswith("="):
                if not equals:
                    value = _value(left, word)
            elif equals:
                raise UsageError(f"unrecognized option '{word}'")
            options.append((f"--{found.removesuffix('=')}", value))
        elif word.startswith("-") and word != "-":
            cluster = word[1:]
            while cluster:
                letter, cluster = cluster[0], cluster[1:]
                if letter == ":" or letter not in letters:
                    raise UsageError(f"unrecognized option '{word}'")
                if letters[letters.index(letter) + 1 :].startswith(":"):
                    options.append((f"-{letter}", cluster or _value(left, word)))
                    break
                options.append((f"-{letter}", ""))
        else:
            operands.append(word)
    return options, operands


def _long_option(name: str, word: str, names: Sequence[str]) -> str:
    exact = [known for known in names if known.removesuffix("=") == name]
    found = exact or [known for known in names if known.startswith(name)]
    if len(found) != 1:
        raise UsageError(f"unrecognized option '{word}'")
    return found[0]


def _value(left: list[str], word: str) -> str:
    if not left:
        raise UsageError(f"missing argument for option '{word}'")
    return left.pop(0)
