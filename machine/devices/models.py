"""The models of devices there are: QEMU 7.2's names, and which of them are simulated here."""

from __future__ import annotations

import os

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from machine.devices.qdev import DeviceModel

# Those that are plugged in before the machine is there, or not at all.
NO_HOTPLUG = frozenset(
    """
    VGA acpi-erst amd-iommu ati-vga cirrus-vga cxl-rp ich9-usb-ehci1 ich9-usb-ehci2
    ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6
    intel-iommu ipmi-bmc-extern ipmi-bmc-sim nvme-subsys pci-ohci piix3-ide piix4-ide pxb pxb-cxl
    pxb-pcie qxl-vga vfio-pci-igd-lpc-bridge vfio-pci-nohotplug vhost-user-gpu vhost-user-gpu-pci
    vhost-user-vga virtio-gpu-device virtio-gpu-gl-pci virtio-gpu-pci virtio-iommu-pci virtio-vga
    virtio-vga-gl vmcoreinfo vmgenid vmware-svga
    """.split()
)
_ABSTRACT = frozenset(
    """
    cpu device e1000-base i2c-slave ide-device isa-device pci-device pci-ide pcie-host-bridge
    pcie-port scsi-device usb-device virtio-device virtio-pci x86_64-cpu
    """.split()
)
_DYNAMIC_SYSBUS = frozenset(("ramfb", "vmbus-bridge"))
_OWN = "hmp-guest"  # the one model that QEMU knows nothing of
_CATALOGUE = "catalogue.tsv"
_entries: dict[str, CatalogueEntry] = {}


class CatalogueEntry:
    """What QEMU tells of a model, whether it is simulated here or not.

    Attributes:
        category: whose devices it is listed with.
        name: of the model.
        bus: the kind it is plugged into; "" for none.
        alias: another name; "" for none.
        description: a few words; may be empty.
        is_for_users: whether it can be plugged in; others only boards have.
    """

    __slots__ = ("alias", "bus", "category", "description", "is_for_users", "name")

    def __init__(self, category: str, fields: Sequence[str]) -> None:
        self.category = category
        self.is_for_users = fields[0] == "+"
        self.name, self.bus, self.alias, self.description = (*fields[1:], "", "", "")[:4]

    @property
    def line(self) -> str:
        """How QEMU lists it."""
        parts = [f'name "{self.name}"']
        if self.bus:
            parts.append(f"bus {self.bus}")
        if self.alias:
            parts.append(f'alias "{self.alias}"')
        if self.description:
            parts.append(f'desc "{self.description}"')
        if not self.is_for_users:
            parts.append("no-user")
        return ", ".join(parts)


def catalogue() -> dict[str, CatalogueEntry]:
    """QEMU's models by name, in the order in which it lists them.

    Source: what ``info qdm`` of Debian's build prints: a ``[category]`` on a line of its own, then
    its models, a line each: + for those that users plug in, name, bus, alias and description
    between tabs.
    """
    if not _entries:
        category = ""
        folder = os.path.dirname(__file__)
        with open(os.path.join(folder, _CATALOGUE), encoding="utf-8") as file:
            for line in file.read().splitlines():
                if line.startswith("["):
                    category = line.strip("[]")
                else:
                    entry = CatalogueEntry(category, line.split("\t"))
                    _entries[entry.name] = entry
    return _entries


def listing(*, only_for_users: bool) -> Iterator[str]:
    """The lines that list the models: a heading for each category, and a blank line between."""
    category = ""
    for entry in catalogue().values():
        if entry.is_for_users or not only_for_users:
            if entry.category != category:
                if category:
                    yield ""
                category = entry.category
                yield f"{category} devices:"
            yield entry.line


def full_name(name: str) -> str:
    """The name of the model that a name or alias stands for."""
    aliases = (each.name for each in catalogue().values() if each.alias and each.alias == name)
    return next(aliases, name)


def kind_of_bus(name: str, *, given: str, is_hotplug: bool) -> str:
    """The kind of bus that a model is plugged into; "" for none.

    Args:
        name: of the model.
        given: how the user called it.

    Raises:
        QemuError: there is no such model, or none that can be plugged in.
    """
    if name in _ABSTRACT:
        raise QemuError("Parameter 'driver' expects a non-abstract device type")
    if name in _DYNAMIC_SYSBUS:
        raise QemuError("Parameter 'driver' expects a dynamic sysbus device type for the machine")
    if name == _OWN:
        return ""
    entry = catalogue().get(name)
    if entry is None:
        raise QemuError(f"'{given}' is not a valid device model name")
    if not entry.is_for_users or (is_hotplug and name in NO_HOTPLUG):
        raise QemuError("Parameter 'driver' expects a pluggable device type")
    return entry.bus


def find_model(name: str) -> DeviceModel | None:
    """The model of a name; None when it isn't simulated."""
    from machine.devices.processor import find_processor

    return simulated_models().get(name) or find_processor(name)


def simulated_models() -> dict[str, DeviceModel]:
    """The models that are simulated, by name."""
    from machine.devices import (
        bridge,
        guest,
        loader,
        nic,
        processor,
        serial,
        storage,
        table_models,
        unmigratable,
        vga_models,
    )

    return {
        **table_models.MODELS,
        **storage.MODELS,
        **nic.MODELS,
        **serial.MODELS,
        **loader.MODELS,
        **guest.MODELS,
        **unmigratable.MODELS,
        **vga_models.MODELS,
        **bridge.MODELS,
        **processor.MODELS,
    }
