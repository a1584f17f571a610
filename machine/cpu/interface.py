"""What a machine asks of a processor that executes, whatever it executes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.cpu.budget import Budget
    from machine.vmstate.description import VMStateDescription


class Cpu:
    """One processor.  It is given time in slices and never takes more than it was given.

    Attributes:
        index: its number.
        vmstate: how its registers are saved and loaded, from and to its attributes; None for
            one that has no state outside of memory.
    """

    index = 0
    vmstate: VMStateDescription | None = None

    def reset(self) -> None:
        """The state after power-on; memory is not the processor's and stays."""
        raise NotImplementedError

    def run(self, now_ns: int, budget: Budget) -> int | None:
        """Execute what is due, for one slice.

        Args:
            now_ns: guest time, the same for the whole slice.
            budget: how long that may take.

        Returns:
            The guest time at which to go on, up to ``now_ns`` if there is more to do already;
            None when only an interrupt wakes it.
        """
        raise NotImplementedError

    def interrupt(self, line: int, level: bool) -> None:
        """Raise or lower an interrupt line; a processor that waits is run again."""
        raise NotImplementedError

    def registers(self) -> Mapping[str, int]:
        """The registers that differ from those after a reset, by the names of `print`."""
        raise NotImplementedError

    def invalidate(self, address: int, size: int) -> None:
        """Somebody else wrote these bytes of memory: forget what was made of them."""
        raise NotImplementedError
