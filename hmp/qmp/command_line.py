"""The options of QEMU's command line that are made of parameters, as a program may ask for them.

All of QEMU's, whether they are simulated here or not: who asks wants to know what this QEMU is.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATH = os.path.join(os.path.dirname(__file__), "command_line.txt")


def options() -> list[dict[str, Any]]:
    """Every option with its parameters, in QEMU's order.

    Source: what `query-command-line-options` of Debian's build answers.
    """
    found: list[dict[str, Any]] = []
    with open(_PATH, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("\t"):
                name, kind, *more = line[1:].replace("\\n", "\n").split("\t")
                row = {"name": name, "type": kind}
                row.update({k: v for k, v in zip(("help", "default"), more, strict=False) if v})
                found[-1]["parameters"].append(row)
            elif line and not line.startswith("#"):
                found.append({"option": "" if line == "-" else line, "parameters": []})
    return found
