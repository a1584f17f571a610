"""The models of devices there are: QEMU 7.2's names, and which of them are simulated here."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.devices.qdev import DeviceModel

# Source: what ``-device help`` of Debian's build lists, by the bus that a model is plugged into.
_BY_BUS = {
    "PCI": """
        AC97 AMDVI-PCI ES1370 VGA acpi-erst am53c974 ati-vga bochs-display cirrus-vga ctucan_pci
        cxl-downstream cxl-rp cxl-type3 cxl-upstream dc390 e1000 e1000-82544gc e1000-82545em
        e1000e edu i6300esb i82550 i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b
        i82559c i82559er i82562 i82801 i82801b11-bridge ich9-ahci ich9-intel-hda ich9-usb-ehci1
        ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5
        ich9-usb-uhci6 intel-hda ioh3420 ivshmem-doorbell ivshmem-plain kvaser_pci lsi53c810
        lsi53c895a megasas megasas-gen2 mioe3680_pci mptsas1068 ne2k_pci nec-usb-xhci nvme
        pci-bridge pci-bridge-seat pci-ipmi-bt pci-ipmi-kcs pci-ohci pci-serial pci-serial-2x
        pci-serial-4x pci-testdev pcie-pci-bridge pcie-root-port pcm3680_pci pcnet piix3-ide
        piix3-usb-uhci piix4-ide piix4-usb-uhci pvpanic-pci pvrdma pvscsi pxb pxb-cxl pxb-pcie
        qemu-xhci qxl qxl-vga rocker rtl8139 sdhci-pci secondary-vga tpci200 tulip usb-ehci
        vfio-pci vfio-pci-igd-lpc-bridge vfio-pci-nohotplug vhost-scsi-pci
        vhost-scsi-pci-non-transitional vhost-scsi-pci-transitional vhost-user-blk-pci
        vhost-user-blk-pci-non-transitional vhost-user-blk-pci-transitional vhost-user-fs-pci
        vhost-user-gpio-pci vhost-user-gpu-pci vhost-user-i2c-pci vhost-user-input-pci
        vhost-user-rng-pci vhost-user-scsi-pci vhost-user-scsi-pci-non-transitional
        vhost-user-scsi-pci-transitional vhost-user-vga vhost-user-vsock-pci
        vhost-user-vsock-pci-non-transitional vhost-vsock-pci vhost-vsock-pci-non-transitional
        virtio-9p-pci virtio-9p-pci-non-transitional virtio-9p-pci-transitional
        virtio-balloon-pci virtio-balloon-pci-non-transitional virtio-balloon-pci-transitional
        virtio-blk-pci virtio-blk-pci-non-transitional virtio-blk-pci-transitional
        virtio-crypto-pci virtio-gpu-gl-pci virtio-gpu-pci virtio-input-host-pci virtio-iommu-pci
        virtio-keyboard-pci virtio-mem-pci virtio-mouse-pci virtio-net-pci
        virtio-net-pci-non-transitional virtio-net-pci-transitional virtio-pmem-pci
        virtio-rng-pci virtio-rng-pci-non-transitional virtio-rng-pci-transitional
        virtio-scsi-pci virtio-scsi-pci-non-transitional virtio-scsi-pci-transitional
        virtio-serial-pci virtio-serial-pci-non-transitional virtio-serial-pci-transitional
        virtio-tablet-pci virtio-vga virtio-vga-gl vmware-svga vmxnet3 x-pci-proxy-dev
        x3130-upstream xio3130-downstream
    """,
    "ISA": """
        adlib cs4231a gus hyperv-testdev i8042 ib700 isa-applesmc isa-cirrus-vga isa-debug-exit
        isa-debugcon isa-fdc isa-ide isa-ipmi-bt isa-ipmi-kcs isa-parallel isa-serial isa-vga
        mc146818rtc ne2k_isa pc-testdev pvpanic sb16 sga tpm-tis vmmouse
    """,
    "usb-bus": """
        u2f-passthru usb-audio usb-bot usb-braille usb-ccid usb-host usb-hub usb-kbd usb-mouse
        usb-mtp usb-net usb-redir usb-serial usb-storage usb-tablet usb-uas usb-wacom-tablet
    """,
    "virtio-bus": """
        vhost-scsi vhost-user-blk vhost-user-fs-device vhost-user-gpio-device vhost-user-gpu
        vhost-user-i2c-device vhost-user-input vhost-user-rng vhost-user-scsi
        vhost-user-vsock-device vhost-vsock-device virtio-9p-device virtio-balloon-device
        virtio-blk-device virtio-crypto-device virtio-gpu-device virtio-input-host-device
        virtio-iommu-device virtio-keyboard-device virtio-mem virtio-mouse-device
        virtio-net-device virtio-pmem virtio-rng-device virtio-scsi-device virtio-serial-device
        virtio-tablet-device
    """,
    "SCSI": "scsi-block scsi-cd scsi-generic scsi-hd",
    "IDE": "ide-cd ide-hd",
    "floppy-bus": "floppy",
    "HDA": "hda-duplex hda-micro hda-output",
    "i2c-bus": "i2c-ddc smbus-ipmi",
    "ccid-bus": "ccid-card-emulated ccid-card-passthru",
    "virtio-serial-bus": "virtconsole virtserialport",
    "nvme-bus": "nvme-ns",
    "sd-bus": "sd-card",
    "IndustryPack": "ipoctal232",
    "": "loader guest-loader hv-syndbg nvdimm pc-dimm tpm-crb hmp-guest",
}
# Those that are plugged in before the machine is there, or not at all.
_NO_HOTPLUG = frozenset(
    """
    VGA acpi-erst amd-iommu ati-vga cirrus-vga cxl-rp ich9-usb-ehci1 ich9-usb-ehci2
    ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6
    intel-iommu ipmi-bmc-extern ipmi-bmc-sim nvme-subsys pci-ohci piix3-ide piix4-ide pxb pxb-cxl
    pxb-pcie qxl-vga vfio-pci-igd-lpc-bridge vfio-pci-nohotplug vhost-user-gpu vhost-user-gpu-pci
    vhost-user-vga virtio-gpu-device virtio-gpu-gl-pci virtio-gpu-pci virtio-iommu-pci virtio-vga
    virtio-vga-gl vmcoreinfo vmgenid vmware-svga
    """.split()
)
# Those that only boards have.
_ONLY_ON_BOARDS = frozenset(
    """
    ICH9-LPC ICH9-SMB PIIX3 PIIX4_PM acpi-ged apic cfi.pflash01 fw_cfg_io fw_cfg_mem
    generic-sdhci gpex-pcihost hpet i440FX i440FX-pcihost i8257 ioapic isa-i8259 isa-pcspk isa-pit
    kvm-i8259 kvm-ioapic kvm-pit kvmclock kvmvapic mch port92 ps2-kbd ps2-mouse q35-pcihost serial
    serial-mm smbus-eeprom sysbus-ahci sysbus-ohci virtio-mmio vmport
    """.split()
)
_ABSTRACT = frozenset(
    """
    cpu device e1000-base i2c-slave ide-device isa-device pci-device pci-ide pcie-host-bridge
    pcie-port scsi-device usb-device virtio-device virtio-pci x86_64-cpu
    """.split()
)
_DYNAMIC_SYSBUS = frozenset(("ramfb", "vmbus-bridge"))
_CPU_SUFFIX = "-x86_64-cpu"
ALIASES = {
    "ac97": "AC97",
    "ahci": "ich9-ahci",
    "e1000-82540em": "e1000",
    "es1370": "ES1370",
    "lsi": "lsi53c895a",
    "virtio-9p": "virtio-9p-pci",
    "virtio-balloon": "virtio-balloon-pci",
    "virtio-blk": "virtio-blk-pci",
    "virtio-gpu": "virtio-gpu-pci",
    "virtio-gpu-gl": "virtio-gpu-gl-pci",
    "virtio-input-host": "virtio-input-host-pci",
    "virtio-iommu": "virtio-iommu-pci",
    "virtio-keyboard": "virtio-keyboard-pci",
    "virtio-mouse": "virtio-mouse-pci",
    "virtio-net": "virtio-net-pci",
    "virtio-rng": "virtio-rng-pci",
    "virtio-scsi": "virtio-scsi-pci",
    "virtio-serial": "virtio-serial-pci",
    "virtio-tablet": "virtio-tablet-pci",
}
_BUS_OF = {name: bus for bus, names in _BY_BUS.items() for name in names.split()}


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
    if name in _ONLY_ON_BOARDS or (is_hotplug and name in _NO_HOTPLUG):
        raise QemuError("Parameter 'driver' expects a pluggable device type")
    if name in _BUS_OF:
        return _BUS_OF[name]
    if name.endswith(_CPU_SUFFIX) or name in _NO_HOTPLUG:
        return ""
    raise QemuError(f"'{given}' is not a valid device model name")


def find_model(name: str) -> DeviceModel | None:
    """The model of a name; None when it isn't simulated."""
    return simulated_models().get(name)


def simulated_models() -> dict[str, DeviceModel]:
    """The models that are simulated, by name."""
    from machine.devices import guest, loader, nic, serial, storage, unmigratable, vga_models

    return {
        **storage.MODELS,
        **nic.MODELS,
        **serial.MODELS,
        **loader.MODELS,
        **guest.MODELS,
        **unmigratable.MODELS,
        **vga_models.MODELS,
    }
