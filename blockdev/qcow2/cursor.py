"""A list of buffers, handed out piece by piece."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer


class Cursor:
    """Hands out a list of buffers piece by piece, without copying."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._views = [memoryview(buffer) for buffer in buffers if len(buffer)]
        self._views.reverse()
        self.remaining = sum(map(len, self._views))

    def take(self, size: int) -> list[Buffer]:
        """The next `size` bytes, or what is left."""
        taken: list[Buffer] = []
        while size and self._views:
            view = self._views.pop()
            if len(view) > size:
                self._views.append(view[size:])
                view = view[:size]
            taken.append(view)
            size -= len(view)
            self.remaining -= len(view)
        return taken
