"""The machine put together from its parts, as QEMU would have made it.

From it alone come `info qom-tree`, `info qtree`, `info mtree` and `info virtio`.
"""

from __future__ import annotations

from machine.devices.pci import MODELS
from machine.inventory import MEMORY_TYPES
from machine.qom.blueprint import Row, board_rows, device_rows
from machine.qom.part import GONE, BusPart, DevicePart, Part, RegionPart
from machine.qom.plugged import plugged_device, plugged_devices, plugged_on_board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.machine import Machine
    from machine.qom.plugged import Plan

SYSTEM_BUS = "main-system-bus"
_OF_DISK = ("drive", "removable", "rerror", "serial", "share-rw", "werror")
_IO_APIC = 0xFEC00000  # where the first one is


class Composition:
    """The whole tree.

    Attributes:
        root: where all paths begin.
        buses: by name; the system's own first.
        regions: those of the board and, by their first device, of devices.
        in_order: all devices, in the order in which they were made.
        ram: the regions that are memory, in the order in which they were made.
        spaces: the address spaces: names and the regions that they begin with.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.root = Part("", "container")
        self.buses: dict[str, BusPart] = {}
        self.regions: dict[str, RegionPart] = {}
        self.spaces: list[tuple[str, RegionPart]] = []
        self.in_order: list[DevicePart] = []
        self.ram: list[RegionPart] = []
        self._numbers: dict[str, str] = _numbers(machine)
        self._is_complete = False
        self._parts = {*machine.board.parts, machine.board.properties}
        if any(bus.kind == "floppy-bus" for bus in machine.buses if bus.owner is None):
            self._parts.add("floppies")
        if machine.has_flash:
            self._parts |= {f"flash{chip.place}" for chip in machine.flash.chips}
        if "flash0" not in self._parts:
            self._parts.add("own-firmware")
        self._unattached_count = 0
        self._late: list[tuple[list[str], DevicePart | None]] = []
        self._bus_counts: dict[str, int] = {}
        board = Part("machine", f"{machine.board.name}-machine")
        self.root.add(board)
        for name in ("peripheral", "peripheral-anon", "unattached"):
            board.add(Part(name, "container"))
        self._board = board
        self.unattached = board.parts["unattached"]
        late_ram = self._compose_beside()
        for row in board_rows(machine.board.blueprint) or ():
            self._build(row, None)
        plans = [plugged_device(machine, each) for each in plugged_devices(machine)]
        for plan in plans:
            if not plan.is_hotplugged:
                self._plug(plan)
        self._is_complete = True
        for late, owner in self._late:
            self._build(Row(late), owner)
        for plan in plans:
            if plan.is_hotplugged:
                self._plug(plan)
        self.ram += late_ram

    def _compose_beside(self) -> list[RegionPart]:
        """What stands beside the machine: consoles, character devices, objects.

        Returns:
            RAM of objects that came after the board.
        """
        machine = self.machine
        late: list[RegionPart] = []
        chardevs = Part("chardevs", "container")
        self.root.add(chardevs)
        for each in machine.chardevs:
            chardevs.add(Part(each.label, f"chardev-{each.backend}"))
        if machine.ram_size or (machine.has_objects and machine.objects.were_used):
            objects = Part("objects", "container")
            self.root.add(objects)
            if machine.ram_size:
                objects.add(Part(machine.board.ram_name, "memory-backend-ram"))
            for made in machine.objects if machine.has_objects else ():
                part = Part(made.id, made.type.name)
                objects.add(part)
                if made.type.name in MEMORY_TYPES:
                    region = RegionPart(f"{made.id}[0]", made.id, made.values["size"])
                    region.kind, region.owner = "ram", part
                    part.add(region)
                    (self.ram if made.is_first else late).append(region)
        displays = machine.isa.displays if machine.isa is not None else {}
        if displays:
            backend = Part("backend", "container")
            self.root.add(backend)
            for number in range(len(displays)):
                console = Part(f"console[{number}]", "qemu-console")
                console.own |= {"device": "link<device>", "head": "uint32"}
                backend.add(console)
        return late

    # --- a line of the texts

    def _build(self, row: Row, device: DevicePart | None) -> None:
        kind, *words = row.words
        if words and words[0] == "=":
            pass  # `_make_device` has taken it already
        elif kind == "with":
            if words[0] in self._parts:
                inner = Row(words[1:])
                inner.rows = row.rows
                self._build(inner, device)
        elif kind in ("in", "out"):
            assert device is not None, "a board's lines are its own word"
            self._add_lines(device, kind, "" if words[0] == "-" else words[0], int(words[1]))
        elif kind == "own":
            owner = self.buses[words[3]] if words[2:3] == ["of"] else device or self._board
            owner.own |= dict.fromkeys(words[0].split(","), words[1])
        elif kind == "gone":
            self._board.own[words[0]] = GONE
        elif kind == "container":
            self._board.own[words[0]] = self._board.own.pop(words[0])
        elif kind == "gpio":
            for _ in range(int(words[1])):
                name = self.unattached.next_name("non-qdev-gpio")
                self.unattached.add(Part(name, words[0]))
        elif kind == "bus":
            assert device is not None, "buses belong to devices"
            self._add_bus(device, *words)
        elif kind == "space":
            self._add_space(self._named(words[0], device), self._region(words[1], device))
        elif kind == "tables":
            for name, most, used in self.machine.board.tables:
                words = ["region", f"/rom@{name}", f"{most:x}", "ram", "used", f"{used:x}"]
                self._late.append((words, device))
        elif kind == "late" and not self._is_complete:
            self._late.append((words, device))
        elif kind == "late":
            self._build(Row(words), device)
        elif kind == "sysbus":
            system = self.buses[SYSTEM_BUS] = BusPart(kind, "System")
            self.unattached.add(system)
        elif kind == "region":
            self._add_region(words, device)
        elif kind == "child":
            assert device is not None, "a board's parts are devices"
            self._make_child(device, words, row.rows)
        elif kind == "inner":
            assert device is not None, "a board's parts are devices"
            self._make_inner(device, *words)
        elif kind == "once":
            if not any(part.type == words[1] for part in self.root.all()):
                self._make_device(words[1:], row.rows)
        elif kind == "device":
            self._make_device(words, row.rows)
        elif kind == "transports":
            for number in range(self.machine.board.buses["virtio-mmio-bus"]):
                self._numbers["transport"] = str(number)
                self._make_device(words, [])
        elif kind == "cpus":
            for number in range(self.machine.cpu_count):
                self._numbers["cpu"] = str(number)
                self._make_device(words, [])
        else:
            assert kind == "plugged", f"a line of no known kind: {row.words}"
            for plan in plugged_on_board(self.machine, *words):
                self._plug(plan)

    def _make_device(self, words: list[str], rows: list[Row]) -> None:
        """A device of the board."""
        type, *rest = words
        pairs = (word.split("=", 1) for word in rest if "=" in word)
        values = {name: self._named(value, None) for name, value in pairs}
        rest = [word for word in rest if "=" not in word]
        bus = rest[rest.index("on") + 1] if "on" in rest else ""
        device = DevicePart(self._unattached_name() if rest[:1] in ([], ["on"]) else rest[0], type)
        parent = self.unattached if device.name.startswith("device[") else self._board
        parent.add(device)
        if "at" in rest:
            device.pci_place = _pci_place(rest)
        self._furnish(device, bus, values, rows)

    def _unattached_name(self) -> str:
        self._unattached_count += 1
        return f"device[{self._unattached_count - 1}]"

    def _plug(self, plan: Plan) -> None:
        """A device that the options ask for."""
        if plan.device is not None:
            self._numbers["cpu"] = plan.device.shown.get("cpu", "")
        place, _, name = plan.path.rpartition("/")
        device = DevicePart(name or self._unattached_name(), plan.type, plan.id)
        device.plugged = plan.device
        device.pci_place = plan.pci_place
        parent = self.root.find(place) if place else None
        (parent or self.unattached).add(device)
        self._furnish(device, plan.bus, plan.values, [])

    def _make_child(self, device: DevicePart, words: list[str], more: list[Row]) -> None:
        name, type, *rest = words
        child = DevicePart(name, type)
        if "at" in rest:
            child.pci_place = _pci_place(rest)
        device.add(child)
        # What the outer device is told and doesn't know itself is meant for its part.
        values, device.left = device.left, {}
        self._furnish(child, rest[1] if rest else "", values, more, device)

    def _make_inner(self, device: DevicePart, name: str, type: str) -> None:
        """A disk on a device's own bus, which is made of what the device is told."""
        bus = device.buses[0]
        disk = DevicePart(name, type)
        bus.add(disk)
        values = {each: device.properties[each].strip('"') for each in _OF_DISK}
        device.properties["drive"] = '""'
        values |= device.left
        values["device_id"] = values["serial"] or values["device_id"]
        device.left = {}
        self._furnish(disk, bus.name, values, [], device)

    def _furnish(
        self,
        device: DevicePart,
        bus_name: str,
        values: Mapping[str, str],
        more: list[Row],
        outer: DevicePart | None = None,
    ) -> None:
        """Give a device its properties, its bus and its parts."""
        self.in_order.append(device)
        rows = [*device_rows(device.type), *more]
        for row in rows:
            if row.words[1:2] == ["="]:
                device.properties[row.words[0]] = row.words[2]
        device.left = device.take(values)
        if device.pci_place is not None and "addr" in device.properties:
            device.properties["addr"] = "{:02x}.{:x}".format(*device.pci_place)
        bus = outer.find_bus(bus_name) if outer is not None else None
        bus = bus or self.buses.get(bus_name)
        if bus is not None:
            device.bus = bus
            bus.add_device(device)
        for row in rows:
            self._build(row, device)

    # --- lines, buses

    def _add_lines(self, device: DevicePart, kind: str, name: str, count: int) -> None:
        device.gpios.setdefault(name, {})[kind] = count
        if kind == "in":
            for number in range(count):
                device.add(Part(f"{name or 'unnamed-gpio-in'}[{number}]", "irq"))
        else:
            for number in range(count):
                device.own[f"{name or 'unnamed-gpio-out'}[{number}]"] = "link<irq>"

    def _add_bus(self, device: DevicePart, name: str, kind: str) -> None:
        if name[0] in "*@":
            id = device.named_by
            number = f".{name[1:] or 0}" if name[0] == "*" else ""
            count = self._bus_counts.get(kind, 0)
            if not id:
                self._bus_counts[kind] = count + 1
            name = f"{id}{number}" if id else f"{kind.lower()}.{count}"
        name = self._named(name, device)
        bus = BusPart(name, kind)
        device.add(bus)
        device.buses.append(bus)
        if kind != "virtio-pci-bus":  # all of those are called the same
            self.buses.setdefault(name, bus)

    # --- regions

    def _region(self, label: str, device: DevicePart | None) -> RegionPart:
        """The region of a name: the device's own, or else anybody's.

        ``bus-pci`` and ``bus-io`` are those of the bus that the device is on.
        """
        if device is not None and label.startswith("bus-"):
            owner = device.bus.parent if device.bus is not None else None
            kind = label.removeprefix("bus-")
            if isinstance(owner, DevicePart) and f"pci_bridge_{kind}[0]" in owner.parts:
                return self._region(f"pci_bridge_{kind}", owner)
            return self.regions[kind]
        if device is not None:
            own = [each for each in device.parts.values() if isinstance(each, RegionPart)]
            for region in own:
                if region.label == label:
                    return region
        return self.regions[label]

    def _add_region(self, words: list[str], device: DevicePart | None) -> None:
        """A memory region, or several: ``xCOUNT`` one after the other.

        The flags:

        - ``at REGION+ADDRESS`` where it is mapped, ``prio NUMBER``
        - ``alias REGION+OFFSET``
        - ``ram``, ``rom``, ``romd``; ``box`` where only the regions in it answer
        - ``used BYTES``: of RAM that may grow, what it has
        - ``off``: it is disabled
        - ``loose``: a device's that belongs to the board
        - ``bar NUMBER``: it isn't there without this bar
        - ``once``: only the first of a name is mapped
        - ``mmio``: the system's bus maps it
        - ``space NAME``: an address space begins with it
        - ``of objects``: the RAM

        A region of no bytes isn't there, unless ``empty`` says so; without a size it is never
        mapped.
        """
        label = self._named(words[0], device)
        flags = words[1:]
        has_size = bool(flags) and flags[0] != "bar"
        size = self._number(flags[0], device) if has_size else 0
        if has_size and not size and "empty" not in flags:
            return
        if "bar" in flags and device is not None and device.plugged is not None:
            bars = MODELS[device.type].bars_of(device.plugged.options)
            if flags[flags.index("bar") + 1] not in (bar[0] for bar in bars):
                return
        owner: Part = device or self.unattached
        if "of" in flags:
            owner = self.root.parts["objects"].parts[label]
        parent = self.unattached if "loose" in flags else owner
        target, offset = None, 0
        if "alias" in flags:  # one that was there before
            target, offset = self._place(flags[flags.index("alias") + 1], device)
        count = next((int(word[1:]) for word in flags if word[0] == "x" and word[1:].isdigit()), 1)
        for index in range(count):
            region = RegionPart(parent.next_name(label), label, size)
            parent.add(region)
            region.owner = None if parent is self.unattached else owner
            if "used" in flags:
                region.used_size = int(flags[flags.index("used") + 1], 16)
            region.is_enabled = "off" not in flags
            region.is_container = "box" in flags
            if "prio" in flags:
                region.priority = int(flags[flags.index("prio") + 1])
            if target is not None:
                region.alias, region.alias_offset = target, offset + index * size
                region.kind = target.kind
            region.kind = next(
                (each for each in ("ram", "rom", "romd") if each in flags), region.kind
            )
            if "at" in flags and not ("once" in flags and label in self.regions):
                container, address = self._place(flags[flags.index("at") + 1], device)
                container.map(region, address + index * size)
            if region.kind != "i/o" and region.alias is None:
                self.ram.append(region)
            if "mmio" in flags and device is not None:
                device.on_bus.mapped.append(region)
            self.regions.setdefault(label, region)
            if "space" in flags:
                name = flags[flags.index("space") + 1]
                self._add_space(self._named(name, device), region)

    def _place(self, text: str, device: DevicePart | None) -> tuple[RegionPart, int]:
        label, _, offset = text.partition("+")
        return self._region(label, device), self._number(offset, device)

    def _add_space(self, name: str, region: RegionPart) -> None:
        self.spaces.append((name, region))

    def _number(self, text: str, device: DevicePart | None) -> int:
        """A sum of hexadecimal numbers and of ``$NAME``; a part may be shifted by another."""
        total = 0
        for term in text.split("+"):
            value, _, shift = term.partition("<<")
            total += self._term(value, device) << (self._term(shift, device) if shift else 0)
        return total

    def _term(self, text: str, device: DevicePart | None) -> int:
        named = self._named(text, device)
        return int(named, 10 if text.startswith("$") else 16)

    def _named(self, text: str, device: DevicePart | None) -> str:
        """A text in which ``$NAME`` stands for what has that name here."""
        before, dollar, name = text.partition("$")
        if not dollar:
            return text
        if device is not None and name in device.properties:
            return before + device.properties[name].removesuffix("B")
        if device is not None and name in device.left:
            return before + device.left[name]
        if device is not None and name == "type":
            return before + device.type
        return before + self._numbers[name]


def _pci_place(words: list[str]) -> tuple[int, int]:
    slot, function = words[words.index("at") + 1].split(".")
    return int(slot, 16), int(function)


def _numbers(machine: Machine) -> dict[str, str]:
    """What the texts of boards may ask for."""
    from machine.assembly import split_ram

    below, above = split_ram(machine)
    return {
        "ram": str(machine.ram_size),
        "ram_name": machine.board.ram_name,
        "ram_below_4g": str(below),
        "ram_above_4g": str(above),
        "io-apic": str(_IO_APIC),
        **dict(machine.flash.numbers() if machine.has_flash else ()),
    }


def compose(machine: Machine) -> Composition:
    """The whole tree of a machine as it is now."""
    return Composition(machine)
