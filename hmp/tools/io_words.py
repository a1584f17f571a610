"""The words of a qemu-io command line: options as getopt takes them, and numbers."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.scanner import BLANKS, Scanner
from hmp.size import read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_DIGITS = {8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_SCALES = tuple("kKmMgGtTpP")
_LARGEST_SIZE = (1 << 63) - 1
_LARGEST_LONG = (1 << 63) - 1
_MOST_DIGITS = 20  # of a decimal number of 64 bits


class CommandEnd(QemuError):
    """A line on standard output that ends a command early.

    Attributes:
        is_failure: whether the command failed by it.
    """

    def __init__(self, text: str, *, is_failure: bool = True) -> None:
        super().__init__(text)
        self.is_failure = is_failure


class SizeError(CommandEnd):
    """A size that can't be read.

    Attributes:
        is_too_large: it is one, but beyond what there can be.
    """

    def __init__(self, text: str, *, is_too_large: bool) -> None:
        fault = "non-numeric argument, or extraneous/unrecognized suffix"
        if is_too_large:
            fault = "argument too large"
        super().__init__(f"Parsing error: {fault} -- {text}")
        self.is_too_large = is_too_large


class SyntaxMismatch(Exception):
    """The words don't fit the command, whose syntax is printed then."""


class Options:
    """Options and operands of one command, in any order; `--` ends the options.

    Iterating yields each option's letter with its value, "" where it takes none. Only then are
    the operands complete: as with getopt, what is done for one option comes before the next
    option is looked at.

    Args:
        words: the command as typed, and what follows it.
        letters: the options; a colon follows one that takes a value.
        complain: told about an unknown option or a missing value.

    Attributes:
        operands: the words that are no options.
        first_word: the word that comes first once options stand before operands.
    """

    def __init__(
        self, words: Sequence[str], letters: str, complain: Callable[[str], object]
    ) -> None:
        self.operands: list[str] = []
        self._words = words
        self._letters = letters
        self._complain = complain
        self._first_option = ""

    @property
    def first_word(self) -> str:
        return self._first_option or self.operands[0]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Options in the order typed.

        Raises:
            SyntaxMismatch: an option isn't known, or lacks its value.
        """
        following = iter(self._words[1:])
        for word in following:
            if word == "-" or not word.startswith("-"):
                self.operands.append(word)
                continue
            self._first_option = self._first_option or word
            if word == "--":
                self.operands += following
                return
            letters = word[1:]
            while letters:
                letter, letters = letters[0], letters[1:]
                if letter == ":" or letter not in self._letters:
                    raise self._mismatch("invalid option", letter)
                value = ""
                if f"{letter}:" in self._letters:
                    value, letters = letters or next(following, ""), ""
                    if not value:
                        raise self._mismatch("option requires an argument", letter)
                yield letter, value

    def _mismatch(self, fault: str, letter: str) -> SyntaxMismatch:
        # QEMU looks at bytes, so of a letter of several it names the first.
        byte = letter.encode("utf-8", "surrogateescape")[:1].decode("utf-8", "surrogateescape")
        self._complain(f"{self._words[0]}: {fault} -- '{byte}'\n")
        return SyntaxMismatch()


def size(text: str, report: Callable[[str], object]) -> int:
    """An offset or a length: `512`, `0x200`, `1.5k`; below 2^63.

    Args:
        report: takes a warning.

    Raises:
        SizeError: it is none.
    """
    scanner = Scanner(text)
    found = read_size(scanner, "B")
    whole, behind, base = _parts(text)
    # For QEMU, nothing behind a number beyond 64 bits is a suffix.
    fits = len(whole.lstrip("0")) <= _MOST_DIGITS and int(whole or "0", base) < 1 << 64
    if base == 16 and whole and fits and behind[:1] in _SCALES:
        report(f"warning: Using a multiplier suffix on hex numbers is deprecated: {text}")
    if found is not None and scanner.at_end and found.value <= _LARGEST_SIZE:
        return found.value
    is_too_large = False
    if scanner.at_end and whole:
        is_scaled = fits and behind[-1:] in (*_SCALES, "e", "E")
        is_too_large = not behind or is_scaled or found is not None
    raise SizeError(text, is_too_large=is_too_large)


def _parts(text: str) -> tuple[str, str, int]:
    """A number's whole digits, what stands behind them, and the digits' base."""
    number = text.lstrip(BLANKS).removeprefix("+")
    base, digits = (16, number[2:]) if number[:2] in ("0x", "0X") else (10, number)
    behind = digits.lstrip(_DIGITS[base])
    return digits.removesuffix(behind), behind, base


def pattern(text: str) -> int:
    """The byte of a pattern: a number as in C, from 0 to 255.

    Raises:
        CommandEnd: it is none.
    """
    value = c_number(text)
    if value is None or not 0 <= value <= 255:
        raise CommandEnd(f"{text} is not a valid pattern byte")
    return value


def c_number(text: str) -> int | None:
    """A number as C's strtol reads it, octal and hexadecimal too; None when that isn't all.

    What doesn't fit into 64 bits with sign becomes the number next to it.
    """
    digits = text.lstrip(BLANKS)
    is_negative = digits.startswith("-")
    if digits[:1] in ("-", "+"):
        digits = digits[1:]
    base = 10
    if digits[:2] in ("0x", "0X"):
        base, digits = 16, digits[2:]
    elif digits.startswith("0"):
        base = 8
    if not digits or digits.strip(_DIGITS[base]):
        return None
    # Digits beyond those of 64 bits can't matter, and converting very many takes long.
    value = int(digits, base) if len(digits.lstrip("0")) <= _MOST_DIGITS + 2 else _LARGEST_LONG
    value = min(value, _LARGEST_LONG + is_negative)
    return -value if is_negative else value
