"""What virtio devices tell of themselves before any driver has come: no guest of ours has one.

Source: Virtual I/O Device (VIRTIO) Version 1.2; the names and words are QEMU's.
"""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.composition import compose
from machine.qom.part import DevicePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from machine.machine import Machine

    Condition = Callable[["VirtioDevice"], bool]

_MODEL_END = "-device"
_IDS = {
    "virtio-net": 1,
    "virtio-blk": 2,
    "virtio-serial": 3,
    "virtio-rng": 4,
    "virtio-balloon": 5,
    "virtio-scsi": 8,
    "virtio-input": 18,
}
_INPUT = ("virtio-keyboard", "virtio-mouse", "virtio-tablet")
_OLD_QUEUES = {"virtio-balloon": [128] * 3, "virtio-input": [64] * 2, "virtio-rng": [8]}
_PORT_QUEUES = [128, 128]  # of a serial port: in and out
_PORT_CONTROL_QUEUES = [32, 32]
_CONTROL_QUEUE = 64  # entries of a network card's
_RING_RESET = 1 << 40  # a feature that QEMU 7.2 has and has no name for


class VirtioDevice:
    """A virtio device in its tree.

    Attributes:
        part: the device itself, which a transport carries.
        name: such as ``virtio-blk``.
        path: of the part.
    """

    __slots__ = ("machine", "name", "part", "path")

    def __init__(self, machine: Machine, part: DevicePart) -> None:
        self.machine = machine
        self.part = part
        self.name = _name(part.type)
        self.path = part.path

    def has(self, property: str) -> bool:
        """Whether a property is on, or a number that isn't 0."""
        return self.part.properties.get(property, "false") not in ("false", "0", '""')

    def number(self, property: str) -> int:
        return int(self.part.properties[property])

    @property
    def is_modern(self) -> bool:
        transport = self.part.parent
        return isinstance(transport, DevicePart) and (
            transport.properties.get("disable-modern", "false") == "false"
        )

    @property
    def is_read_only(self) -> bool:
        transport = self.part.parent
        plugged = transport.plugged if isinstance(transport, DevicePart) else None
        backend = plugged.backend if plugged is not None else None
        return backend is not None and backend.is_read_only

    @property
    def queue_sizes(self) -> list[int]:
        """The entries of each of its queues."""
        if self.name == "virtio-net":
            return [
                self.number("rx_queue_size"),
                self.number("tx_queue_size"),
                *([_CONTROL_QUEUE] if self.has("ctrl_vq") else []),
            ]
        if self.name in _OLD_QUEUES:
            return _OLD_QUEUES[self.name]
        if self.name == "virtio-serial":
            more = _PORT_QUEUES * self.number("max_ports")
            return [*_PORT_QUEUES, *_PORT_CONTROL_QUEUES, *more][: 2 * self.number("max_ports") + 2]
        if self.name == "virtio-scsi":
            return [self.number("virtqueue_size")] * (2 + self.number("num_queues"))
        return [self.number("queue-size")] * self.number("num-queues")

    def status(self) -> dict[str, Any]:
        """What QMP's x-query-virtio-status answers."""
        buses = self.part.buses
        features: dict[str, Any] = {
            "transports": self._features(_TRANSPORT),
            "dev-features": self._features(_FEATURES[self.name]),
        }
        unknown = _RING_RESET if self.has("queue_reset") else 0
        if self.name in _WITHOUT_VHOST:
            unknown |= _PROTOCOL
        else:
            features["dev-features"] = [_PROTOCOL_TEXT, *features["dev-features"]]
        if unknown:
            features["unknown-dev-features"] = unknown
        none: dict[str, Any] = {"transports": [], "dev-features": []}
        return {
            "name": self.name,
            "device-id": _IDS[self.name],
            "vhost-started": False,
            "device-endian": "little",
            "guest-features": none,
            "host-features": features,
            "backend-features": none,
            "num-vqs": len(self.queue_sizes),
            "status": {"statuses": []},
            "isr": 0,
            "queue-sel": 0,
            "vm-running": self.machine.is_running,
            "broken": False,
            "disabled": False,
            "use-started": True,
            "started": False,
            "start-on-kick": False,
            "disable-legacy-check": False,
            "bus-name": buses[0].name if buses and self.part.named_by else "",
            "use-guest-notifier-mask": True,
        }

    def _features(self, rows: Sequence[tuple[str, str, str | Condition]]) -> list[str]:
        return [
            f"{name}: {text}"
            for name, text, condition in rows
            if (self.has(condition) if isinstance(condition, str) else condition(self))
        ]

    def queue_status(self, queue: int) -> dict[str, Any]:
        """What QMP's x-query-virtio-queue-status answers.

        Raises:
            QemuError: there is no such queue.
        """
        size = self._size_of(queue)
        zeros = (
            "inuse used-idx signalled-used last-avail-idx shadow-avail-idx "
            "vring-desc vring-avail vring-used"
        )
        return {
            "name": self.name,
            "queue-index": queue,
            **dict.fromkeys(zeros.split(), 0),
            "signalled-used-valid": False,
            "vring-num": size,
            "vring-num-default": size,
            "vring-align": 4096,
        }

    def check_queue_element(self, queue: int) -> None:
        """Raises: QemuError: no driver has told where the queue is."""
        self._size_of(queue)
        raise QemuError("Region caches not initialized")

    def _size_of(self, queue: int) -> int:
        sizes = self.queue_sizes
        if not 0 <= queue < len(sizes):
            raise QemuError(f"Invalid virtqueue number {queue}")
        return sizes[queue]


def virtio_devices(machine: Machine) -> list[VirtioDevice]:
    """All of a machine's, the one that came last first."""
    found = [
        VirtioDevice(machine, each)
        for each in compose(machine).in_order
        if _name(each.type) in _IDS
    ]
    return found[::-1]


def _name(type: str) -> str:
    """What a type of devices is called among virtio's."""
    name = type.removesuffix(_MODEL_END)
    return "virtio-input" if name in _INPUT else name


def find_virtio(machine: Machine, path: str, kind: str = "VirtIODevice") -> VirtioDevice:
    """The device at a path.

    Args:
        kind: what the path should have led to, in the words of the error.

    Raises:
        QemuError: it doesn't.
    """
    for each in virtio_devices(machine):
        if each.path == path:
            return each
    raise QemuError(f"Path {path} is not a {kind}")


def _always(_device: VirtioDevice) -> bool:
    return True


# In QEMU's order: the name, what it means, and the property that it goes by.
_TRANSPORT: tuple[tuple[str, str, str | Condition], ...] = (
    ("VIRTIO_RING_F_EVENT_IDX", "Used & avail. event fields enabled", "event_idx"),
    ("VIRTIO_RING_F_INDIRECT_DESC", "Indirect descriptors supported", "indirect_desc"),
    ("VIRTIO_F_RING_PACKED", "Device supports packed VQ layout", "packed"),
    ("VIRTIO_F_IOMMU_PLATFORM", "Device can be used on IOMMU platform", "iommu_platform"),
    (
        "VIRTIO_F_VERSION_1",
        "Device compliant for v1 spec (legacy)",
        lambda device: device.is_modern,
    ),
    ("VIRTIO_F_ANY_LAYOUT", "Device accepts arbitrary desc. layouts", "any_layout"),
    (
        "VIRTIO_F_NOTIFY_ON_EMPTY",
        "Notify when device runs out of avail. descs. on VQ",
        "notify_on_empty",
    ),
)
# A feature of the transports that those lists of devices that know it begin with.
_PROTOCOL = 1 << 30
_PROTOCOL_TEXT = (
    "VHOST_USER_F_PROTOCOL_FEATURES: Vhost-user protocol features negotiation supported"
)
_WITHOUT_VHOST = frozenset(("virtio-balloon", "virtio-serial"))
_FEATURES: dict[str, tuple[tuple[str, str, str | Condition], ...]] = {
    "virtio-balloon": (
        ("VIRTIO_BALLOON_F_PAGE_POISON", "Guest page poisoning enabled", "page-poison"),
        ("VIRTIO_BALLOON_F_STATS_VQ", "Guest memory stats VQ available", _always),
    ),
    "virtio-input": (),
    "virtio-rng": (),
    "virtio-serial": (
        ("VIRTIO_CONSOLE_F_EMERG_WRITE", "Emergency write supported", "emergency-write"),
        (
            "VIRTIO_CONSOLE_F_MULTIPORT",
            "Multiple ports for device supported",
            lambda device: device.number("max_ports") > 1,
        ),
    ),
    "virtio-blk": (
        (
            "VIRTIO_BLK_F_CONFIG_WCE",
            "Cache writeback and writethrough modes supported",
            "config-wce",
        ),
        ("VIRTIO_BLK_F_FLUSH", "Flush command supported", _always),
        ("VIRTIO_BLK_F_WRITE_ZEROES", "Write zeroes command supported", "write-zeroes"),
        ("VIRTIO_BLK_F_DISCARD", "Discard command supported", "discard"),
        (
            "VIRTIO_BLK_F_MQ",
            "Multiqueue supported",
            lambda device: device.number("num-queues") > 1,
        ),
        ("VIRTIO_BLK_F_TOPOLOGY", "Topology information available", _always),
        ("VIRTIO_BLK_F_BLK_SIZE", "Block size of disk available", _always),
        ("VIRTIO_BLK_F_RO", "Device is read-only", lambda device: device.is_read_only),
        ("VIRTIO_BLK_F_GEOMETRY", "Legacy geometry available", _always),
        ("VIRTIO_BLK_F_SEG_MAX", "Max segments in a request is seg_max", _always),
    ),
    "virtio-net": (
        ("VIRTIO_NET_F_GSO", "Handling GSO-type packets supported", "gso"),
        ("VIRTIO_NET_F_SPEED_DUPLEX", "Device set linkspeed and duplex", "duplex"),
        ("VIRTIO_NET_F_RSS", "RSS RX steering supported", "rss"),
        (
            "VIRTIO_NET_F_CTRL_MAC_ADDR",
            "MAC address set through control channel",
            "ctrl_mac_addr",
        ),
        ("VIRTIO_NET_F_MQ", "Multiqueue with automatic receive steering supported", "mq"),
        (
            "VIRTIO_NET_F_GUEST_ANNOUNCE",
            "Driver sending gratuitous packets supported",
            "guest_announce",
        ),
        ("VIRTIO_NET_F_CTRL_RX_EXTRA", "Extra RX mode control supported", "ctrl_rx_extra"),
        ("VIRTIO_NET_F_CTRL_VLAN", "Control channel VLAN filtering supported", "ctrl_vlan"),
        ("VIRTIO_NET_F_CTRL_RX", "Control channel RX mode supported", "ctrl_rx"),
        ("VIRTIO_NET_F_CTRL_VQ", "Control channel available", "ctrl_vq"),
        ("VIRTIO_NET_F_STATUS", "Configuration status field available", "status"),
        ("VIRTIO_NET_F_MRG_RXBUF", "Driver can merge receive buffers", "mrg_rxbuf"),
        ("VIRTIO_NET_F_MAC", "Device has given MAC address", _always),
        ("VIRTIO_NET_F_MTU", "Device max MTU reporting supported", "host_mtu"),
        (
            "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS",
            "Control channel offloading reconfig. supported",
            "ctrl_guest_offloads",
        ),
    ),
    "virtio-scsi": (
        (
            "VIRTIO_SCSI_F_CHANGE",
            "Reporting and handling LUN changes supported",
            "param_change",
        ),
        (
            "VIRTIO_SCSI_F_HOTPLUG",
            "Reporting and handling hot-plug events supported",
            "hotplug",
        ),
    ),
}
