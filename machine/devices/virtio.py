"""What a virtio device offers its guest: features and queues, as a reset leaves them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from machine.devices.qdev import Device
    from machine.machine import Machine

# Features, by what QEMU tells of them, which is all that is known of them here.
_READ_ONLY = "VIRTIO_BLK_F_RO: Device is read-only"
_SEVERAL_QUEUES = "VIRTIO_BLK_F_MQ: Multiqueue supported"
_OF_BLOCK = (
    "VIRTIO_BLK_F_CONFIG_WCE: Cache writeback and writethrough modes supported",
    "VIRTIO_BLK_F_FLUSH: Flush command supported",
    "VIRTIO_BLK_F_WRITE_ZEROES: Write zeroes command supported",
    "VIRTIO_BLK_F_DISCARD: Discard command supported",
    _SEVERAL_QUEUES,
    "VIRTIO_BLK_F_TOPOLOGY: Topology information available",
    "VIRTIO_BLK_F_BLK_SIZE: Block size of disk available",
    _READ_ONLY,
    "VIRTIO_BLK_F_GEOMETRY: Legacy geometry available",
    "VIRTIO_BLK_F_SEG_MAX: Max segments in a request is seg_max",
)
_OF_NET = (
    "VIRTIO_NET_F_GSO: Handling GSO-type packets supported",
    "VIRTIO_NET_F_CTRL_MAC_ADDR: MAC address set through control channel",
    "VIRTIO_NET_F_GUEST_ANNOUNCE: Driver sending gratuitous packets supported",
    "VIRTIO_NET_F_CTRL_RX_EXTRA: Extra RX mode control supported",
    "VIRTIO_NET_F_CTRL_VLAN: Control channel VLAN filtering supported",
    "VIRTIO_NET_F_CTRL_RX: Control channel RX mode supported",
    "VIRTIO_NET_F_CTRL_VQ: Control channel available",
    "VIRTIO_NET_F_STATUS: Configuration status field available",
    "VIRTIO_NET_F_MRG_RXBUF: Driver can merge receive buffers",
    "VIRTIO_NET_F_MAC: Device has given MAC address",
    "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: Control channel offloading reconfig. supported",
)
_OF_SCSI = (
    "VIRTIO_SCSI_F_CHANGE: Reporting and handling LUN changes supported",
    "VIRTIO_SCSI_F_HOTPLUG: Reporting and handling hot-plug events supported",
)
_OF_ALL = "VHOST_USER_F_PROTOCOL_FEATURES: Vhost-user protocol features negotiation supported"
_TRANSPORTS = (
    "VIRTIO_RING_F_EVENT_IDX: Used & avail. event fields enabled",
    "VIRTIO_RING_F_INDIRECT_DESC: Indirect descriptors supported",
    "VIRTIO_F_VERSION_1: Device compliant for v1 spec (legacy)",
    "VIRTIO_F_ANY_LAYOUT: Device accepts arbitrary desc. layouts",
    "VIRTIO_F_NOTIFY_ON_EMPTY: Notify when device runs out of avail. descs. on VQ",
)
_UNKNOWN = 1 << 40  # a feature's bit that QEMU has no words for
_QUEUE_SIZE = 256
_CONTROL_QUEUE_SIZE = 64


class VirtioModel:
    """The part of a device that is virtio, whatever it is plugged into.

    Attributes:
        name: of its kind.
        device_id: the number of that.
        queues: how long each is.
    """

    __slots__ = ("_device", "_features", "device_id", "name", "queues")

    def __init__(
        self, device: Device, features: Sequence[str], number: int, queues: list[int]
    ) -> None:
        self._device = device
        self._features = list(features)
        self.name = device.model.name.removesuffix("-pci")
        self.device_id = number
        self.queues = queues

    def features(self) -> dict[str, Any]:
        """What it offers its guest, as QMP has it."""
        return {
            "transports": list(_TRANSPORTS),
            "dev-features": [_OF_ALL, *self._features],
            "unknown-dev-features": _UNKNOWN,
        }

    def bus_name(self, machine: Machine, path: str) -> str:
        """The bus that it brings along; "" for none."""
        return next((bus.name for bus in machine.buses if bus.owner is self._device), "")


def backends(machine: Machine) -> Iterator[tuple[str, VirtioModel]]:
    """The virtio devices there are, by their paths; the newest first."""
    for device in reversed(machine.plugs.devices if machine.has_plugs else ()):
        model = _model(machine, device)
        if model is not None:
            yield f"{device.path}/virtio-backend", model


def _model(machine: Machine, device: Device) -> VirtioModel | None:
    each_cpu = max(1, len(machine.cpus))
    name, options = device.model.name, device.options
    if name == "virtio-blk-pci":
        count = int(options.get("num-queues", each_cpu))
        lacks = {_READ_ONLY, _SEVERAL_QUEUES}
        path = f"{device.path}/virtio-backend"
        if any(each.device == path and each.is_read_only for each in machine.drives.backends):
            lacks.remove(_READ_ONLY)
        if count > 1:
            lacks.remove(_SEVERAL_QUEUES)
        features = [each for each in _OF_BLOCK if each not in lacks]
        return VirtioModel(device, features, 2, [_QUEUE_SIZE] * count)
    if name == "virtio-scsi-pci":
        count = int(options.get("num_queues", each_cpu)) + 2  # one for control, one for events
        return VirtioModel(device, _OF_SCSI, 8, [_QUEUE_SIZE] * count)
    if name == "virtio-net-pci":
        return VirtioModel(device, _OF_NET, 1, [_QUEUE_SIZE, _QUEUE_SIZE, _CONTROL_QUEUE_SIZE])
    return None
