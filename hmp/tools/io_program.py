"""The program hmp-io: qemu-io's options and prompt around the commands of `hmp.tools.io`."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.tools import io
from hmp.tools.getopt import OptionError, OptionReader
from hmp.tools.image_source import cache_mode
from hmp.tools.io_image import ImageTarget, OpenOptions
from hmp.tools.io_session import IoCommand
from hmp.tools.io_words import Options, SyntaxMismatch
from hmp.tools.program import run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hmp.tools.io_session import IoSession
    from hmp.tools.program import Program

LONG_OPTIONS = {
    "help": "h",
    "version": "V",
    "cmd": "c:",
    "format": "f:",
    "read-only": "r",
    "snapshot": "s",
    "nocache": "n",
    "copy-on-read": "C",
    "misalign": "m",
    "native-aio": "k",
    "aio": "i:",
    "discard": "d:",
    "cache": "t:",
    "trace": "T:",
    "force-share": "U",
    "object": "object:",
    "image-opts": "image-opts",
}
_AIO_MODES = ("threads", "native", "io_uring")
_UNMAPS = {"ignore": False, "off": False, "unmap": True, "on": True}

USAGE = """\
Usage: {name} [OPTIONS]... [-c STRING]... [file]
QEMU Disk exerciser

  --object OBJECTDEF   define an object such as 'secret' for
                       passwords and/or encryption keys
  --image-opts         treat file as option string
  -c, --cmd STRING     execute command with its arguments
                       from the given string
  -f, --format FMT     specifies the block driver to use
  -r, --read-only      export read-only
  -s, --snapshot       use snapshot file
  -n, --nocache        disable host cache, short for -t none
  -C, --copy-on-read   enable copy-on-read
  -m, --misalign       misalign allocations for O_DIRECT
  -k, --native-aio     use kernel AIO implementation
                       (Linux only, prefer use of -i)
  -i, --aio=MODE       use AIO mode (threads, native or io_uring)
  -t, --cache=MODE     use the given cache mode for the image
  -d, --discard=MODE   use the given discard mode for the image
  -T, --trace [[enable=]<pattern>][,events=<file>][,file=<file>]
                       specify tracing options
                       see qemu-img(1) man page for full description
  -U, --force-share    force shared permissions
  -h, --help           display this help and exit
  -V, --version        output version information and exit

See '{name} -c help' for information on available commands.

See <https://qemu.org/contribute/report-a-bug> for how to report bugs.
More information on the QEMU project at <https://qemu.org>.
"""


class _Stop(Exception):
    """No more commands are run."""


def _quit(session: IoSession, words: Sequence[str]) -> bool:
    raise _Stop


def _close(session: IoSession, words: Sequence[str]) -> bool:
    target = session.target
    assert isinstance(target, ImageTarget)
    target.close()
    return True


def _open(session: IoSession, words: Sequence[str]) -> bool:
    target = session.target
    assert isinstance(target, ImageTarget)
    options = OpenOptions()
    lists: list[str] = []
    reader = Options(words, "snCro:ki:t:d:U", session.complain)
    for letter, value in reader:
        if letter == "o":
            lists.append(value)
        else:
            _take(options, letter, value)
    if target.is_open:
        raise QemuError("file open already, try 'help close'")
    if lists:
        from hmp.command_line.option_list import parse_options

        if len(reader.operands) > 1:
            raise SyntaxMismatch
        found = parse_options(",".join(lists), "", lambda text: session.report(f"warning: {text}"))
        target.open((reader.operands or [""])[0], options, dict(found))
        return True
    if len(reader.operands) != 1:
        raise SyntaxMismatch
    target.open(reader.operands[0], options)
    return True


def _take(options: OpenOptions, letter: str, value: str) -> None:
    """Heed an option that the program and its command `open` have in common.

    Raises:
        QemuError: its value can't be.
    """
    if letter == "r":
        options.read_only = True
    elif letter == "s":
        options.is_temporary = True
    elif letter == "n":
        options.cache = "none"
    elif letter == "C":
        options.copies_on_read = True
    elif letter == "k":
        options.uses_kernel = True
    elif letter == "i":
        if value not in _AIO_MODES:
            raise QemuError(f"Invalid aio option: {value}")
        options.uses_kernel = value == "native"
    elif letter == "t":
        if cache_mode(value) is None:
            raise QemuError(f"Invalid cache option: {value}")
        options.cache = value
    elif letter == "d":
        if value not in _UNMAPS:
            raise QemuError(f"Invalid discard option: {value}")
        options.unmaps = _UNMAPS[value]
    elif letter == "U":
        options.force_share = True


COMMANDS = (
    *io.COMMANDS,
    IoCommand(
        name="open",
        alias="o",
        arguments="[-rsCnkU] [-t cache] [-d discard] [-o options] [path]",
        help="open the file specified by path",
        least=1,
        most=None,
        run=_open,
    ),
    IoCommand(name="close", alias="c", help="close the current open file", run=_close),
    IoCommand(name="quit", alias="q", help="exit the program", run=_quit),
)
_WITHOUT_IMAGE = ("open", "quit", "help", "sleep", "sigraise", "abort")


def main() -> int:
    """Run the program with its own command line; the exit status."""
    return run_program(_run)


def _run(program: Program) -> int:
    import sys

    options = OpenOptions()
    lines: list[str] = []
    reader = OptionReader([program.name, *sys.argv[1:]], "hVc:d:f:rsnCmki:t:T:U", LONG_OPTIONS)
    try:
        for option, value in reader:
            if option == "h":
                program.write(USAGE.replace("{name}", program.name))
                return 0
            if option == "V":
                from hmp import __version__

                program.write(f"{program.name} version 7.2.0 (hmp {__version__})\n")
                return 0
            if option == "c":
                lines.append(value)
            elif option == "f":
                options.format = value
            elif option == "object":
                from hmp.tools.img_words import check_object

                check_object(value)
            elif option == "image-opts":
                options.by_options = True
            else:
                _take(options, option, value)
    except OptionError as error:
        program.complain(f"{program.name}: {error.fault}\n")
        return _misused(program)
    if len(reader.operands) > 1:
        return _misused(program)
    if options.format is not None and options.by_options:
        raise QemuError("--image-opts and -f are mutually exclusive")
    target = ImageTarget(program)
    if reader.operands:
        target.open(reader.operands[0], options)
    is_right = _run_lines(program, target, lines or _typed(program))
    target.close()
    return 0 if is_right else 1


def _misused(program: Program) -> int:
    program.write(USAGE.replace("{name}", program.name))
    return 1


def _run_lines(program: Program, target: ImageTarget, lines: Sequence[str] | Iterator[str]) -> bool:
    """Run command lines until one says quit; whether all went well."""
    is_right = True
    for line in lines:
        try:
            if not _is_possible(program, target, line):
                is_right = False
                continue
            is_right &= io.run(
                line, target, program.write, program.complain, program.say, commands=COMMANDS
            )
        except _Stop:
            break
        finally:
            program.flush()
    return is_right


def _is_possible(program: Program, target: ImageTarget, line: str) -> bool:
    """Whether a command can do without an image, if there is none."""
    words = [word for word in line.split(" ") if word]
    if target.is_open or not words:
        return True
    for command in COMMANDS:
        if words[0] in (command.name, command.alias) and command.name not in _WITHOUT_IMAGE:
            program.complain("no file open, try 'help open'\n")
            return False
    return True


def _typed(program: Program) -> Iterator[str]:
    """Lines from standard input, each behind a prompt."""
    waiting = b""
    while True:
        program.write(f"{program.name}> ")
        program.flush()
        while b"\n" not in waiting:
            data = os.read(0, 1 << 16)
            if not data:
                break
            waiting += data
        line, newline, waiting = waiting.partition(b"\n")
        if not line and not newline:
            return
        yield line.decode("utf-8", "surrogateescape")
