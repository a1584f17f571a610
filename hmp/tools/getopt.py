"""Command lines taken apart as the C library's `getopt_long` does it."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class UsageError(QemuError):
    """The words don't fit the command; a pointer to the help follows."""


class OptionError(QemuError):
    """A word is no option, or an option lacks its value.

    Attributes:
        fault: what is wrong in the C library's own words, for programs that let it speak.
    """

    def __init__(self, text: str, fault: str) -> None:
        super().__init__(text)
        self.fault = fault


class OptionReader:
    """Options and operands of a command line, in any order; `--` ends the options.

    Iterating yields each option with its value, "" where it takes none, one after the other: what
    the reader's user does for one comes before the next is looked at. Operands are moved behind
    the options meanwhile, so that they are complete only at the end.

    Args:
        words: the command, and what follows it.
        short: the options of one letter; a colon follows one that takes a value.
        long: the others by name, each with the word that stands for it when it is found; a colon
            behind that tells that it takes a value.
        stops_early: the first operand ends the options.
    """

    def __init__(
        self,
        words: Sequence[str],
        short: str,
        long: Mapping[str, str],
        *,
        stops_early: bool = False,
    ) -> None:
        self._words = list(words)
        self._short = short
        self._long = long
        self._stops_early = stops_early
        self._next = 1
        # Operands that were passed over stand from the one to the other.
        self._first_passed = self._end_passed = 1

    @property
    def operands(self) -> list[str]:
        """The words that are no options."""
        return self._words[self._next :]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Options in the order typed: the letter, or the word of the table, and the value.

        Raises:
            OptionError: an option isn't known, or lacks its value.
        """
        letters = ""
        words = self._words
        while True:
            if not letters:
                if not self._find_option():
                    return
                word = words[self._next]
                if word.startswith("--"):
                    self._next += 1
                    yield self._long_option(word[2:])
                    continue
                letters = word[1:]
            letter, letters = letters[0], letters[1:]
            if not letters:
                self._next += 1
            if letter == ":" or letter not in self._short:
                raise self._unrecognized(f"invalid option -- '{letter}'")
            value = ""
            if f"{letter}:" in self._short:
                if letters:
                    value, letters = letters, ""
                    self._next += 1
                else:
                    value = self._value(f"option requires an argument -- '{letter}'")
            yield letter, value

    def _find_option(self) -> bool:
        """Go on to the next option, and move what was passed over behind the last one."""
        words = self._words
        self._move()
        while self._next < len(words) and not self._is_option(words[self._next]):
            if self._stops_early:
                return False
            self._next += 1
        self._end_passed = self._next
        if self._next < len(words) and words[self._next] == "--":
            self._next += 1
            self._move()
            self._end_passed = self._next = len(words)
        if self._next == len(words):
            if self._first_passed != self._end_passed:
                self._next = self._first_passed
            return False
        return True

    def _is_option(self, word: str) -> bool:
        return word.startswith("-") and word != "-"

    def _move(self) -> None:
        first, end, here = self._first_passed, self._end_passed, self._next
        if end == here:
            return
        if first != end:
            self._words[first:here] = self._words[end:here] + self._words[first:end]
        self._first_passed += here - end
        self._end_passed = here

    def _long_option(self, text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        found = self._long.get(name)
        if found is None:
            fitting = {row for known, row in self._long.items() if known.startswith(name)}
            if len(fitting) != 1:
                fault = "option '--{}' is ambiguous" if fitting else "unrecognized option '--{}'"
                raise self._unrecognized(fault.format(name))
            (found,) = fitting
        if not found.endswith(":"):
            if equals:
                raise self._unrecognized(f"option '--{name}' doesn't allow an argument")
            return found, ""
        if not equals:
            value = self._value(f"option '--{name}' requires an argument")
        return found[:-1], value

    def _value(self, fault: str) -> str:
        if self._next == len(self._words):
            word = self._words[self._next - 1]
            raise OptionError(f"missing argument for option '{word}'", fault)
        self._next += 1
        return self._words[self._next - 1]

    def _unrecognized(self, fault: str) -> OptionError:
        # The word before the next: within several letters in a row that isn't theirs.
        return OptionError(f"unrecognized option '{self._words[self._next - 1]}'", fault)
