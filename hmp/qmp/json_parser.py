"""From tokens to values: one for each text whose brackets balance, or what is wrong with it."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.qmp.json_lexer import FLOAT, INTEGER, KEYWORD, STRAY, STRING, JsonLexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from hmp.qmp.json_lexer import Token

MAX_SIZE = 64 << 20  # bytes of the tokens of one value
MAX_TOKENS = 2 << 20
MAX_DEPTH = 1024

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SAME = "\"'\\/"
_WORDS = {b"true": True, b"false": False, b"null": None}
_CLOSING = {"{": "}", "[": "]"}
_LONG_ZERO = b"\xc0\x80"  # how QEMU itself writes a zero, as its texts end with a short one
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1


class JsonReader:
    """Takes bytes, and gives each value, or a `QemuError` in its place."""

    def __init__(self) -> None:
        self._lexer = JsonLexer()
        self._reset()

    def _reset(self) -> None:
        self._tokens: list[Token] = []
        self._size = 0
        self._braces = self._brackets = 0

    def feed(self, data: bytes) -> Iterator[Any]:
        """The values that ``data`` completes; one that can't be comes as a `QemuError`."""
        for token in self._lexer.feed(data):
            yield from self._take(token)
        if self._size + self._lexer.begun_size > MAX_SIZE:
            self._reset()
            self._lexer = JsonLexer()
            yield QemuError("JSON token size limit exceeded")

    def finish(self) -> Iterator[Any]:
        """The value that the end of the text completes, or what is missing."""
        last = self._lexer.finish()
        if last is not None:
            yield from self._take(last)
        if self._tokens:
            self._reset()
            yield _error("premature EOI")

    def _take(self, token: Token) -> Iterator[Any]:
        kind, text = token
        if kind == STRAY:
            self._reset()
            shown = text.partition(b"\0")[0].decode("utf-8", "replace")
            yield QemuError(f"JSON parse error, stray '{shown}'")
            return
        self._braces += (kind == "{") - (kind == "}")
        self._brackets += (kind == "[") - (kind == "]")
        refusal = ""
        if self._size + len(text) + 1 > MAX_SIZE:
            refusal = "JSON token size limit exceeded"
        elif len(self._tokens) + 1 > MAX_TOKENS:
            refusal = "JSON token count limit exceeded"
        elif self._braces + self._brackets > MAX_DEPTH:
            refusal = "JSON nesting depth limit exceeded"
        if refusal:
            self._reset()
            yield QemuError(refusal)
            return
        self._tokens.append(token)
        self._size += len(text)
        is_open = self._braces > 0 or self._brackets > 0
        if is_open and self._braces >= 0 and self._brackets >= 0:
            return
        tokens = self._tokens
        self._reset()
        try:
            yield parse(tokens)
        except QemuError as error:
            yield error


def parse_text(text: str) -> Any:
    """The one value of a text.

    Raises:
        QemuError: it has none, or more.
    """
    reader = JsonReader()
    values = [*reader.feed(text.encode("utf-8", "surrogateescape")), *reader.finish()]
    if not values:
        raise QemuError("Expecting a JSON value")
    if isinstance(values[0], QemuError):
        raise values[0]
    if len(values) > 1:
        raise QemuError("Expecting at most one JSON value")
    return values[0]


def parse_object(text: str) -> dict[str, Any]:
    """The one value of a text, an object.

    Raises:
        QemuError: it is none.
    """
    value = parse_text(text)
    if not isinstance(value, dict):
        raise QemuError("Invalid parameter type, expected: object")
    return value


def parse(tokens: Sequence[Token]) -> Any:
    """The value of tokens whose brackets balance.

    Raises:
        QemuError: they are no value.
    """
    # The containers that are open; with an object the key whose value comes next, None where a
    # key comes. No recursion: how deep it goes is the client's choice.
    stack: list[tuple[list[Any] | dict[str, Any], str | None]] = []
    position = 0
    while True:
        kind, text = tokens[position]
        position += 1
        value: Any
        if kind in "{[":
            value = {} if kind == "{" else []
            if tokens[position][0] != _CLOSING[kind]:
                stack.append((value, None))
                continue
            position += 1
        else:
            value = _scalar(kind, text)
        while True:
            if not stack:
                return value
            container, key = stack.pop()
            mark = tokens[position][0]
            position += 1
            if isinstance(container, dict) and key is None:
                if kind != STRING:
                    raise _error("key is not a string in object")
                if mark != ":":
                    raise _error("missing : in object pair")
                stack.append((container, value))
                break
            if isinstance(container, list):
                container.append(value)
                kind, name = "[", "list"
            else:
                assert key is not None
                if key in container:
                    raise _error("duplicate key")
                container[key] = value
                kind, name = "{", "dict"
            if mark == _CLOSING[kind]:
                value = container
                continue
            if mark != ",":
                raise _error(f"expected separator in {name}")
            stack.append((container, None))
            break


def _scalar(kind: str, text: bytes) -> Any:
    if kind == STRING:
        return _string(text)
    if kind == INTEGER:
        # A number may be as long as the limit allows; what needs so many digits is no integer.
        number = int(text) if len(text) < 32 else _LARGEST + 1
        return number if _SMALLEST <= number <= _LARGEST else float(text)
    if kind == FLOAT:
        return float(text)
    if kind == KEYWORD:
        if text in _WORDS:
            return _WORDS[text]
        raise _error(f"invalid keyword '{text.decode()}'")
    raise _error("expecting value")


def _string(token: bytes) -> str:
    """The text of a string with its quotes.

    A byte that is no UTF-8, an escape that isn't known, or half a surrogate pair: an error.
    """
    try:
        text = token[1:-1].replace(_LONG_ZERO, b"\0").decode("utf-8")
    except UnicodeDecodeError as error:
        raise _error("invalid UTF-8 sequence in string") from error
    if not text.isascii() and any(map(_is_no_character, map(ord, text))):
        raise _error("invalid UTF-8 sequence in string")
    if "\\" not in text:
        return text
    parts: list[str] = []
    at = 0
    while (mark := text.find("\\", at)) >= 0:
        parts.append(text[at:mark])
        letter = text[mark + 1]
        at = mark + 2
        if letter == "u":
            character, at = _escaped(text + chr(token[-1]), at)  # the quote is shown too
            parts.append(character)
        elif letter in _ESCAPES or letter in _SAME:
            parts.append(_ESCAPES.get(letter, letter))
        else:
            raise _error("invalid escape sequence in string")
    parts.append(text[at:])
    return "".join(parts)


def _escaped(text: str, at: int) -> tuple[str, int]:
    """The character of the four digits at ``at`` or of a pair of them, and what follows it."""
    code = _code(text, at)
    end = at + 4
    if code is not None and 0xD800 <= code < 0xDC00 and text[end : end + 2] == "\\u":
        low = _code(text, end + 2)
        if low is not None and 0xDC00 <= low < 0xE000:
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
            end += 6
    if code is None or 0xD800 <= code < 0xE000 or _is_no_character(code):
        raise _error(f"\\u{text[at : at + 4]} is not a valid Unicode character")
    return ("\u0000" if code == 0 else chr(code)), end


def _code(text: str, at: int) -> int | None:
    digits = text[at : at + 4]
    if len(digits) < 4 or digits.strip("0123456789abcdefABCDEF"):
        return None
    return int(digits, 16)


def _is_no_character(code: int) -> bool:
    """Whether Unicode will never have a character there."""
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def _error(text: str) -> QemuError:
    return QemuError(f"JSON parse error, {text}")
