"""The area of an image where a machine's state is kept, as its writer and its reader see it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer


class VMStateWriter:
    """Takes a machine's state while it is saved; nothing of it counts until a snapshot has it."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append the buffers to the state."""
        raise NotImplementedError

    def write_rest(self) -> None:
        """All of the state is there: write what was held back of it, if anything was."""

    def abandon(self) -> None:
        """Give back what the state took; it doesn't become part of a snapshot."""
        raise NotImplementedError


class VMStateReader:
    """Gives a snapshot's machine state."""

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill `view` from `offset` and return how much of it that was; 0 past the end.

        The state may be shorter: up to the end of what the format sets aside for it there are
        zeros.
        """
        raise NotImplementedError
