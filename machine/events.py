"""What happens to a machine, told to whoever listens: QEMU's events, under their QMP names."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Listener = Callable[["Event"], object]


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


class Events:
    """Takes events, and tells the listeners in the order in which they came."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell it of every event from now on; it must not raise."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Tell it of none any more; harmless when it wasn't told before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, name: str, **data: Any) -> None:
        """Something happened."""
        if self._listeners:
            event = Event(name, data)
            for listener in tuple(self._listeners):
                listener(event)
