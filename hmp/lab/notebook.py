"""What the lab keeps for one monitor between its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.lab.course import Course
    from hmp.lab.trace import Trace
    from hmp.monitor import Monitor


class Notebook:
    """A monitor's own.

    Attributes:
        trace: who tells the monitor of steps; None while it is off.
        course: the lesson that goes on; None for none.
    """

    __slots__ = ("course", "trace")

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self.course: Course | None = None


def notebook_of(monitor: Monitor) -> Notebook:
    """The monitor's notebook, which it has from the first question for it on."""
    if monitor.notebook is None:
        monitor.notebook = Notebook()
    return monitor.notebook
