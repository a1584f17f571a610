"""What stands in for a command that is not simulated yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hmp.command import Command
    from hmp.monitor import Monitor


def unavailable(monitor: Monitor, **arguments: Any) -> None:
    """Say so: `NAME: not simulated yet`.

    Handlers call it too, where the machine at hand has what they cannot answer for.
    """
    monitor.print_line(f"{monitor.running_name}: not simulated yet")


def count_missing() -> int:
    """How many rows of the table have no handler of their own."""
    from hmp.commands import COMMANDS

    def missing(rows: Iterable[Command]) -> int:
        return sum(
            (row.run is unavailable) + (missing(row.sub_table) if row.sub_table else 0)
            for row in rows
        )

    return missing(COMMANDS)
