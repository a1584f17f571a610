"""What is saved of a microvm besides what every PC has on its ISA bus.

Nothing here uses these devices: they are as a reset leaves them, or as a stream had them, so that
a real microvm takes ours, and the other way round.

Source: streams of QEMU 7.2.
"""

from __future__ import annotations

from types import SimpleNamespace

from machine.cpu.x86_state import CPU, CPU_COMMON, CpuState
from machine.memory import PAGE_SIZE, RamBlock
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import (
    Int32,
    Int64,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UnusedBuffer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from machine.machine import Machine
    from machine.vmstate.field import Field

_MASKED = 0x10000  # of an interrupt
_APIC_BASE, _FIRST_PROCESSOR, _APIC_ENABLED = 0xFEE00000, 0x100, 0x800
_IO_APIC_PINS = 24
# Bytes of the tables that QEMU makes for a microvm without anything that is plugged in.
_TABLE_SIZES = {"table_mr_size": 686, "linker_mr_size": 1664, "rsdp_mr_size": 36}


class Carried(SimpleNamespace):
    """A device that only has what is saved of it.

    Args:
        values: gives what a reset leaves.
    """

    def __init__(self, values: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._values = values
        self.reset()

    def reset(self) -> None:
        """As a reset leaves it."""
        vars(self).update(self._values())


class MicrovmDevices:
    """The devices, and the RAM that the firmware's tables are in."""

    def __init__(self, machine: Machine) -> None:
        parts = machine.board.parts
        self._has_tables = bool(machine.board.tables)
        self._cpus = [CpuState(cpu) for cpu in machine.cpus]
        self._fw_cfg = Carried(_fw_cfg)
        self._fw_cfg.has_tables = self._has_tables
        self._patches = Carried(_patches)
        self._apics = [Carried(_apic(cpu.index)) for cpu in machine.cpus]
        self._io_apics = [Carried(_io_apic) for _ in range(1 + ("ioapic2" in parts))]
        self._events = [Carried(_events)] if "acpi" in parts else []
        for name, _, used in machine.board.tables:
            size = -(-used // PAGE_SIZE) * PAGE_SIZE
            machine.memory.add_unmapped(RamBlock(f"/rom@{name}", size))

    @property
    def states(self) -> Iterator[tuple[VMStateDescription, Any]]:
        """What is saved of them, in QEMU's order."""
        yield FW_CFG, self._fw_cfg
        for number, (cpu, apic) in enumerate(zip(self._cpus, self._apics, strict=True)):
            yield CPU_COMMON, cpu
            yield CPU, cpu
            if not number:
                yield TPR_PATCHES, self._patches
            yield APIC, apic
        for io_apic in self._io_apics:
            yield IO_APIC, io_apic
        for events in self._events:
            yield EVENTS, events

    def reset(self) -> None:
        """What the reset button does."""
        for cpu in self._cpus:
            cpu.reset()
        for device in (self._fw_cfg, self._patches, *self._apics, *self._io_apics, *self._events):
            device.reset()


def _fw_cfg() -> dict[str, Any]:
    return {"cur_entry": 0, "cur_offset": 0, "dma_addr": 0, **_TABLE_SIZES}


def _patches() -> dict[str, Any]:
    values = dict.fromkeys([*_ROM_STATE, *_PATCHES_TAIL], 0)
    rom = SimpleNamespace(**values)
    rom.up, rom.mp = (
        SimpleNamespace(set_tpr=0, set_tpr_eax=0, get_tpr=[0] * 8, get_tpr_stack=0)
        for _ in range(2)
    )
    return {**dict.fromkeys(_PATCHES_TAIL, 0), "rom_state": rom}


def _apic(index: int) -> Callable[[], dict[str, Any]]:
    def values() -> dict[str, Any]:
        base = _APIC_BASE | _APIC_ENABLED | (0 if index else _FIRST_PROCESSOR)
        numbers = dict.fromkeys((field.name for field in _APIC_FIELDS), 0)
        return {
            **numbers,
            "apicbase": base,
            "id": index,
            "spurious_vec": 0xFF,
            "dest_mode": 0xF,
            "isr": [0] * 8,
            "tmr": [0] * 8,
            "irr": [0] * 8,
            "lvt": [_MASKED] * 6,
            "icr": [0, 0],
            "timer_expiry": -1,
            "sipi_vector": 0,
            "wait_for_sipi": int(index != 0),
        }

    return values


def _io_apic() -> dict[str, Any]:
    return {"id": 0, "ioregsel": 0, "irr": 0, "ioredtbl": [_MASKED] * _IO_APIC_PINS}


def _events() -> dict[str, Any]:
    return {
        "ged_state": SimpleNamespace(sel=0),
        "memhp_state": SimpleNamespace(selector=0),
    }


FW_CFG = VMStateDescription(
    name="fw_cfg",
    version_id=2,
    fields=(UInt16("cur_entry"), UInt32("cur_offset")),
    subsections=(
        VMStateDescription(
            name="fw_cfg/dma",
            version_id=0,
            minimum_version_id=0,
            fields=(UInt64("dma_addr"),),
            needed=lambda _: True,
        ),
        VMStateDescription(
            name="fw_cfg/acpi_mr",
            fields=tuple([UInt64(name) for name in _TABLE_SIZES]),
            needed=lambda device: bool(device.has_tables),
        ),
    ),
)
_ROM_STATE = "vaddr fixup_start fixup_end vapic_vaddr vapic_size vcpu_shift real_tpr_addr".split()
_PATCHES_TAIL = "state real_tpr_addr rom_state_vaddr vapic_paddr rom_state_paddr".split()
_HANDLERS = VMStateDescription(
    name="kvmvapic-handlers",
    fields=(
        UInt32("set_tpr"),
        UInt32("set_tpr_eax"),
        UInt32("get_tpr", count=8),
        UInt32("get_tpr_stack"),
    ),
)
_ROM = VMStateDescription(
    name="kvmvapic-guest-rom",
    fields=(
        UnusedBuffer(8),
        *[UInt32(name) for name in _ROM_STATE],
        Struct("up", _HANDLERS),
        Struct("mp", _HANDLERS),
    ),
)
TPR_PATCHES = VMStateDescription(
    name="kvm-tpr-opt",
    fields=(Struct("rom_state", _ROM), *[UInt32(name) for name in _PATCHES_TAIL]),
)
_APIC_FIELDS: tuple[Field, ...] = (
    UInt32("apicbase"),
    UInt8("id"),
    UInt8("arb_id"),
    UInt8("tpr"),
    UInt32("spurious_vec"),
    UInt8("log_dest"),
    UInt8("dest_mode"),
    UInt32("isr", count=8),
    UInt32("tmr", count=8),
    UInt32("irr", count=8),
    UInt32("lvt", count=6),
    UInt32("esr"),
    UInt32("icr", count=2),
    UInt32("divide_conf"),
    Int32("count_shift"),
    UInt32("initial_count"),
    Int64("initial_count_load_time"),
    Int64("next_time"),
    Int64("timer_expiry"),
)
APIC = VMStateDescription(
    name="apic",
    version_id=3,
    minimum_version_id=3,
    fields=_APIC_FIELDS,
    subsections=(
        VMStateDescription(
            name="apic_sipi",
            fields=(Int32("sipi_vector"), Int32("wait_for_sipi")),
            needed=lambda device: bool(device.wait_for_sipi),
        ),
    ),
)
IO_APIC = VMStateDescription(
    name="ioapic",
    version_id=3,
    minimum_version_id=1,
    fields=(
        UInt8("id"),
        UInt8("ioregsel"),
        UnusedBuffer(8, since_version=2),
        UInt32("irr", since_version=2),
        UInt64("ioredtbl", count=_IO_APIC_PINS),
    ),
)
EVENTS = VMStateDescription(
    name="acpi-ged",
    fields=(
        Struct("ged_state", VMStateDescription(name="acpi-ged-state", fields=(UInt32("sel"),))),
    ),
    subsections=(
        VMStateDescription(
            name="acpi-ged/memhp",
            fields=(
                Struct(
                    "memhp_state",
                    VMStateDescription(name="memory_hotplug_state", fields=(UInt32("selector"),)),
                ),
            ),
            needed=lambda _: True,
        ),
    ),
)
