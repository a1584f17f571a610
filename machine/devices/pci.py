"""The PCI bus as far as it can be looked at: slots, and what ``info pci`` tells of each."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.devices.model_table import rows
from machine.schema import read_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

SLOTS = 32
FUNCTIONS = 8
UNMAPPED = "0xffffffffffffffff"  # no firmware of ours gives addresses to anybody
_SPACES = {
    "io": "I/O",
    "mem": "32 bit memory",
    "mem64": "64 bit memory",
    "pref": "32 bit prefetchable memory",
    "pref64": "64 bit prefetchable memory",
}


ROM_BAR = "6"
_MESSAGES_BAR = "1"  # of virtio devices, the only ones that take the property
_UNNAMED = "Class "  # how a class without a name is shown, with its number
_CLASSES = {
    "SCSI controller": 0x100,
    "IDE controller": 0x101,
    "SATA controller": 0x106,
    "Ethernet controller": 0x200,
    "VGA controller": 0x300,
    "RAM controller": 0x500,
    "Host bridge": 0x600,
    "ISA bridge": 0x601,
    "PCI bridge": 0x604,
    "Bridge": 0x680,
    "USB controller": 0xC03,
    "SMBus": 0xC05,
}


class PciModel:
    """What a model shows of itself.

    Args:
        kind: the class, in words.
        ids: ``vendor:device`` and the subsystem's.
        bars: ``number:space:size``, the size in hexadecimal; bar 6 is the ROM.
        pin: the interrupt pin it uses, 1 for A; 0 for none.
        bridge: the lowest addresses of its windows, ports and memory, on a bridge; None on others.
        code: the class as a number, where others are called the same.
    """

    __slots__ = ("_code", "bars", "bridge", "ids", "kind", "pin", "subsystem")

    def __init__(
        self,
        kind: str,
        ids: str,
        subsystem: str = "1af4:1100",
        bars: str = "",
        *,
        pin: int = 1,
        bridge: tuple[int, int] | None = None,
        code: int | None = None,
    ) -> None:
        self.kind = kind
        self._code = code
        self.ids = ids
        self.subsystem = subsystem
        self.bars = [tuple(bar.split(":")) for bar in bars.split()]
        self.pin = pin
        self.bridge = bridge

    @property
    def class_code(self) -> int:
        """The class, as a number."""
        if self._code is not None:
            return self._code
        if self.kind.startswith(_UNNAMED):
            return int(self.kind.removeprefix(_UNNAMED))
        return _CLASSES[self.kind]

    def bars_of(self, options: Mapping[str, str]) -> list[tuple[str, ...]]:
        """The bars that are left where a device has no ROM, or no interrupts by messages."""
        without = set()
        if options.get("romfile") == "" or options.get("rombar") in ("0", "off"):
            without.add(ROM_BAR)
        if options.get("vectors") == "0":
            without.add(_MESSAGES_BAR)
        bars = [bar for bar in self.bars if bar[0] not in without]
        size = read_size(options.get("membar", "0"))  # a test device's own
        return [*bars, ("2", "pref64", f"{size:x}")] if size else bars

    @property
    def class_text(self) -> str:
        """The class as `info qtree` has it: a name, or a number in hexadecimal."""
        has_name = not self.kind.startswith(_UNNAMED)
        return self.kind if has_name else f"{_UNNAMED}{self.class_code:04x}"


_VIRTIO = "1:mem:1000 4:pref64:4000"
_ROM = "6:mem:40000"
_ETHERNET, _STORAGE = "Ethernet controller", "SCSI controller"
_USB, _BRIDGE = "USB controller", "PCI bridge"
# Where a bridge's windows begin as a reset leaves them; each ends before its first unit's end.
_WINDOWS = (0, 0)
_EXPRESS_WINDOWS = (0xF000, 0xFFF00000)
_IO_LIMIT, _MEMORY_LIMIT = 0x0FFF, 0x000FFFFF
MODELS = {
    "i440FX": PciModel("Host bridge", "8086:1237", pin=0),
    "PIIX3": PciModel("ISA bridge", "8086:7000", pin=0),
    "piix3-ide": PciModel("IDE controller", "8086:7010", bars="4:io:10", pin=0),
    "PIIX4_PM": PciModel("Bridge", "8086:7113"),
    "mch": PciModel("Host bridge", "8086:29c0", pin=0),
    "ICH9-LPC": PciModel("ISA bridge", "8086:2918", pin=0),
    "ich9-ahci": PciModel("SATA controller", "8086:2922", bars="4:io:20 5:mem:1000"),
    "ICH9-SMB": PciModel("SMBus", "8086:2930", bars="4:io:40"),
    "ich9-usb-uhci1": PciModel(_USB, "8086:2934", bars="4:io:20"),
    "ich9-usb-uhci2": PciModel(_USB, "8086:2935", bars="4:io:20", pin=2),
    "ich9-usb-uhci3": PciModel(_USB, "8086:2936", bars="4:io:20", pin=3),
    "gpex-root": PciModel("Host bridge", "1b36:0008", pin=0),
    "pcie-root-port": PciModel(
        _BRIDGE, "1b36:000c", "0000:0000", "0:mem:1000", bridge=_EXPRESS_WINDOWS
    ),
    "ioh3420": PciModel(_BRIDGE, "8086:3420", "0000:0000", bridge=_EXPRESS_WINDOWS),
    "pci-bridge": PciModel(_BRIDGE, "1b36:0001", "0000:0000", "0:mem64:100", bridge=_WINDOWS),
    "pcie-pci-bridge": PciModel(_BRIDGE, "1b36:000e", "0000:0000", "0:mem64:100", bridge=_WINDOWS),
    "i82801b11-bridge": PciModel(_BRIDGE, "8086:244e", "0000:0000", pin=0, bridge=_WINDOWS),
    "x3130-upstream": PciModel(_BRIDGE, "104c:8232", "0000:0000", pin=0, bridge=_WINDOWS),
    "xio3130-downstream": PciModel(_BRIDGE, "104c:8233", "0000:0000", pin=0, bridge=_WINDOWS),
    "VGA": PciModel(
        "VGA controller", "1234:1111", bars="0:pref:1000000 2:mem:1000 6:mem:10000", pin=0
    ),
    "cirrus-vga": PciModel(
        "VGA controller", "1013:00b8", bars="0:pref:2000000 1:mem:1000 6:mem:10000", pin=0
    ),
    "e1000": PciModel(_ETHERNET, "8086:100e", bars=f"0:mem:20000 1:io:40 {_ROM}"),
    "e1000e": PciModel(
        _ETHERNET, "8086:10d3", "8086:0000", f"0:mem:20000 1:mem:20000 2:io:20 3:mem:4000 {_ROM}"
    ),
    "ne2k_pci": PciModel(_ETHERNET, "10ec:8029", bars=f"0:io:100 {_ROM}"),
    "pcnet": PciModel(_ETHERNET, "1022:2000", "0000:0000", f"0:io:20 1:mem:20 {_ROM}"),
    "rtl8139": PciModel(_ETHERNET, "10ec:8139", bars=f"0:io:100 1:mem:100 {_ROM}"),
    "virtio-net-pci": PciModel(_ETHERNET, "1af4:1000", "1af4:0001", f"0:io:20 {_VIRTIO} {_ROM}"),
    "vmxnet3": PciModel(
        _ETHERNET, "15ad:07b0", "15ad:07b0", f"0:mem:1000 1:mem:1000 2:mem:2000 {_ROM}"
    ),
    "virtio-blk-pci": PciModel(_STORAGE, "1af4:1001", "1af4:0002", f"0:io:80 {_VIRTIO}"),
    "virtio-scsi-pci": PciModel(_STORAGE, "1af4:1004", "1af4:0008", f"0:io:40 {_VIRTIO}"),
    "lsi53c895a": PciModel(_STORAGE, "1000:0012", "0000:1000", "0:io:100 1:mem:400 2:mem:2000"),
    "lsi53c810": PciModel(_STORAGE, "1000:0001", "0000:1000", "0:io:100 1:mem:400 2:mem:2000"),
    "nvme": PciModel("Class 0264", "1b36:0010", bars="0:mem64:4000"),
    # The second area is as large as the memory; this is for one of 1 MiB.
    "ivshmem-plain": PciModel(
        "RAM controller", "1af4:1110", bars="0:mem:100 2:pref64:100000", pin=0
    ),
    **{
        row.name: PciModel(
            row.pci["kind"],
            row.pci["ids"],
            row.pci["subsystem"],
            row.pci["bars"],
            pin=int(row.pci["pin"]),
            code=int(row.pci["code"]),
        )
        for row in rows()
        if row.pci
    },
}


class PciSlots:
    """Who is where on a PCI bus: model and options by slot and function.

    Args:
        taken: slot, function and model of those that the board has.
        lowest: the first slot that is given to a device that asks for none.
    """

    def __init__(self, taken: Sequence[tuple[int, int, str]] = (), *, lowest: int = 0) -> None:
        self._lowest = lowest
        self._taken: dict[tuple[int, int], tuple[str, Mapping[str, str]]] = {
            (slot, function): (model, {}) for slot, function, model in taken
        }

    def take(
        self,
        model: str,
        options: Mapping[str, str],
        wanted: tuple[int, int] | None,
        *,
        is_hotplug: bool = False,
    ) -> tuple[int, int]:
        """A place for a device.

        Args:
            options: as the user gave them.
            wanted: slot and function; None for the first slot that is empty.
            is_hotplug: the guest is there, and looks only once which functions a slot has.

        Raises:
            QemuError: it is taken, or all are.
        """
        if wanted is None:
            slots = {slot for slot, _ in self._taken}
            free = next((slot for slot in range(self._lowest, SLOTS) if slot not in slots), None)
            if free is None:
                raise QemuError(
                    f"PCI: no slot/function available for {model}, all in use or reserved"
                )
            wanted = free, 0
        slot, function = wanted
        if wanted in self._taken:
            other, others = self._taken[wanted]
            raise QemuError(
                f"PCI: slot {slot} function {function} not available for {model}, "
                f"in use by {other},id={others.get('id') or '(null)'}"
            )
        if function and (slot, 0) in self._taken and is_hotplug:
            raise QemuError(
                f"PCI: slot {slot} function 0 already occupied by {self._taken[slot, 0][0]}, "
                f"new func {model} cannot be exposed to guest."
            )
        self._taken[wanted] = model, options
        return wanted

    def give_back(self, place: tuple[int, int]) -> None:
        del self._taken[place]

    def describe(self) -> Iterator[str]:
        """The lines of ``info pci``."""
        for slot, function in sorted(self._taken):
            name, options = self._taken[slot, function]
            model = MODELS[name]
            yield f"  Bus  0, device {slot:3}, function {function}:"
            yield f"    {model.kind}: PCI device {model.ids}"
            if model.bridge is None:
                yield f"      PCI subsystem {model.subsystem}"
            if model.pin:
                yield f"      IRQ 0, pin {' ABCD'[model.pin]}"
            if model.bridge is not None:
                yield from _describe_windows(*model.bridge)
            for number, space, size in model.bars_of(options):
                # QEMU takes an unmapped bar's last byte from its size minus one.
                end = int(size, 16) - 2
                width = 4 if space == "io" else 8
                end = bar_end(size)
                yield f"      BAR{number}: {_SPACES[space]} at {UNMAPPED} [0x{end:0{width}x}]."
            yield f'      id "{options.get("id", "")}"'

    def values(self) -> list[dict[str, Any]]:
        """The same as QMP has it."""
        found = []
        for slot, function in sorted(self._taken):
            name, options = self._taken[slot, function]
            model = MODELS[name]
            vendor, device = (int(part, 16) for part in model.ids.split(":"))
            owner, subsystem = (int(part, 16) for part in model.subsystem.split(":"))
            kind: dict[str, Any] = {"class": model.class_code}
            if not model.kind.startswith(_UNNAMED):
                kind["desc"] = model.kind
            value: dict[str, Any] = {
                "bus": 0,
                "slot": slot,
                "function": function,
                "class_info": kind,
                "id": {
                    "device": device,
                    "vendor": vendor,
                    "subsystem": subsystem,
                    "subsystem-vendor": owner,
                },
                "regions": [_region(*bar) for bar in model.bars_of(options)],
                "qdev_id": options.get("id", ""),
                "irq_pin": model.pin,
            }
            if model.pin:
                value["irq"] = 0
            if model.bridge is not None:
                value["id"] = {"device": device, "vendor": vendor}
                value["pci_bridge"] = {"bus": _windows(*model.bridge)}
            found.append(value)
        return found


def _describe_windows(io: int, memory: int) -> Iterator[str]:
    """What a bridge lets through: nothing, as no firmware of ours numbers its buses."""
    yield "      BUS 0."
    yield "      secondary bus 0."
    yield "      subordinate bus 0."
    yield f"      IO range [0x{io:04x}, 0x{_IO_LIMIT:04x}]"
    yield f"      memory range [0x{memory:08x}, 0x{_MEMORY_LIMIT:08x}]"
    yield f"      prefetchable memory range [0x{memory:08x}, 0x{_MEMORY_LIMIT:08x}]"


def _windows(io: int, memory: int) -> dict[str, Any]:
    """The same as QMP has it."""
    of_memory = {"base": memory, "limit": _MEMORY_LIMIT}
    return {
        "number": 0,
        "secondary": 0,
        "subordinate": 0,
        "io_range": {"base": io, "limit": _IO_LIMIT},
        "memory_range": of_memory,
        "prefetchable_range": dict(of_memory),
    }


def bar_end(size: str) -> int:
    """The last address of a bar that isn't mapped: QEMU takes it from its size minus one."""
    return int(size, 16) - 2


def _region(number: str, space: str, size: str) -> dict[str, Any]:
    kind = "io" if space == "io" else "memory"
    value: dict[str, Any] = {"bar": int(number), "type": kind}
    value.update({"address": -1, "size": int(size, 16)})
    if kind == "memory":
        value.update({"prefetch": space.startswith("pref"), "mem_type_64": space.endswith("64")})
    return value


def parse_address(text: str) -> tuple[int, int] | None:
    """``SLOT`` or ``SLOT.FUNCTION``, hexadecimal; None for anything else."""
    slot_text, dot, function_text = text.partition(".")
    try:
        slot = int(slot_text, 16)
        function = int(function_text, 16) if dot else 0
    except ValueError:
        return None
    if not (0 <= slot < SLOTS and 0 <= function < FUNCTIONS):
        return None
    return slot, function
