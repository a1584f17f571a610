"""Models of the table: all that is known of them stands there, or with QEMU's types."""

from __future__ import annotations

from functools import partial

from blockdev.errors import QemuError
from machine.devices import usb
from machine.devices.model_table import rows
from machine.devices.numbered_ports import NUMBERINGS
from machine.devices.qdev import DeviceModel
from machine.devices.storage import add_bus, find_disk, plug_inner_disk
from machine.mice import KEYBOARD, MOUSE, TABLET
from machine.schema import KEYVAL, Bool, Enum, Integer, Size, read_integer
from machine.vmstate.description import VMStateDescription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from machine.devices.model_table import ModelRow
    from machine.devices.qdev import Device, Realize
    from machine.machine import Machine
    from machine.schema import Type

_MOST_USB_PORTS = 15
_MOST_SERIAL_PORTS = 511
_OF_ALL = frozenset("driver id bus".split())
_KINDS: dict[str, Type] = {
    "bool": Bool(),
    "int8": Integer(8),
    "int32": Integer(32),
    "int64": Integer(),
    "uint8": Integer(8, is_signed=False),
    "uint16": Integer(16, is_signed=False),
    "uint32": Integer(32, is_signed=False),
    "uint64": Integer(is_signed=False),
    "size": Size(),
    "OnOffAuto": Enum("auto on off"),
}
INPUT_KINDS = (KEYBOARD, MOUSE, TABLET)
_READ_OTHERWISE = frozenset(("addr", "mac", "netdev"))


class TableModel(DeviceModel):
    """A model that is a row of the table.

    Args:
        row: of the table.
        realize: what there is to do for it besides.
    """

    __slots__ = ("_realize_more", "_row")

    def __init__(self, row: ModelRow, realize: Realize | None = None) -> None:
        super().__init__(row.name, row.bus, "", self.plug_in)
        self._row = row
        self._realize_more = realize

    def check(self, options: Mapping[str, str]) -> None:
        from machine.qom.known_types import known_types

        types = known_types()
        known = types.find(self.name)
        assert known is not None, "the table has QEMU's models alone"
        properties = {each.name: each for each in types.device_properties(known)}
        for name, value in options.items():
            if name in _OF_ALL:
                continue
            if name not in properties:
                raise QemuError(f"Property '{self.name}.{name}' not found")
            kind = properties[name].kind
            if kind in _KINDS and name not in _READ_OTHERWISE:
                _KINDS[kind].read(value, name, KEYVAL)
            elif value and name == "audiodev":  # there are none
                raise QemuError(f"Property '{self.name}.{name}' can't find value '{value}'")

    def plug_in(self, machine: Machine, device: Device) -> None:
        """Give the machine its buses, and see whether it can be saved.

        Raises:
            QemuError: there can't be such a device.
        """
        traits = self._row.traits
        if "unmigratable" in traits:
            machine.blockers.check_device(self.name)
            section = VMStateDescription(name=traits["unmigratable"], unmigratable=True)
            device.states.append((section, device))
        self._claim_chardev(machine, device)
        if self.bus in NUMBERINGS:
            NUMBERINGS[self.bus](machine, device)
        size = read_integer(device.options.get("romsize", "0")) or 0
        if size & (size - 1):
            raise QemuError(f"ROM size {size} is not a power of two")
        if (read_integer(device.options.get("max_ports", "1")) or 0) > _MOST_SERIAL_PORTS:
            raise QemuError(f"maximum ports supported: {_MOST_SERIAL_PORTS}")
        if "single" in traits and any(each.model is self for each in machine.plugs.devices):
            raise QemuError(traits["single"].replace("~", " "))
        if device.options.get("drive"):  # before a port is taken
            find_disk(machine, device.options["drive"], self.name)
        port, speeds = None, self._speeds(device)
        if "product" in traits:
            port = usb.claim(machine, device, traits["product"].replace("~", " "))
        for kind in INPUT_KINDS:
            if kind in traits:
                handler = machine.mice.add(traits[kind].replace("~", " "), kind)
                device.undo.append(partial(machine.mice.remove, handler))
        if "sas_address" in traits and device.pci_place is not None:
            slot, function = device.pci_place
            address = int(traits["sas_address"], 16) | slot << 8 | function
            device.shown["sas_address"] = str(address)
        if port is not None:
            usb.attach(port, speeds)
            port.is_attached = not ("waits" in traits and device.is_hotplugged)
        for kind in self._row.brings:
            add_bus(machine, device, kind, kind.lower())
            if kind == usb.KIND:
                usb.add_ports(machine, machine.buses[-1], *self._ports(device))
        if "disk" in traits:
            plug_inner_disk(machine, device)
        if self._realize_more is not None:
            self._realize_more(machine, device)

    def _claim_chardev(self, machine: Machine, device: Device) -> None:
        label = device.options.get("chardev", "")
        if not label:
            if "needs" in self._row.traits:
                raise QemuError(self._row.traits["needs"].replace("~", " "))
            return
        name = f"{'serial' if self.name == 'pci-serial' else self.name}.chardev"
        chardev = machine.find_chardev(label)
        if chardev is None:
            raise QemuError(f"Property '{name}' can't find value '{label}'")
        try:
            claimed = chardev.claim()
        except QemuError as error:
            raise QemuError(f"Property '{name}' can't take value '{label}': {error}") from error
        device.undo.append(claimed.detach)

    def _speeds(self, device: Device) -> tuple[str, ...]:
        speeds = self._row.traits.get("speeds", "").split("+")
        version = read_integer(device.options.get("usb_version", "2"))
        if version not in (1, 2):
            raise QemuError(f"Invalid usb version {version} for usb hid device")
        return tuple(speeds[:1] if version == 1 else speeds)

    def _ports(self, device: Device) -> tuple[int, tuple[str, ...]]:
        """How many ports a controller of USB has, and of which speeds."""
        count, _, speeds = self._row.traits["ports"].partition(":")
        given = [read_integer(device.options.get(name, count)) or 0 for name in ("p2", "p3")]
        return min(max(given), _MOST_USB_PORTS), tuple(speeds.split("+"))


def has_balloon(machine: Machine) -> bool:
    """Whether the guest's memory can be taken away from it."""
    devices = machine.plugs.devices if machine.has_plugs else ()
    return any(each.model.name.startswith("virtio-balloon-") for each in devices)


MODELS: dict[str, DeviceModel] = {
    row.name: TableModel(row) for row in rows() if "nic" not in row.traits
}
