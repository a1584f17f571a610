"""Bridges and ports: devices on a PCI bus that bring a further PCI bus."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.bus import Bus
from machine.devices.qdev import DeviceModel
from machine.schema import read_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine

_EBUSY = 16


class BridgeModel(DeviceModel):
    """A model of bridges.

    Args:
        kind: of the bus behind it.
        chassis: the property that numbers it: "" for none.
        properties: further ones.
    """

    is_bridge = True
    __slots__ = ("chassis", "kind")

    def __init__(self, name: str, kind: str, chassis: str, properties: str) -> None:
        super().__init__(name, "PCI", f"{chassis} {properties}", self.plug_in)
        self.kind = kind
        self.chassis = chassis

    def plug_in(self, machine: Machine, device: Device) -> None:
        """Give the machine the bus.

        Raises:
            QemuError: its number is another's, or missing.
        """
        self._check_chassis(machine, device)
        options = device.options
        can_hotplug = options.get("hotplug", options.get("shpc", "on")) != "off"
        name = device.id or f"{self.kind.lower()}.{self._next_number(machine)}"
        bus = Bus(name, self.kind, device, is_hotpluggable=can_hotplug or self.kind == "PCI")
        machine.buses.append(bus)
        device.undo.append(lambda: machine.buses.remove(bus))

    def _next_number(self, machine: Machine) -> int:
        others = [bus.owner for bus in machine.buses if bus.kind == self.kind]
        return sum(owner is not None and not owner.id for owner in others)

    def _check_chassis(self, machine: Machine, device: Device) -> None:
        if not self.chassis:
            return
        chassis = _number(device, self.chassis, 8)
        if self.chassis == "chassis_nr":
            if not chassis:
                raise QemuError(
                    "Bridge chassis not specified. Each bridge is required to be assigned a "
                    "unique chassis id > 0."
                )
            return
        place = chassis, _number(device, "slot", 16)
        ports = (
            other
            for other in machine.plugs.devices
            if isinstance(other.model, BridgeModel) and other.model.chassis == "chassis"
        )
        for port in ports:
            if place == (_number(port, "chassis", 8), _number(port, "slot", 16)):
                raise QemuError(f"Can't add chassis slot, error -{_EBUSY}")


def _number(device: Device, name: str, bits: int) -> int:
    value = read_integer(device.options.get(name, "0"))
    if value is None or not 0 <= value < 1 << bits:
        raise QemuError(f"Parameter '{name}' expects uint{bits}_t")
    return value


_PORT = "slot port hotplug power_controller_present disable-acs x-speed x-width"
_RESERVE = "bus-reserve io-reserve mem-reserve pref32-reserve pref64-reserve io-reserve"
MODELS: dict[str, DeviceModel] = {
    model.name: model
    for model in (
        BridgeModel("pcie-root-port", "PCIE", "chassis", f"{_PORT} {_RESERVE}"),
        BridgeModel("ioh3420", "PCIE", "chassis", _PORT),
        BridgeModel("x3130-upstream", "PCIE", "", ""),
        BridgeModel("xio3130-downstream", "PCIE", "chassis", _PORT),
        BridgeModel("pci-bridge", "PCI", "chassis_nr", f"msi shpc {_RESERVE}"),
        BridgeModel("pcie-pci-bridge", "PCI", "", "msi shpc"),
        BridgeModel("i82801b11-bridge", "PCI", "", ""),
    )
}
