"""Completion scripts for shells: ``python -m hmp.tools.completion PROGRAM SHELL``.

The programs read their command lines themselves, as QEMU's do; here the same options are told to
a parser that only shtab looks at, which knows the shells.
"""

from __future__ import annotations

import argparse
import sys

from hmp.tools.img import COMMANDS as IMG_COMMANDS

SHELLS = ("bash", "zsh", "tcsh")
# Of these the value is a file's name.
_FILES = frozenset(
    "cdrom config fda fdb hda hdb hdc hdd loadvm pidfile record replay readconfig".split()
)


def program_parser() -> argparse.ArgumentParser:
    """What `hmp` takes."""
    from hmp.command_line.options import option_names

    parser = _parser("hmp", "the QEMU human monitor over a simulated machine")
    flags, valued = option_names()
    for name in sorted(flags - {"h", "help"}):
        parser.add_argument(f"-{name}", action="store_true")
    for name in sorted(valued):
        _complete_file(parser.add_argument(f"-{name}"), is_file=name in _FILES)
    _complete_file(parser.add_argument("disk_image", nargs="?"), is_file=True)
    return parser


def img_parser() -> argparse.ArgumentParser:
    """What `hmp-img` takes: the commands; of their options, those that most have."""
    parser = _parser("hmp-img", "qemu-img over the same block layer")
    commands = parser.add_subparsers(dest="command")
    for name in IMG_COMMANDS:
        command = commands.add_parser(name, add_help=False)
        for flag in ("-h", "--help", "-U", "--force-share", "-q", "-p", "--image-opts"):
            command.add_argument(flag, action="store_true")
        for option in ("-f", "-O", "-o", "-t", "-T", "--object"):
            command.add_argument(option)
        command.add_argument("--output", choices=("human", "json"))
        _complete_file(command.add_argument("filename", nargs="*"), is_file=True)
    return parser


def io_parser() -> argparse.ArgumentParser:
    """What `hmp-io` takes."""
    from hmp.tools.io_program import LONG_OPTIONS

    parser = _parser("hmp-io", "qemu-io over the same block layer")
    for name, short in LONG_OPTIONS.items():
        if name != "help":
            names = [f"--{name}"]
            letter = short.rstrip(":")
            if len(letter) == 1:
                names.append(f"-{letter}")
            if short.endswith(":"):
                parser.add_argument(*names)
            else:
                parser.add_argument(*names, action="store_true")
    _complete_file(parser.add_argument("file", nargs="?"), is_file=True)
    return parser


PARSERS = {"hmp": program_parser, "hmp-img": img_parser, "hmp-io": io_parser}


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)


def _complete_file(action: argparse.Action, *, is_file: bool) -> None:
    if is_file:
        import shtab

        action.complete = shtab.FILE  # type: ignore[attr-defined]  # what shtab looks for


def main() -> int:
    """Print one program's script; the exit status."""
    words = sys.argv[1:]
    if len(words) != 2 or words[0] not in PARSERS or words[1] not in SHELLS:
        programs, shells = "|".join(PARSERS), "|".join(SHELLS)
        sys.stderr.write(f"usage: python -m hmp.tools.completion {programs} {shells}\n")
        return 1
    try:
        import shtab
    except ImportError:
        sys.stderr.write("completion scripts are made by shtab: pip install shtab\n")
        return 1
    sys.stdout.write(shtab.complete(PARSERS[words[0]](), shell=words[1]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
