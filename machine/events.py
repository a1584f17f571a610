"""What happens to a machine, told to whoever listens: QEMU's events, under their QMP names."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Event:
    """One event.

    Attributes:
        name: as QMP has it, such as `STOP`.
        data: what QMP sends with it; empty for most.
    """

    __slots__ = ("data", "name")

    def __init__(self, name: str, data: dict[str, Any]) -> None:
        self.name = name
        self.data = data


class Listeners:
    """Whoever wants to hear of something, in the order in which they came."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: list[Callable[[Any], object]] = []

    def listen(self, listener: Callable[[Any], object]) -> None:
        """Tell it of everything from now on; it must not raise."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[Any], object]) -> None:
        """Tell it of nothing any more; harmless when it wasn't told before."""
        if listener in self._listeners:
            self._listeners.remove(listener)


class Events(Listeners):
    """Takes events, and tells the listeners in the order in which they came."""

    __slots__ = ()

    def emit(self, name: str, **data: Any) -> None:
        """Something happened."""
        if self._listeners:
            event = Event(name, data)
            for listener in tuple(self._listeners):
                listener(event)
