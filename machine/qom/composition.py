"""The machine as a tree of the objects that it is made of: what ``info qom-tree`` shows.

Boards with buses have hundreds of objects that nothing else here knows of; their trees aren't told.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine


class Part:
    """One object of the tree.

    Attributes:
        name: in the object it is a part of; "" for the root.
        type: QOM's name of it.
        parts: its own parts by name.
    """

    __slots__ = ("name", "parts", "type")

    def __init__(self, name: str, type: str, *parts: Part) -> None:
        self.name = name
        self.type = type
        self.parts = {part.name: part for part in parts}

    def add(self, name: str, type: str) -> Part:
        """Give it another part."""
        part = self.parts[name] = Part(name, type)
        return part

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree from here on, a line for each object, parts by their names."""
        yield f"{indent}/{self.name} ({self.type})"
        for name in sorted(self.parts):
            yield from self.parts[name].lines(indent + "  ")

    def find(self, path: str) -> Part | None:
        """The part at a path from the root, or the only one that a relative path fits."""
        names = [name for name in path.split("/") if name]
        if path.startswith("/"):
            return self._walk(names)
        found = [each for each in (part._walk(names) for part in self._all()) if each]
        return found[0] if len(found) == 1 else None

    def _walk(self, names: list[str]) -> Part | None:
        part: Part | None = self
        for name in names:
            part = part.parts.get(name) if part is not None else None
        return part

    def _all(self) -> Iterator[Part]:
        yield self
        for part in self.parts.values():
            yield from part._all()


def compose(machine: Machine) -> Part | None:
    """The whole tree; None for a board of which it isn't told."""
    if machine.buses:
        return None
    root = Part("", "container")
    chardevs = root.add("chardevs", "container")
    for each in machine.chardevs:
        chardevs.add(each.label, f"chardev-{each.backend}")
    board = root.add("machine", f"{machine.board.name}-machine")
    peripheral = board.add("peripheral", "container")
    anonymous = board.add("peripheral-anon", "container")
    unattached = board.add("unattached", "container")
    for name, type in (("io[0]", "memory-region"), ("sysbus", "System")):
        unattached.add(name, type)
    unattached.add("system[0]", "memory-region")
    if machine.has_plugs:
        for device in machine.plugs.devices:
            place, _, name = device.path.rpartition("/")
            (anonymous if place.endswith("-anon") else peripheral).add(name, device.model.name)
    if machine.ram_size or (machine.has_objects and machine.objects.were_used):
        objects = root.add("objects", "container")
        if machine.ram_size:
            ram = objects.add(machine.board.ram_name, "memory-backend-ram")
            ram.add(f"{machine.board.ram_name}[0]", "memory-region")
        for made in machine.objects if machine.has_objects else ():
            objects.add(made.id, made.type.name)
    return root
