"""The parts of a machine: objects, devices, the buses between them, and memory regions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from machine.devices.qdev import Device


GONE = ""  # the type of a property that was taken away, but still has its place in the order


class Part:
    """One object of the tree.

    Attributes:
        name: in the object it is a part of; "" for the root.
        type: QOM's name of it.
        parent: what it is a part of; None for the root.
        parts: its own parts by name, in the order in which they were made.
        own: the types of its properties that not all of its class have, parts too, by name.
    """

    __slots__ = ("name", "own", "parent", "parts", "type")

    def __init__(self, name: str, type: str) -> None:
        self.name = name
        self.type = type
        self.parent: Part | None = None
        self.parts: dict[str, Part] = {}
        self.own: dict[str, str] = {}

    def add(self, part: Part) -> None:
        """Give it another part."""
        part.parent = self
        self.parts[part.name] = part
        self.own[part.name] = f"child<{part.type}>"

    def next_name(self, name: str) -> str:
        """The first name of ``NAME[0]``, ``NAME[1]``, ... that is free."""
        name = name.replace("/", "\\x2f")
        number = 0
        while f"{name}[{number}]" in self.parts:
            number += 1
        return f"{name}[{number}]"

    @property
    def path(self) -> str:
        """Its place in the tree: all names from the root on."""
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    def lines(self, indent: str = "") -> Iterator[str]:
        """The tree from here on, a line for each object, parts by their names."""
        yield f"{indent}/{self.name} ({self.type})"
        for name in sorted(self.parts):
            yield from self.parts[name].lines(indent + "  ")

    def find(self, path: str) -> Part | None:
        """The part at a path from the root, or the only one that a relative path fits."""
        found = self.find_all(path)
        return found[0] if len(found) == 1 else None

    def find_all(self, path: str) -> list[Part]:
        """The part at a path from the root, or all that a relative path fits."""
        names = [name for name in path.split("/") if name]
        starts = [self] if path.startswith("/") else self.all()
        return [each for each in (part._walk(names) for part in starts) if each is not None]

    def _walk(self, names: list[str]) -> Part | None:
        part: Part | None = self
        for name in names:
            part = part.parts.get(name) if part is not None else None
        return part

    def all(self) -> Iterator[Part]:
        """Itself, and all that is below it."""
        yield self
        for part in self.parts.values():
            yield from part.all()


class BusPart(Part):
    """A bus.

    Attributes:
        devices: in the order in which they were plugged in.
        numbered: they by the names of the bus's links to them.
    """

    __slots__ = ("_next_number", "devices", "numbered")

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(name, kind)
        self.devices: list[DevicePart] = []
        self.own |= {"hotplug-handler": "link<hotplug-handler>", "realized": "bool"}
        self.numbered: dict[str, DevicePart] = {}
        self._next_number = 0

    def add_device(self, device: DevicePart) -> None:
        """Plug a device in."""
        self.devices.append(device)
        name = f"child[{self._next_number}]"
        self.numbered[name] = device
        self.own[name] = f"link<{device.type}>"
        self._next_number += 1


class DevicePart(Part):
    """A device.

    Attributes:
        id: what the user calls it; "" for nothing.
        bus: where it is plugged in; None for nowhere.
        properties: those that `info qtree` shows, in its order, as `shown_value` takes them.
        gpios: how many interrupt lines go in and out, by the name of their list.
        buses: those that it brings along.
        mapped: the regions that a bus of the system maps.
        pci_place: slot and function on a PCI bus.
        plugged: what it is in the machine; None for what the board has.
        left: what it was told and has no property for.
    """

    __slots__ = (
        "bus",
        "buses",
        "gpios",
        "id",
        "left",
        "mapped",
        "pci_place",
        "plugged",
        "properties",
    )

    def __init__(self, name: str, type: str, id: str = "") -> None:
        super().__init__(name, type)
        self.id = id
        self.bus: BusPart | None = None
        self.properties: dict[str, str] = {}
        self.gpios: dict[str, dict[str, int]] = {}
        self.buses: list[BusPart] = []
        self.mapped: list[RegionPart] = []
        self.pci_place: tuple[int, int] | None = None
        self.plugged: Device | None = None
        self.left: dict[str, str] = {}

    @property
    def named_by(self) -> str:
        """The id by which its buses are called: its own, or of the device it is a part of."""
        outer = self.parent
        return self.id or (outer.named_by if isinstance(outer, DevicePart) else "")

    @property
    def on_bus(self) -> DevicePart:
        """Itself, or the device it is a part of, if only that is on a bus."""
        outer = self.parent
        return outer if self.bus is None and isinstance(outer, DevicePart) else self

    def uses(self, option: str, name: str) -> bool:
        """Whether the user gave it an option of this value."""
        return self.plugged is not None and self.plugged.options.get(option) == name

    def find_bus(self, name: str) -> BusPart | None:
        """A bus of its own."""
        return next((bus for bus in self.buses if bus.name == name), None)

    def take(self, values: Mapping[str, str]) -> dict[str, str]:
        """Give properties other values.

        Returns:
            Those that it doesn't have.
        """
        left = {}
        for name, value in values.items():
            if name in self.properties:
                self.properties[name] = _like(self.properties[name], value)
            else:
                left[name] = value
        return left


class RegionPart(Part):
    """A memory region.

    Attributes:
        label: its name, which others may have too.
        size: bytes; 0 for a region that only has a name here.
        kind: how accesses are answered: ``i/o``, ``ram``, ``rom``, ``romd``.
        owner: the device or object it belongs to; None for the board.
        container: the region it lies in; None for none.
        address: in it.
        priority: of several at an address the highest answers.
        alias: the region that it shows a part of; None for none.
        alias_offset: where that part begins.
        is_container: whether only the regions in it answer.
        is_enabled: whether accesses come to it.
        used_size: of RAM that may grow, what it has now.
        regions: those in it: by address, then by priority, then the newest first.
    """

    __slots__ = (
        "address",
        "alias",
        "alias_offset",
        "container",
        "is_container",
        "is_enabled",
        "kind",
        "label",
        "owner",
        "priority",
        "regions",
        "size",
        "used_size",
    )

    def __init__(self, name: str, label: str, size: int) -> None:
        super().__init__(name, "memory-region")
        self.label = label
        self.size = self.used_size = size
        self.kind = "i/o"
        self.owner: Part | None = None
        self.container: RegionPart | None = None
        self.address = 0
        self.priority = 0
        self.alias: RegionPart | None = None
        self.alias_offset = 0
        self.is_container = False
        self.is_enabled = True
        self.regions: list[RegionPart] = []

    def map(self, region: RegionPart, address: int) -> None:
        """Lay another region into it."""
        region.container = self
        region.address = address
        place = address, -region.priority
        later = (
            number
            for number, each in enumerate(self.regions)
            if (each.address, -each.priority) >= place
        )
        self.regions.insert(next(later, len(self.regions)), region)


def _like(old: str, new: str) -> str:
    """A value as a user writes it, in the form of the property's present one."""
    if old in ("true", "false"):
        return {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false"}.get(
            new, new
        )
    if old.startswith('"'):
        return new if new.startswith('"') else f'"{new}"'
    from machine.schema import read_size

    number = new.removesuffix("B")
    if not number.lstrip("-").isdecimal():
        size = read_size(number)
        number = new if size is None else str(size)
    return f"{number}B" if old.endswith("B") and number.isdecimal() else number
