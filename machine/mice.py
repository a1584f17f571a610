"""Mice and keyboards: who is there to take what a user types and points at."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.boards import Board

KEYBOARD, MOUSE, TABLET = "keyboard", "mouse", "tablet"


class InputHandler:
    """One of them.

    Attributes:
        index: counts all that there ever were, from 1 on.
        name: as users see it.
        kind: `KEYBOARD`, `MOUSE` or `TABLET`.
    """

    __slots__ = ("index", "kind", "name")

    def __init__(self, index: int, name: str, kind: str) -> None:
        self.index = index
        self.name = name
        self.kind = kind


class Mice:
    """All of them; the first mouse is the one that moves."""

    __slots__ = ("_count", "_handlers")

    def __init__(self, board: Board) -> None:
        self._handlers: list[InputHandler] = []
        self._count = 0
        if "i8042" in board.parts:
            self.add("QEMU PS/2 Keyboard", KEYBOARD)
            self.add("QEMU PS/2 Mouse", MOUSE)

    def add(self, name: str, kind: str) -> InputHandler:
        """One comes, and is the last."""
        self._count += 1
        handler = InputHandler(self._count, name, kind)
        self._handlers.append(handler)
        return handler

    def remove(self, handler: InputHandler) -> None:
        self._handlers.remove(handler)

    @property
    def has_tablet(self) -> bool:
        return any(each.kind == TABLET for each in self._handlers)

    def mice(self) -> list[InputHandler]:
        """Those that point, the current one last."""
        return [each for each in reversed(self._handlers) if each.kind != KEYBOARD]

    def select(self, index: int) -> None:
        """Let another mouse be the current one.

        Raises:
            QemuError: it is none.
        """
        found = next((each for each in self._handlers if each.index == index), None)
        if found is None:
            raise QemuError(f"Mouse at index '{index}' not found")
        if found.kind == KEYBOARD:
            raise QemuError(f"Input device '{found.name}' is not a mouse")
        self._handlers.remove(found)
        self._handlers.insert(0, found)

    def describe(self) -> Iterator[str]:
        """The lines of ``info mice``."""
        mice = self.mice()
        for each in mice:
            mark = "*" if each is mice[-1] else " "
            absolute = " (absolute)" if each.kind == TABLET else ""
            yield f"{mark} Mouse #{each.index}: {each.name}{absolute}"
