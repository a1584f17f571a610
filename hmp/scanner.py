r"""Words of a typed line: blanks part them, double quotes keep them together.

QEMU's monitor knows bytes, not letters: it cuts words at a number of bytes, and complains
about single ones. So a `Scanner` holds one character for each byte of the line (code 0 to
255), and `Scanner.show` makes text of such characters again. For a line of ASCII, which is
nearly every line, the two are the same string.
"""

from __future__ import annotations

from hmp.errors import WordError

BLANKS = " \t\n\v\f\r"
WORD_LIMIT = 1023  # bytes of a word that are kept; the rest is read and dropped
WORD_COUNT_LIMIT = 16  # words that help and Tab look at; with more they do nothing

# Outside this table a backslash within double quotes is an error.
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


class Scanner:
    """A line and how far it was read.

    Attributes:
        text: the line, one character per byte.
        position: index into ``text`` of what is to be read next.
    """

    __slots__ = ("position", "text")

    def __init__(self, line: str) -> None:
        if not line.isascii():
            line = line.encode("utf-8", "surrogateescape").decode("latin-1")
        self.text = line.partition("\0")[0]
        self.position = 0

    @staticmethod
    def show(text: str) -> str:
        """Text for people of characters that stand for a byte each."""
        if text.isascii():
            return text
        return text.encode("latin-1").decode("utf-8", "surrogateescape")

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def peek(self) -> str:
        """The next character; empty at the end of the line."""
        return self.text[self.position : self.position + 1]

    def skip_blanks(self) -> None:
        text, position = self.text, self.position
        while position < len(text) and text[position] in BLANKS:
            position += 1
        self.position = position

    def take_while(self, letters: str) -> str:
        """Read as many characters as are among ``letters``."""
        text, start = self.text, self.position
        position = start
        while position < len(text) and text[position] in letters:
            position += 1
        self.position = position
        return text[start:position]

    def command_name(self) -> str:
        """Read a command's name: up to a blank or the `/` of a format; may be empty."""
        self.skip_blanks()
        text, start = self.text, self.position
        position = start
        while position < len(text) and text[position] != "/" and text[position] not in BLANKS:
            position += 1
        self.position = position
        return text[start:position]

    def bare_word(self) -> str:
        """Read up to the next blank, quotes and all."""
        self.skip_blanks()
        text, start = self.text, self.position
        position = start
        while position < len(text) and text[position] not in BLANKS:
            position += 1
        self.position = position
        return text[start:position]

    def word(self) -> str | None:
        """Read a word as text: bare, or in double quotes; None at the end of the line.

        Raises:
            WordError: the quotes are not closed, or hold an unknown escape.
        """
        self.skip_blanks()
        if self.at_end:
            return None
        word = self._quoted() if self.peek() == '"' else self.bare_word()
        return self.show(word[:WORD_LIMIT])

    def _quoted(self) -> str:
        text = self.text
        position = self.position + 1
        letters: list[str] = []
        while position < len(text) and text[position] != '"':
            letter = text[position]
            position += 1
            if letter == "\\":
                # A line that ends here has, for QEMU, a NUL behind the backslash.
                letter = text[position : position + 1] or "\0"
                position += 1
                if letter not in _ESCAPES:
                    raise WordError(f"unsupported escape code: '\\{self.show(letter)}'")
                letter = _ESCAPES[letter]
            letters.append(letter)
        if position >= len(text):
            raise WordError("unterminated string")
        self.position = position + 1
        return "".join(letters)


def split_words(line: str) -> list[str] | None:
    """All words of ``line``, or None when there are more than `WORD_COUNT_LIMIT`.

    Raises:
        WordError: as `Scanner.word`.
    """
    scanner = Scanner(line)
    words: list[str] = []
    while (word := scanner.word()) is not None:
        if len(words) == WORD_COUNT_LIMIT:
            return None
        words.append(word)
    return words
