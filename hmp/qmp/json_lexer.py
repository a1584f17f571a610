"""JSON as QEMU takes it apart: bytes in, tokens out, at whatever places the bytes are cut.

It takes more than JSON: strings in single quotes, and bytes in them that JSON would escape. After
a byte that can't be there all is skipped up to one that ends or begins something for sure.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# What a token is; a punctuation mark is its own kind.
STRING, INTEGER, FLOAT, KEYWORD, STRAY = "string", "integer", "float", "keyword", "stray"
PUNCTUATION = b"{}[],:"

_BLANK = re.compile(rb"[ \t\r\n]*")
# The bytes FE and FF stand nowhere, so that a client can send one to make both sides agree.
_IN_STRING = {
    b'"': re.compile(rb'(?:[^"\\\x00-\x1f\xfe\xff]|\\[^\x00-\x1f\xfe\xff])*\\?'),
    b"'": re.compile(rb"(?:[^'\\\x00-\x1f\xfe\xff]|\\[^\x00-\x1f\xfe\xff])*\\?"),
}
_IN_WORD = re.compile(rb"[a-z]*")
_SKIPPED = re.compile(rb"[^\x00-\x08\x0a-\x1f{}\[\],:\xfe\xff]*")

# How a number goes on: in each state, the state that a byte leads to. None ends the number there.
_DIGITS = b"0123456789"


def _row(digit: str = "", **others: str) -> dict[int, str]:
    row = dict.fromkeys(_DIGITS, digit) if digit else {}
    names = {"point": b".", "exponent": b"eE", "sign": b"+-"}
    for name, state in others.items():
        row.update(dict.fromkeys(names[name], state))
    return row


_NUMBER: dict[str, dict[int, str]] = {
    "minus": {**_row("whole"), ord("0"): "zero"},
    "zero": _row("stray", point="point"),
    "whole": _row("whole", point="point", exponent="exponent"),
    "point": _row("fraction"),
    "fraction": _row("fraction", exponent="exponent"),
    "exponent": _row("power", sign="sign"),
    "sign": _row("power"),
    "power": _row("power"),
}
_ENDS = {"zero": INTEGER, "whole": INTEGER, "fraction": FLOAT, "power": FLOAT}

Token = tuple[str, bytes]


class JsonLexer:
    """Takes bytes, and gives the tokens that are complete."""

    __slots__ = ("_begun", "_quote", "_skips", "_state")

    def __init__(self) -> None:
        self._begun = bytearray()  # of a token that isn't complete
        self._quote = b""  # which one it began with, for a string
        self._state = ""  # of a number, or "word"
        self._skips = False  # after a stray byte

    @property
    def begun_size(self) -> int:
        """Bytes of the token that isn't complete."""
        return len(self._begun)

    def feed(self, data: bytes) -> Iterator[Token]:
        """The tokens that ``data`` completes: each its kind and its bytes, quotes too."""
        at = 0
        while at < len(data):
            if self._quote:
                at, token = self._go_on_with_string(data, at)
            elif self._state == "word":
                at, token = self._go_on_with_word(data, at)
            elif self._state:
                at, token = self._go_on_with_number(data, at)
            else:
                at, token = self._begin(data, at)
            if token is not None:
                yield token

    def finish(self) -> Token | None:
        """The token that the end of the text completes or breaks off; None for none."""
        if not self._begun:
            return None
        if self._state == "word":
            return self._end(KEYWORD)
        if self._state in _ENDS:
            return self._end(_ENDS[self._state])
        return self._stray()

    def _begin(self, data: bytes, at: int) -> tuple[int, Token | None]:
        pattern = _SKIPPED if self._skips else _BLANK
        found = pattern.match(data, at)
        assert found is not None
        at = found.end()
        if at == len(data):
            return at, None
        self._skips = False
        byte = data[at : at + 1]
        if byte in b" \t\r\n":
            return at, None
        if byte in PUNCTUATION:
            return at + 1, (byte.decode(), byte)
        self._begun += byte
        if byte in b"\"'":
            self._quote = byte
        elif byte == b"-":
            self._state = "minus"
        elif byte in _DIGITS:
            self._state = "zero" if byte == b"0" else "whole"
        elif b"a" <= byte <= b"z":
            self._state = "word"
        else:
            return at + 1, self._stray()
        return at + 1, None

    def _go_on_with_string(self, data: bytes, at: int) -> tuple[int, Token | None]:
        if self._begun[-1:] == b"\\" and self._is_escaping():
            if data[at] < 0x20 or data[at] >= 0xFE:
                self._begun += data[at : at + 1]
                return at + 1, self._stray()
            self._begun += data[at : at + 1]
            at += 1
        found = _IN_STRING[self._quote].match(data, at)
        assert found is not None
        self._begun += found.group()
        at = found.end()
        if at == len(data):
            return at, None
        self._begun += data[at : at + 1]
        if data[at : at + 1] == self._quote:
            return at + 1, self._end(STRING)
        return at + 1, self._stray()

    def _is_escaping(self) -> bool:
        """Whether the last backslash is not itself escaped."""
        return (len(self._begun) - len(self._begun.rstrip(b"\\"))) % 2 == 1

    def _go_on_with_word(self, data: bytes, at: int) -> tuple[int, Token | None]:
        found = _IN_WORD.match(data, at)
        assert found is not None
        self._begun += found.group()
        return found.end(), self._end(KEYWORD) if found.end() < len(data) else None

    def _go_on_with_number(self, data: bytes, at: int) -> tuple[int, Token | None]:
        start = at
        while at < len(data):
            state = _NUMBER[self._state].get(data[at])
            if state is None and self._state in _ENDS:
                self._begun += data[start:at]
                return at, self._end(_ENDS[self._state])
            at += 1
            if state is None or state == "stray":
                self._begun += data[start:at]
                return at, self._stray()
            self._state = state
        self._begun += data[start:]
        return at, None

    def _end(self, kind: str) -> Token:
        token = (kind, bytes(self._begun))
        self._begun.clear()
        self._quote = b""
        self._state = ""
        return token

    def _stray(self) -> Token:
        self._skips = True
        return self._end(STRAY)
