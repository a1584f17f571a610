"""Topics of `info` whose answer is what the machine is made of."""

from __future__ import annotations

from hmp.commands.unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def print_description(monitor: Monitor, topic: str, nothing: str = "") -> None:
    """Print what the machine says of a topic; where it cannot, that this is not simulated.

    Args:
        monitor: whose machine is asked.
        topic: as in `Machine.describe`.
        nothing: what to print where the machine has nothing of the kind; lines, each ended.
    """
    lines = monitor.machine.describe(topic)
    if lines is None:
        unavailable(monitor)
    elif lines:
        monitor.print("".join(f"{line}\n" for line in lines))
    else:
        monitor.print(nothing)


def has_none(monitor: Monitor, topic: str) -> bool:
    """Whether the machine says that it has nothing of the kind."""
    lines = monitor.machine.describe(topic)
    return lines is not None and not lines
