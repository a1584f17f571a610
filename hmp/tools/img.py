"""The program hmp-img: qemu-img's subcommands over our own block layer.

`vmstate`, which shows what a saved machine holds, is one that qemu-img hasn't got.
"""

from __future__ import annotations

from hmp.tools.getopt import OptionError, OptionReader, UsageError
from hmp.tools.img_words import HelpAsked, SilentFailure
from hmp.tools.program import Program, run_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = Callable[[Program, Sequence[str]], int]

# Each has a module of its own, `hmp.tools.img_NAME`, whose function `run` is the command.
COMMANDS = (
    "amend bench bitmap check commit compare convert create dd info map measure rebase resize "
    "snapshot vmstate"
).split()


def main() -> int:
    """Run the program with its own command line; the exit status."""
    import sys

    def run_words(program: Program) -> int:
        try:
            return run(program, sys.argv[1:])
        except UsageError as error:
            program.say(str(error))
            program.complain(f"Try '{program.name} --help' for more information\n")
            return 1
        except SilentFailure as failure:
            return failure.status
        except HelpAsked:
            from hmp.tools.img_help import USAGE

            program.write(_version(program) + USAGE.replace("{name}", program.name))
            return 0

    return run_program(run_words)


def run(program: Program, words: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status.

    Raises:
        UsageError: the words don't fit.
        HelpAsked: the help is wanted.
        SilentFailure: it failed, and said so.
        QemuError: what was asked for can't be done.
    """
    long = {"help": "h", "version": "V", "trace": "T:"}
    reader = OptionReader([program.name, *words], "hVT:", long, stops_early=True)
    try:
        for option, _ in reader:
            if option == "h":
                raise HelpAsked
            if option == "V":
                program.write(_version(program))
                return 0
    except OptionError as error:
        raise UsageError(str(error)) from error
    operands = reader.operands
    if not operands:
        raise UsageError("Not enough arguments")
    if operands[0] not in COMMANDS:
        raise UsageError(f"Command not found: {operands[0]}")
    return _command(operands[0])(program, operands)


def _command(name: str) -> Run:
    """A command's function; only its own module is imported."""
    module = __import__(f"hmp.tools.img_{name}", fromlist=["run"])
    run: Run = module.run
    return run


def _version(program: Program) -> str:
    from hmp import __version__

    return f"{program.name} version 7.2.0 (hmp {__version__})\n"
