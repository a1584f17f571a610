"""QEMU's expressions: `1+2*3`, `(0x10|1)<->'a'`, `$pc`.

Whole numbers of 64 bits with sign that wrap around. Weakest first: `+ -`, then `& | ^`, then
`* / %`, then the signs `+ - ~`, parentheses, numbers as in C, `'a'` and `$register`.
"""

from __future__ import annotations

from hmp.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hmp.scanner import Scanner

_STRENGTH = {"+": 1, "-": 1, "&": 2, "|": 2, "^": 2, "*": 3, "/": 3, "%": 3}
_SIGN_STRENGTH = 4
_SIGNS = {"+": "positive", "-": "negative", "~": "complement"}

_DIGITS = {8: "01234567", 10: "0123456789", 16: "0123456789abcdefABCDEF"}
_REGISTER_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
_REGISTER_NAME_LIMIT = 127
_LARGEST_NUMBER = 2**64 - 1
_MOST_DIGITS = 22  # of the largest number, in octal


def signed64(value: int) -> int:
    """``value`` wrapped around to 64 bits with sign."""
    value &= _LARGEST_NUMBER
    return value - (1 << 64) if value >> 63 else value


def evaluate(scanner: Scanner, register: Callable[[str], int | None]) -> int:
    """Read an expression, as much as belongs together, and work it out.

    The parser keeps its own stacks instead of calling itself, since a line can hold
    thousands of parentheses.

    Args:
        scanner: stands at the expression; afterwards behind it and the blanks that follow.
        register: the value of a register, or None where there is none of that name.

    Returns:
        64 bits with sign.

    Raises:
        UsageError: no expression, or one without a value.
    """
    values: list[int] = []
    pending: list[str] = []  # operators, names of signs, and "(" for each open one
    while True:
        # Here an operand is wanted.
        letter = scanner.peek()
        if letter in _SIGNS:
            pending.append(_SIGNS[letter])
            _step(scanner)
            continue
        if letter == "(":
            pending.append("(")
            _step(scanner)
            continue
        values.append(_operand(scanner, register))

        # Here an operator is wanted, or the end.
        while True:
            letter = scanner.peek()
            _reduce(values, pending, _STRENGTH.get(letter, 0))
            if letter in _STRENGTH:
                pending.append(letter)
                _step(scanner)
                break
            if not pending:
                return values[0]
            if letter != ")":
                raise UsageError("')' expected")
            pending.pop()
            _step(scanner)


def _step(scanner: Scanner) -> None:
    scanner.position += 1
    scanner.skip_blanks()


def _reduce(values: list[int], pending: list[str], strength: int) -> None:
    """Work out what binds at least as strongly as ``strength``, back to an open "("."""
    while pending and pending[-1] != "(":
        operator = pending[-1]
        if _STRENGTH.get(operator, _SIGN_STRENGTH) < strength:
            return
        pending.pop()
        right = values.pop()
        if operator in _STRENGTH:
            values.append(signed64(_combine(operator, values.pop(), right)))
        elif operator == "negative":
            values.append(signed64(-right))
        elif operator == "complement":
            values.append(~right)
        else:
            values.append(right)


def _combine(operator: str, left: int, right: int) -> int:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "&":
        return left & right
    if operator == "|":
        return left | right
    if operator == "^":
        return left ^ right
    if operator == "*":
        return left * right
    if right == 0:
        raise UsageError("division by zero")
    # Towards zero, as in C; Python's own operators go down.
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient if operator == "/" else left - quotient * right


def _operand(scanner: Scanner, register: Callable[[str], int | None]) -> int:
    letter = scanner.peek()
    if not letter:
        raise UsageError("unexpected end of expression")
    if letter == "'":
        return _character(scanner)
    if letter == "$":
        scanner.position += 1
        name = scanner.take_while(_REGISTER_LETTERS)[:_REGISTER_NAME_LIMIT]
        scanner.skip_blanks()
        value = register(name)
        if value is None:
            raise UsageError("unknown register")
        return signed64(value)
    number = read_number(scanner)
    if number is None:
        raise UsageError(f"invalid char '{scanner.show(letter)}' in expression")
    if number > _LARGEST_NUMBER:
        raise UsageError("number too large")
    scanner.skip_blanks()
    return signed64(number)


def _character(scanner: Scanner) -> int:
    scanner.position += 1
    letter = scanner.peek()
    if not letter:
        raise UsageError("character constant expected")
    scanner.position += 1
    if scanner.peek() != "'":
        raise UsageError("missing terminating ' character")
    _step(scanner)
    # A C char has a sign here.
    return ord(letter) - 256 if ord(letter) > 127 else ord(letter)


def read_number(scanner: Scanner) -> int | None:
    """Read a number without sign as C writes it: `0x1f`, `017`, `15`; None if there is none.

    Any number above 64 bits comes back as one that is too large.
    """
    text, start = scanner.text, scanner.position
    base = 10
    if scanner.peek() == "0":
        base = 8
        if text[start + 1 : start + 2] in ("x", "X") and text[start + 2 : start + 3] in tuple(
            _DIGITS[16]
        ):
            scanner.position += 2
            base = 16
    digits = scanner.take_while(_DIGITS[base])
    if not digits:
        return None
    # Python refuses to convert very long runs of digits; what is longer is too large anyway.
    return int(digits, base) if len(digits.lstrip("0")) <= _MOST_DIGITS else _LARGEST_NUMBER + 1
