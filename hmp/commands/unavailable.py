"""What is said where the machine has something that is not simulated yet."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hmp.monitor import Monitor


def unavailable(monitor: Monitor, **arguments: Any) -> None:
    """Say so: `NAME: not simulated yet`."""
    monitor.print_line(f"{monitor.running_name}: not simulated yet")
