"""The program hmp-img: qemu-img's subcommands over our own block layer, one row each.

So far there is one that qemu-img hasn't got: `vmstate`, which shows what a saved machine holds.
"""

from __future__ import annotations

import os
import sys

from blockdev.errors import QemuError
from hmp import __version__
from hmp.frontend.descriptors import fill_gaps
from hmp.tools.img_words import UsageError, split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Write = Callable[[str], object]

PROGRAM = "hmp-img"


class ImgCommand:
    """A subcommand.

    Args:
        name: as it is typed.
        syntax: the words that follow it, for the help.
        help: what it does, in a line.
        run: given the words and where to write; its exit status.
    """

    __slots__ = ("help", "name", "run", "syntax")

    def __init__(
        self, name: str, *, syntax: str, help: str, run: Callable[[Sequence[str], Write], int]
    ) -> None:
        self.name = name
        self.syntax = syntax
        self.help = help
        self.run = run


def vmstate(words: Sequence[str], write: Write) -> int:
    from hmp.tools import img_vmstate

    options, operands = split_words(words, "hU", img_vmstate.OPTIONS)
    names = {name for name, _ in options}
    if names & {"-h", "--help"}:
        write(img_vmstate.HELP)
        return 0
    if len(operands) not in (1, 2):
        raise UsageError("Expecting one image file name")
    img_vmstate.show(
        operands[0],
        operands[1] if len(operands) == 2 else None,
        as_json="--json" in names,
        force_share=bool(names & {"-U", "--force-share"}),
        write=write,
        report=_complain,
    )
    return 0


COMMANDS = (
    ImgCommand(
        "vmstate",
        syntax="[-U] [--json] filename [snapshot]",
        help="show the sections and fields of a migration stream, or of a snapshot's VM state",
        run=vmstate,
    ),
)


def main() -> int:
    """Run the program with its own command line; the exit status."""
    # Like any tool, it ends silently when nobody reads on.
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    fill_gaps()
    pieces: list[str] = []
    try:
        status = run(sys.argv[1:], pieces.append)
        _write_all("".join(pieces))
    except UsageError as error:
        _complain(f"{error}\nTry '{PROGRAM} --help' for more information")
        return 1
    except QemuError as error:
        _complain(str(error))
        return 1
    return status


def run(words: Sequence[str], write: Write) -> int:
    """Run one command line.

    Args:
        write: takes text for standard output, line breaks and all.

    Returns:
        The exit status.

    Raises:
        UsageError: the words don't fit.
        QemuError: what was asked for can't be done.
    """
    if not words:
        raise UsageError("Not enough arguments")
    if words[0].startswith("-"):
        options, _ = split_words(words[:1], "hV", ("help", "version"))
        for name, _ in options:
            write(_usage() if name in ("-h", "--help") else _version())
        return 0
    for command in COMMANDS:
        if command.name == words[0]:
            return command.run(words[1:], write)
    raise UsageError(f"Command not found: {words[0]}")


def _version() -> str:
    return f"{PROGRAM} version 7.2.0 (hmp {__version__})\n"


def _usage() -> str:
    rows = "".join([f"  {row.name} {row.syntax}\n      {row.help}\n" for row in COMMANDS])
    return f"""\
{_version()}usage: {PROGRAM} [standard options] command [command options]
QEMU disk image utility

    '-h', '--help'       display this help and exit
    '-V', '--version'    output version information and exit

Command syntax:
{rows}"""


def _write_all(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError as error:
        raise QemuError(f"Could not write the output: {error.strerror}") from error


def _complain(text: str) -> None:
    try:
        os.write(2, f"{PROGRAM}: {text}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # nobody is there to read it
