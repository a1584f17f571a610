"""Which front end a person, or a script, gets."""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.command_line.options import Option

PLAIN, RICH = "plain", "rich"
SCRIPT = "script"  # lines are given, and nobody is at a prompt
# Whoever gives one of these has said where the monitor is, and wants QEMU's own bytes there.
_PLACES_OF_THE_MONITOR = frozenset(("monitor", "mon", "nographic", "daemonize"))


def choose_front_end(options: Sequence[Option]) -> str:
    """`SCRIPT`, `PLAIN` or `RICH`.

    `-c` and `--replay` say so, else `--ui`, else the variable HMP_UI, else where we are.

    Raises:
        QemuError: there is no such front end, or it can't be had here.
    """
    if any(option.name in ("c", "replay") for option in options):
        return SCRIPT
    wanted, asked_by = os.environ.get("HMP_UI", ""), "HMP_UI="
    for option in options:
        if option.name == "ui":
            wanted, asked_by = option.value, "--ui "
    if wanted not in ("", PLAIN, RICH):
        raise QemuError(f"{asked_by}{wanted}: no such front end; there are plain and rich")
    if wanted == RICH:
        if not _on_a_terminal():
            raise QemuError(f"{asked_by}rich: standard input and output must be a terminal")
        if any(_takes_stdio(option) for option in options):
            raise QemuError(f"{asked_by}rich: another option has standard input already")
        return RICH
    if wanted == PLAIN or not _on_a_terminal() or os.environ.get("TERM", "") in ("", "dumb"):
        return PLAIN
    if any(option.name in _PLACES_OF_THE_MONITOR or _takes_stdio(option) for option in options):
        return PLAIN
    return RICH


def _on_a_terminal() -> bool:
    return os.isatty(0) and os.isatty(1)


def _takes_stdio(option: Option) -> bool:
    if option.name in ("monitor", "serial", "qmp", "qmp-pretty"):
        return option.value.removeprefix("mon:") == "stdio"
    return option.name == "chardev" and option.value.partition(",")[0] == "stdio"
