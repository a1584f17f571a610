"""The commands of qemu-io that read and change the disk."""

from __future__ import annotations

import os

from hmp.tools.io_session import IoCommand
from hmp.tools.io_target import repeated
from hmp.tools.io_words import CommandEnd, SyntaxMismatch, pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from hmp.tools.io_session import IoSession

_SECTOR = 512
_LONGEST = (1 << 31) - _SECTOR  # bytes of one request
_DEFAULT_PATTERN = 0xCD


def read(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(
        words, "bCl:pP:qs:v", l=session.size, P=pattern, s=session.size
    )
    if len(operands) != 2:
        raise SyntaxMismatch
    offset, length = session.size(operands[0]), session.size(operands[1])
    _check_length(length, operands[1])
    if "P" not in given and ("l" in given or "s" in given):
        raise SyntaxMismatch
    first = given.get("s", 0)
    compared = range(first, first + given.get("l", length - first))
    if compared.stop > length or compared.stop < first:
        raise CommandEnd("pattern verification range exceeds end of read data")
    if "b" in given:
        _check_alignment(offset, length)
        pieces = session.target.read_vmstate(offset, length)
    else:
        pieces = session.target.read(offset, length)
    return session.read(offset, length, pieces, given, compared=compared)


def readv(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "CP:qv", P=pattern)
    offset, length = _place(session, operands)
    return session.read(offset, length, session.target.read(offset, length), given)


def aio_read(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "CP:iqv", P=pattern, i=_inject("read"))
    offset, length = _place(session, operands)
    session.read(offset, length, session.target.read(offset, length), given)
    return True


def write(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "bcCfnpP:qs:uz", P=pattern)
    if len(operands) != 2:
        raise SyntaxMismatch
    _check_combination(given)
    offset, length = session.size(operands[0]), session.size(operands[1])
    if "n" not in given:
        _check_length(length, operands[1], condition=" without -n")
    if "b" in given or "c" in given:
        _check_alignment(offset, length)
    target = session.target
    through = "f" in given
    if "z" in given:
        may_be_slow = "n" not in given

        def change() -> None:
            target.write_zeros(
                offset,
                length,
                through=through,
                may_be_slow=may_be_slow,
                may_unmap="u" in given,
            )
    else:
        content = bytes([given.get("P", _DEFAULT_PATTERN)])
        if "s" in given:
            found = _read_source(session, given["s"], length)
            if found is None:
                return False
            content = found
        buffers = list(repeated(content, length))

        def change() -> None:
            if "b" in given:
                target.write_vmstate(offset, buffers)
            elif "c" in given:
                target.write_compressed(offset, buffers)
            else:
                target.write(offset, buffers, through=through)

    session.change("wrote", offset, length, change, given)
    return True


def writev(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "CfqP:", P=pattern)
    offset, length = _place(session, operands)
    _fill(session, offset, length, given)
    return True


def aio_write(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "CfiP:quz", P=pattern, i=_inject("write"))
    if len(operands) < 2:
        raise SyntaxMismatch
    if "z" not in given:
        if "u" in given:
            raise CommandEnd("-u requires -z to be specified")
        offset, length = _place(session, operands)
        _fill(session, offset, length, given)
        return True
    if len(operands) != 2:
        raise CommandEnd("-z supports only a single length parameter")
    offset, length = session.size(operands[0]), session.size(operands[1])

    def change() -> None:
        session.target.write_zeros(
            offset, length, through="f" in given, may_be_slow=True, may_unmap="u" in given
        )

    session.change("wrote", offset, length, change, given)
    return True


def discard(session: IoSession, words: Sequence[str]) -> bool:
    given, operands = session.options(words, "Cq")
    if len(operands) != 2:
        raise SyntaxMismatch
    offset, length = session.size(operands[0]), session.size(operands[1])
    _check_length(length, operands[1])

    def change() -> None:
        session.target.discard(offset, length)

    session.change("discard", offset, length, change, given)
    return True


def _check_combination(given: dict[str, Any]) -> None:
    """Refuse options of `write` that exclude or need each other."""
    if "b" in given and "z" in given:
        raise CommandEnd("-b and -z cannot be specified at the same time")
    if "f" in given and ("b" in given or "c" in given):
        raise CommandEnd("-f and -b or -c cannot be specified at the same time")
    for letter in "nu":
        if letter in given and "z" not in given:
            raise CommandEnd(f"-{letter} requires -z to be specified")
    if sum(letter in given for letter in "zPs") > 1:
        raise CommandEnd("Only one of -z, -P, and -s can be specified at the same time")


def _check_length(length: int, text: str, *, condition: str = "") -> None:
    if length > _LONGEST:
        raise CommandEnd(f"length cannot exceed {_LONGEST}{condition}, given {text}")


def _check_alignment(offset: int, length: int) -> None:
    """What doesn't go through the disk's own address space is counted in sectors."""
    for what, number in (("offset", offset), ("count", length)):
        if number % _SECTOR:
            raise CommandEnd(f"{number} is not a sector-aligned value for '{what}'")


def _place(session: IoSession, operands: Sequence[str]) -> tuple[int, int]:
    """An offset, and the sum of the lengths that follow it."""
    if len(operands) < 2:
        raise SyntaxMismatch
    offset = session.size(operands[0])
    total = 0
    for text in operands[1:]:
        length = session.size(text)
        if length > _LONGEST:
            raise CommandEnd(f"Argument '{text}' exceeds maximum size {_LONGEST}")
        total += length
        if total > _LONGEST:
            raise CommandEnd(f"The total number of bytes exceed the maximum size {_LONGEST}")
    return offset, total


def _fill(session: IoSession, offset: int, length: int, given: dict[str, Any]) -> None:
    """Write a pattern."""
    content = bytes([given.get("P", _DEFAULT_PATTERN)])
    buffers = list(repeated(content, length))

    def change() -> None:
        session.target.write(offset, buffers, through="f" in given)

    session.change("wrote", offset, length, change, given)


def _inject(kind: str) -> Callable[[str], Any]:
    """The meaning of `-i`: count a request that can't be, for statistics which we don't keep."""

    def inject(_text: str) -> Any:
        raise CommandEnd(f"injecting invalid {kind} request", is_failure=False)

    return inject


def _read_source(session: IoSession, name: str, length: int) -> bytes | None:
    """At most `length` bytes from the start of a file; None when that is refused."""
    try:
        with open(os.fsencode(name), "rb") as file:
            content = file.read(length)
    except OSError as error:
        session.complain(f"{name}: {os.strerror(error.errno or 0)}\n")
        return None
    if not content:
        session.complain(f"{name}: file is empty\n")
        return None
    return content


TRANSFER_COMMANDS = (
    IoCommand(
        name="read",
        alias="r",
        arguments="[-abCqv] [-P pattern [-s off] [-l len]] off len",
        help="reads a number of bytes at a specified offset",
        least=2,
        most=None,
        failure="read failed",
        run=read,
    ),
    IoCommand(
        name="readv",
        arguments="[-Cqv] [-P pattern] off len [len..]",
        help="reads a number of bytes at a specified offset",
        least=2,
        most=None,
        failure="readv failed",
        run=readv,
    ),
    IoCommand(
        name="aio_read",
        arguments="[-Ciqv] [-P pattern] off len [len..]",
        help="asynchronously reads a number of bytes",
        least=2,
        most=None,
        failure="readv failed",
        is_asynchronous=True,
        run=aio_read,
    ),
    IoCommand(
        name="write",
        alias="w",
        arguments="[-bcCfnquz] [-P pattern | -s source_file] off len",
        help="writes a number of bytes at a specified offset",
        least=2,
        most=None,
        writes=True,
        failure="write failed",
        run=write,
    ),
    IoCommand(
        name="writev",
        arguments="[-Cfq] [-P pattern] off len [len..]",
        help="writes a number of bytes at a specified offset",
        least=2,
        most=None,
        writes=True,
        failure="writev failed",
        run=writev,
    ),
    IoCommand(
        name="aio_write",
        arguments="[-Cfiquz] [-P pattern] off len [len..]",
        help="asynchronously writes a number of bytes",
        least=2,
        most=None,
        writes=True,
        failure="aio_write failed",
        is_asynchronous=True,
        run=aio_write,
    ),
    IoCommand(
        name="discard",
        alias="d",
        arguments="[-Cq] off len",
        help="discards a number of bytes at a specified offset",
        least=2,
        most=None,
        writes=True,
        failure="discard failed",
        run=discard,
    ),
)
