"""A list of buffers, handed out piece by piece."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer


class Cursor:
    """Hands out a list of buffers piece by piece, without copying."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = buffers
        self._views: list[memoryview] | None = None  # the rest, last one first, once it is cut
        self.remaining = sum(map(len, buffers))

    def take(self, size: int) -> list[Buffer]:
        """The next `size` bytes, or what is left."""
        if self._views is None:
            if size >= self.remaining:  # as most writes are, in one piece
                self.remaining, self._views = 0, []
                return list(self._buffers)
            self._views = [memoryview(buffer) for buffer in self._buffers if len(buffer)]
            self._views.reverse()
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
