"""What a machine is made of, told in the lines that ``info`` shows."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.machine import Machine

# Topics of which a board without processors and buses has nothing.
_NOTHING_ON_BARE_BOARDS = frozenset("balloon hotpluggable-cpus mice pci usernet".split())
MEMORY_TYPES = ("memory-backend-file", "memory-backend-memfd", "memory-backend-ram")
_MEMORY_FLAGS = ("merge", "dump", "prealloc", "share", "reserve")
# Topics of which no machine has anything, as nothing of the kind can be made yet.
_NOTHING_ANYWHERE = frozenset(("memory-devices", "tpm", "usb", "vm-generation-id"))


def describe(machine: Machine, topic: str) -> Sequence[str] | None:
    """The lines that answer a topic.

    Returns:
        No lines where the machine has nothing of the kind; None where that isn't simulated.
    """
    if topic in _TOPICS:
        return _TOPICS[topic](machine)
    kind, _, index = topic.partition(" ")
    if kind == "registers":
        return list(machine.cpus[int(index)].describe())
    if kind == "lapic":
        if not machine.board.has_apic:
            return ("local apic state not available",)
        from machine.devices.apic import describe_local

        return describe_local(int(index))
    if topic in _NOTHING_ANYWHERE:
        return ()
    if topic in _NOTHING_ON_BARE_BOARDS and not machine.buses:
        return ()
    return None


def _device_tree(machine: Machine) -> Sequence[str] | None:
    if machine.buses or machine.roms:
        return None
    return ("bus: main-system-bus", "  type System")


def _memory_backends(machine: Machine) -> Sequence[str]:
    lines: list[str] = []
    for each in machine.objects.of_type(*MEMORY_TYPES):
        values = each.values
        lines += _memory_backend(
            each.id, values["size"], {name: values[name] for name in _MEMORY_FLAGS}
        )
        lines.append(f"  policy: {values['policy']}")
        lines.append(f"  host nodes: {','.join(map(str, values['host-nodes']))}")
    if machine.ram_size:
        flags = dict(zip(_MEMORY_FLAGS, (True, True, False, False, True), strict=True))
        lines += _memory_backend(machine.board.ram_name, machine.ram_size, flags)
        lines += ("  policy: default", "  host nodes: ")
    return [*lines, ""]


def _memory_backend(name: str, size: int, flags: dict[str, bool]) -> list[str]:
    return [
        f"memory backend: {name}",
        f"  size:  {size}",
        *(f"  {flag}: {'true' if value else 'false'}" for flag, value in flags.items()),
    ]


def _io_threads(machine: Machine) -> Sequence[str]:
    lines = []
    machine.objects.were_used = True
    for each in reversed(machine.objects.of_type("iothread")):
        lines.append(f"{each.id}:")
        lines.append(f"  thread_id={_thread.get_native_id()}")
        lines += (
            f"  {name}={each.values[name]}"
            for name in ("poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch")
        )
    return lines


def _network(machine: Machine) -> Sequence[str]:
    return list(machine.network.describe())


def _usernet(machine: Machine) -> Sequence[str]:
    from machine.net_user import UserNetdev

    lines = []
    for client in machine.network.netdevs:
        if isinstance(client, UserNetdev):
            hub = getattr(client.peer, "hub_id", -1)
            lines.append(f"Hub {hub} ({client.name}):")
            lines.append(
                "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ"
            )
            lines += client.describe_forwards()
    return lines


def _pci(machine: Machine) -> Sequence[str]:
    if "PCI" not in machine.board.buses:
        return ()
    return list(machine.plugs.pci.describe())


def _mice(machine: Machine) -> Sequence[str]:
    return ("* Mouse #2: QEMU PS/2 Mouse",) if "ISA" in machine.board.buses else ()


def _hotpluggable_cpus(machine: Machine) -> Sequence[str]:
    lines: list[str] = []
    for cpu in reversed(machine.cpus):
        # The first processor is made first, its APIC's ROM next, and then the others.
        number = cpu.index + (cpu.index > 0)
        lines += (
            '  type: "qemu64-x86_64-cpu"',
            '  vcpus_count: "1"',
            f'  qom_path: "/machine/unattached/device[{number}]"',
            "  CPUInstance Properties:",
            '    socket-id: "0"',
            f'    core-id: "{cpu.index}"',
            '    thread-id: "0"',
        )
    return ["Hotpluggable CPUs:", *lines] if lines else []


# QEMU's I/O APIC as a reset leaves it; no firmware of ours programs it.
_IO_APIC = (
    "ioapic0: ver=0x20 id=0x00 sel=0x00",
    *(
        f"  pin {pin:<2} 0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical"
        for pin in range(24)
    ),
    "  IRR      (none)",
    "  Remote IRR (none)",
)


def _interrupt_controllers(machine: Machine) -> Sequence[str] | None:
    if machine.isa is None:
        return ()
    above = _IO_APIC if machine.board.has_apic else ()
    return [*above, *machine.isa.interrupts.describe()]


def _interrupt_counts(machine: Machine) -> Sequence[str] | None:
    if machine.isa is None:
        return ()
    counts = machine.isa.interrupts.describe_counts()
    names = ("ioapic", "isa-i8259") if machine.board.has_apic else ("isa-i8259",)
    return [line for name in names for line in (f"IRQ statistics for {name}:", *counts)]


def _virtio(machine: Machine) -> Sequence[str]:
    devices = machine.plugs.devices if machine.has_plugs else ()
    lines = []
    for device in reversed(devices):
        name = device.model.name
        if name.startswith("virtio-") and name.endswith("-pci"):
            lines.append(f"{device.path}/virtio-backend [{name.removesuffix('-pci')}]")
    return lines


def _nodes(_machine: Machine) -> Sequence[str]:
    return ()


def _roms(machine: Machine) -> Sequence[str]:
    board = machine.board
    fixed: Sequence[str] = ()
    tables: Sequence[str] = ()
    if board.firmware and not board.has_apic:
        if machine.isa is not None and machine.isa.vga is not None:
            fixed = ('fw=vgaroms/vgabios.bin size=0x009a00 name="vgabios.bin"',)
        tables = (f'addr={(1 << 32) - board.firmware:016x} size=0x020000 mem=ram name="bios.bin"',)
    elif board.firmware:
        size = board.firmware
        fixed = ('fw=genroms/kvmvapic.bin size=0x002400 name="kvmvapic.bin"',)
        tables = (
            f'addr={(1 << 32) - size:016x} size=0x{size:06x} mem=rom name="bios-256k.bin"',
            '/rom@etc/acpi/tables size=0x200000 name="etc/acpi/tables"',
            '/rom@etc/table-loader size=0x010000 name="etc/table-loader"',
            '/rom@etc/acpi/rsdp size=0x001000 name="etc/acpi/rsdp"',
        )
    loaded = [
        f'addr={rom.address:016x} size=0x{len(rom.data):06x} mem=ram name="{rom.name}"'
        for rom in sorted(machine.roms, key=lambda rom: rom.address)
    ]
    return [*fixed, *loaded, *tables]


def _ram_blocks(machine: Machine) -> Sequence[str] | None:
    if machine.board.firmware:
        return None
    lines = []
    offset = 0
    for block in machine.memory.migration_blocks():
        lines.append(
            f"{block.name:>24} {'4 KiB':>8}  {offset:#018x} {block.size:#018x} {block.size:#018x}"
        )
        offset += block.size
    return lines


_TOPICS: dict[str, Callable[[Machine], Sequence[str] | None]] = {
    "hotpluggable-cpus": _hotpluggable_cpus,
    "iothreads": _io_threads,
    "irq": _interrupt_counts,
    "memdev": _memory_backends,
    "mice": _mice,
    "network": _network,
    "numa": _nodes,
    "pci": _pci,
    "pic": _interrupt_controllers,
    "qtree": _device_tree,
    "ramblock": _ram_blocks,
    "roms": _roms,
    "usernet": _usernet,
    "virtio": _virtio,
}
