"""The command language of qemu-io: one line at a time over a block node.

A command says three kinds of things: what it did, on standard output; what is wrong with its
words, on standard error; and reports, which the monitor shows and a program prefixes with its
name. Requests are carried out at once, the asynchronous ones too.
"""

from __future__ import annotations

import errno
import os
import time

from blockdev.errors import QemuError
from hmp.tools.dump import amount_text
from hmp.tools.io_session import IoCommand, IoSession
from hmp.tools.io_target import IoTarget
from hmp.tools.io_transfer import TRANSFER_COMMANDS
from hmp.tools.io_words import CommandEnd, Options, SyntaxMismatch, c_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.node import BlockNode

__all__ = ["COMMANDS", "IoTarget", "run"]

_DEFAULT_LENGTH = 512  # bytes that `alloc` looks at
_LAST_SIGNAL = 64
_MILLISECOND_NS = 1_000_000
_LONGEST_SLEEP = 1e9  # seconds, which the C library takes without overflow
_CACHE_MODES = ("none", "off", "writeback", "unsafe", "directsync", "writethrough")
_PREALLOCATIONS = ("off", "metadata", "falloc", "full")


def length(session: IoSession, words: Sequence[str]) -> bool:
    session.write(f"{amount_text(session.target.length)}\n")
    return True


def flush(session: IoSession, words: Sequence[str]) -> bool:
    session.target.flush()
    return True


def aio_flush(session: IoSession, words: Sequence[str]) -> bool:
    return True  # nothing is ever outstanding


def truncate(session: IoSession, words: Sequence[str]) -> bool:
    options = Options(words, "m:", session.complain)
    preallocation = "off"
    for _, mode in options:
        preallocation = mode
        if mode not in _PREALLOCATIONS:
            raise QemuError(f"Invalid preallocation mode '{mode}'")
    if not options.operands:
        raise SyntaxMismatch
    try:
        size = session.size(options.operands[0])
    except CommandEnd as end:
        # QEMU complains about the word that comes first, be it the right one or not.
        reason = str(end).rpartition(" -- ")[0]
        raise CommandEnd(f"{reason} -- {options.first_word}") from end
    session.target.truncate(size, preallocation)
    return True


def info(session: IoSession, words: Sequence[str]) -> bool:
    node = session.target.medium()
    session.write(f"format name: {node.driver}\n")
    if node.file is None:
        session.write(f"format name: {node.driver}\n")  # once as format, once as protocol
    if not _tells_of_itself(node):
        return False
    cluster_size = vmstate_offset = 0
    details = ""
    if node.driver == "qcow2":
        from blockdev.qcow2.header import l1_entries_for
        from blockdev.qcow2.image import Image
        from hmp.image_info import image_text

        assert isinstance(node, Image)
        cluster_size = node.cluster_size
        span_bits = node.layout.span_bits
        vmstate_offset = l1_entries_for(node.size, span_bits) << span_bits
        # These lines end the text, whatever a snapshot's name before them holds.
        details = "".join(image_text(node).rpartition("Format specific information:\n")[1:])
    session.write(
        f"cluster size: {amount_text(cluster_size)}\n"
        f"vm state offset: {amount_text(vmstate_offset)}\n{details}"
    )
    return True


def _tells_of_itself(node: BlockNode) -> bool:
    """Whether QEMU's driver answers what an image is like; those of the network don't."""
    while node.file is not None and (node.driver == "raw" or node.is_filter):
        node = node.file
    return node.file is not None or node.driver == "file"


def alloc(session: IoSession, words: Sequence[str]) -> bool:
    offset = session.size(words[1])
    count = session.size(words[2]) if len(words) > 2 else _DEFAULT_LENGTH
    end = max(offset, min(offset + count, session.target.length))
    allocated = 0
    position = offset
    while position < end:
        is_allocated, size = session.target.run(position, end - position)
        allocated += size if is_allocated else 0
        position += size
    place = f"offset {amount_text(offset)}"
    session.write(f"{allocated}/{end - offset} bytes allocated at {place}\n")
    return True


def map_(session: IoSession, words: Sequence[str]) -> bool:
    target = session.target
    try:
        end = target.length
    except QemuError as error:
        session.report(f"Failed to query image length: {_reason(error)}")
        return False
    start = 0
    while start < end:
        try:
            is_allocated, size = target.run(start, end - start)
            while start + size < end:
                is_same, more = target.run(start + size, end - start - size)
                if is_same is not is_allocated:
                    break
                size += more
        except QemuError as error:
            session.report(f"Failed to get allocation status: {_reason(error)}")
            return False
        shown = "    allocated" if is_allocated else "not allocated"
        place = f"{amount_text(start)} ({start:#x})"
        session.write(f"{amount_text(size)} ({size:#x}) bytes {shown} at offset {place}\n")
        start += size
    return True


_CACHE_SWITCHES = ("cache.direct", "cache.no-flush")


def reopen(session: IoSession, words: Sequence[str]) -> bool:
    options = Options(words, "c:o:rw", session.complain)
    access = cache = ""
    given: dict[str, str] = {}
    for letter, value in options:
        if letter == "o":
            from hmp.command_line.option_list import parse_options

            given.update(parse_options(value, "", lambda text: session.report(f"warning: {text}")))
        elif letter == "c":
            if value not in _CACHE_MODES:
                raise QemuError(f"Invalid cache option: {value}")
            cache = value
        elif access:
            raise QemuError("Only one -r/-w option may be given")
        else:
            access = letter
    if options.operands:
        raise SyntaxMismatch
    for name in ("read-only", "lazy-refcounts", *_CACHE_SWITCHES):
        if given.get(name, "on") not in ("on", "off"):
            raise QemuError(f"Parameter '{name}' expects 'on' or 'off'")
    if access and "read-only" in given:
        raise QemuError("Cannot set both -r/-w and 'read-only'")
    if cache and any(name in given for name in _CACHE_SWITCHES):
        raise QemuError("Cannot set both -c and the cache options")
    read_only = access == "r" if access else None
    if "read-only" in given:
        read_only = given["read-only"] == "on"
        node = session.target.medium()
        if read_only and not node.read_only:
            text = f"Read-only block node '{node.node_name}' cannot support read-write users"
            raise QemuError(text)
    session.target.reopen(read_only=read_only, cache=cache, options=tuple(given))
    return True


def sleep(session: IoSession, words: Sequence[str]) -> bool:
    milliseconds = c_number(words[1])
    if milliseconds is None or milliseconds < 0:
        raise CommandEnd(f"{words[1]} is not a valid number")
    # 64 bits with sign, as in QEMU, where a time that doesn't fit is over at once.
    nanoseconds = milliseconds * _MILLISECOND_NS & (1 << 64) - 1
    if nanoseconds < 1 << 63:
        session.sleep(min(nanoseconds / 1e9, _LONGEST_SLEEP))
    return True


def raise_signal(session: IoSession, words: Sequence[str]) -> bool:
    number = session.size(words[1])
    if number > _LAST_SIGNAL + 1:
        text = f"signal argument '{words[1]}' is too large to be a valid signal"
        raise CommandEnd(text)
    if number <= _LAST_SIGNAL:
        os.kill(os.getpid(), number)
    return True


def abort(session: IoSession, words: Sequence[str]) -> bool:
    os.abort()


def breakpoint_(session: IoSession, words: Sequence[str]) -> bool:
    raise CommandEnd("Could not set breakpoint: Operation not supported")


def remove_break(session: IoSession, words: Sequence[str]) -> bool:
    raise CommandEnd(f"Could not remove breakpoint {words[1]}: Operation not supported")


def wait_break(session: IoSession, words: Sequence[str]) -> bool:
    # QEMU waits for ever, since nothing that it could stop at has been set.
    raise CommandEnd(f"Could not wait for {words[1]}: Operation not supported")


def resume(session: IoSession, words: Sequence[str]) -> bool:
    raise CommandEnd("Could not resume request: Operation not supported")


def help_(session: IoSession, words: Sequence[str]) -> bool:
    if len(words) == 1:
        for command in sorted(session.commands, key=lambda command: command.name):
            session.write(command.syntax(command.name))
        session.write("\nUse 'help commandname' for extended help.\n")
        return True
    found = session.find(words[1])
    if found is None:
        raise CommandEnd(f"command {words[1]} not found")
    from hmp.tools.io_help import LONG_HELP

    session.write(found.syntax(words[1]) + LONG_HELP.get(found.name, ""))
    return True


COMMANDS = (
    *TRANSFER_COMMANDS,
    IoCommand(name="abort", help="simulate a program crash using abort(3)", run=abort),
    IoCommand(name="aio_flush", help="completes all outstanding aio requests", run=aio_flush),
    IoCommand(
        name="alloc",
        alias="a",
        arguments="offset [count]",
        help="checks if offset is allocated in the file",
        least=1,
        most=2,
        failure="is_allocated failed",
        run=alloc,
    ),
    IoCommand(
        name="break",
        arguments="event tag",
        help="sets a breakpoint on event and tags the stopped request as tag",
        least=2,
        most=2,
        run=breakpoint_,
    ),
    IoCommand(
        name="flush",
        alias="f",
        help="flush all in-core file state to disk",
        failure="flush failed",
        run=flush,
    ),
    IoCommand(
        name="help",
        alias="?",
        arguments="[command]",
        help="help for one or all commands",
        most=1,
        run=help_,
    ),
    IoCommand(name="info", alias="i", help="prints information about the current file", run=info),
    IoCommand(
        name="length",
        alias="l",
        help="gets the length of the current file",
        failure="getlength",
        run=length,
    ),
    IoCommand(name="map", arguments="", help="prints the allocated areas of a file", run=map_),
    IoCommand(
        name="remove_break",
        arguments="tag",
        help="remove a breakpoint by tag",
        least=1,
        most=1,
        run=remove_break,
    ),
    IoCommand(
        name="reopen",
        arguments="[(-r|-w)] [-c cache] [-o options]",
        help="reopens an image with new options",
        most=None,
        run=reopen,
    ),
    IoCommand(
        name="resume",
        arguments="tag",
        help="resumes the request tagged as tag",
        least=1,
        most=1,
        run=resume,
    ),
    IoCommand(
        name="sigraise",
        arguments="signal",
        help="raises a signal",
        least=1,
        most=1,
        run=raise_signal,
    ),
    IoCommand(
        name="sleep", help="waits for the given value in milliseconds", least=1, most=1, run=sleep
    ),
    IoCommand(
        name="truncate",
        alias="t",
        arguments="[-m prealloc_mode] off",
        help="truncates the current file at the given offset",
        least=1,
        most=3,
        writes=True,
        resizes=True,
        run=truncate,
    ),
    IoCommand(
        name="wait_break",
        arguments="tag",
        help="waits for the suspension of a request",
        least=1,
        most=1,
        run=wait_break,
    ),
)


def run(
    line: str,
    target: IoTarget,
    write: Callable[[str], object],
    complain: Callable[[str], object],
    report: Callable[[str], object] | None = None,
    *,
    commands: Sequence[IoCommand] = COMMANDS,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Run one line.

    Args:
        line: a command and its words, which only blanks part.
        target: what it acts on.
        write: takes what QEMU prints on standard output, line breaks and all.
        complain: takes what goes to standard error, likewise.
        report: takes a report, without a line break; None: `write` shows it.
        commands: what is known; a program has more than the monitor.
        clock_ns: what transfers are timed with.
        sleep: waits so many seconds.

    Returns:
        Whether all went well.
    """
    session = IoSession(
        target,
        write=write,
        complain=complain,
        report=report or (lambda text: write(f"{text}\n")),
        commands=commands,
        clock_ns=clock_ns,
        sleep=sleep,
    )
    words = [word for word in line.split(" ") if word]
    if not words:
        return True
    command = session.find(words[0])
    if command is None:
        complain(f'command "{words[0]}" not found\n')
        return False
    if not command.takes(len(words) - 1):
        count = f"bad argument count {len(words) - 1} to {words[0]}"
        complain(f"{count}, expected {command.expected} arguments\n")
        return False
    if command.writes:
        refusal = target.refusal(("write", "resize") if command.resizes else ("write",))
        if refusal is None and target.is_read_only:
            refusal = "Block node is read-only"
        if refusal is not None:
            session.report(refusal)
            return False
    try:
        return command.run(session, words)
    except SyntaxMismatch:
        write(command.syntax(command.name))
        return False
    except CommandEnd as end:
        write(f"{end}\n")
        return not end.is_failure
    except QemuError as error:
        if command.failure:
            write(f"{command.failure}: {_reason(error)}\n")
        else:
            session.report(str(error))
        return command.is_asynchronous


def _reason(error: QemuError) -> str:
    return os.strerror(error.errno_value or errno.EIO)
