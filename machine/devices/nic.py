"""Network cards: what a back end and the monitor see of them; their registers aren't simulated."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.model_table import rows
from machine.devices.qdev import DeviceModel
from machine.devices.table_models import TableModel
from machine.net.network import format_mac, parse_mac
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import Bool, Buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import Device
    from machine.machine import Machine


# A section under QEMU's name; what is in it is ours until the queues are simulated.
_VIRTIO_NET = VMStateDescription(
    name="virtio-net",
    version_id=11,
    minimum_version_id=11,
    fields=(Buffer("mac", 6), Bool("link_down")),
)
_VIRTIO = (
    "disable-legacy disable-modern host_mtu ioeventfd iommu_platform mq mrg_rxbuf packed "
    "rx_queue_size status tx_queue_size vectors"
)
_E1000 = "autonegotiation extra_mac_registers init-vet migrate_tso_props mitigation"


def realize(machine: Machine, device: Device) -> None:
    """Plug in a card.

    Raises:
        QemuError: a property can't be.
    """
    options, model = device.options, device.model.name
    mac = None
    if "mac" in options:
        mac = parse_mac(options["mac"])
        if mac is None:
            raise QemuError(f"Property '{model}.mac' doesn't take value '{options['mac']}'")
    peer = None
    if "netdev" in options:
        name = options["netdev"]
        owner = "virtio-net-device" if model.startswith("virtio-net-") else model
        peer = machine.network.find_netdev(name)
        if peer is None:
            raise QemuError(f"Property '{owner}.netdev' can't find value '{name}'")
        if peer.peer is not None:
            raise QemuError(f"Property '{owner}.netdev' can't take value '{name}', it's in use")
    nic = machine.network.add_nic(model, id=device.id, mac=mac, peer=peer)
    device.undo.append(lambda: machine.network.remove_nic(nic))
    device.shown["mac"] = format_mac(nic.mac)
    if model == "e1000":
        from machine.devices.e1000 import E1000, E1000_STATE

        device.states.append((E1000_STATE, E1000(nic)))
    elif model.startswith("virtio-net-"):
        device.states.append((_VIRTIO_NET, nic))


_BUSES = {"ne2k_isa": "ISA", "virtio-net-device": "virtio-bus"}
MODELS: dict[str, DeviceModel] = {
    name: DeviceModel(name, _BUSES.get(name, "PCI"), f"mac netdev bootindex {more}", realize)
    for name, more in (
        ("ne2k_isa", "iobase irq"),
        ("e1000", _E1000),
        ("e1000e", "disable_vnet_hdr subsys subsys_ven"),
        ("ne2k_pci", ""),
        ("pcnet", ""),
        ("rtl8139", ""),
        ("virtio-net-device", _VIRTIO),
        ("virtio-net-pci", _VIRTIO),
        ("vmxnet3", ""),
    )
}
MODELS |= {row.name: TableModel(row, realize) for row in rows() if "nic" in row.traits}
# What ``model=`` of ``-nic`` also takes.
SHORT_NAMES = {"virtio": "virtio-net-pci"}
