"""What a machine is made of, told in the lines that ``info`` shows."""

from __future__ import annotations

import _thread

from machine.devices.bus import root_bus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.machine import Machine

# Topics of which a board without processors and buses has nothing.
_NOTHING_ON_BARE_BOARDS = frozenset("hotpluggable-cpus pci usernet".split())
MEMORY_TYPES = ("memory-backend-file", "memory-backend-memfd", "memory-backend-ram")
_MEMORY_FLAGS = ("merge", "dump", "prealloc", "share", "reserve")
# Topics of which no machine has anything, as nothing of the kind can be made yet.
_NOTHING_ANYWHERE = frozenset(("memory-devices", "tpm", "vm-generation-id"))


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
        from machine.devices.apic import describe as describe_apic

        has_apic = machine.board.has_apic
        return list(describe_apic(int(index))) if has_apic else ["local apic state not available"]
    if topic in _NOTHING_ANYWHERE:
        return ()
    if topic in _NOTHING_ON_BARE_BOARDS and not machine.buses:
        return ()
    return None


def _device_tree(machine: Machine) -> Sequence[str]:
    from machine.qom.qtree import describe

    return list(describe(machine))


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
    from machine.net.user import UserNetdev

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
    root = root_bus(machine.buses)
    return list(root.slots.describe()) if root is not None and root.slots is not None else ()


def _mice(machine: Machine) -> Sequence[str]:
    return list(machine.mice.describe())


def _usb(machine: Machine) -> Sequence[str]:
    from machine.devices.usb import describe as describe_usb

    return list(describe_usb(machine))


def _balloon(machine: Machine) -> Sequence[str]:
    from machine.devices.table_models import has_balloon

    return [f"balloon: actual={machine.ram_size >> 20}"] if has_balloon(machine) else ()


def _hotpluggable_cpus(machine: Machine) -> Sequence[str]:
    if not machine.board.has_cpu_slots:
        return []
    lines: list[str] = []
    for cpu, (path, place) in reversed(list(enumerate(machine.cpu_places()))):
        lines += (f'  type: "{machine.board.cpu_model}-x86_64-cpu"', '  vcpus_count: "1"')
        if path:
            lines.append(f'  qom_path: "{path}"')
        lines.append("  CPUInstance Properties:")
        node = machine.numa.node_of(cpu) if machine.numa is not None else None
        if node is not None:
            lines.append(f'    node-id: "{node}"')
        lines += (f'    {name}: "{number}"' for name, number in place.items())
    return ["Hotpluggable CPUs:", *lines]


def _io_apic(version: int) -> Sequence[str]:
    """An I/O APIC as a reset leaves it; no firmware of ours programs it."""
    return (
        f"ioapic0: ver={version:#x} id=0x00 sel=0x00",
        *(
            f"  pin {pin:<2} 0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  "
            "physical"
            for pin in range(24)
        ),
        "  IRR      (none)",
        "  Remote IRR (none)",
    )


def _interrupt_controllers(machine: Machine) -> Sequence[str] | None:
    board, isa = machine.board, machine.isa
    if isa is None:
        return ()
    above = _io_apic(board.io_apic_version) if board.has_apic else ()
    middle = isa.interrupts.describe() if "pic" in board.parts else ()
    return [*above, *middle, *(above if "ioapic2" in board.parts else ())]


def _interrupt_counts(machine: Machine) -> Sequence[str] | None:
    board, isa = machine.board, machine.isa
    if isa is None:
        return ()
    heading = "IRQ statistics for {}:"
    counts = isa.interrupts.describe_counts()
    lines = [heading.format("ioapic"), *counts] if board.has_apic else []
    if "pic" in board.parts:
        lines += [heading.format("isa-i8259"), *counts]
    if "ioapic2" in board.parts:
        lines.append(heading.format("ioapic"))
    return lines


def _nodes(machine: Machine) -> Sequence[str]:
    return ["0 nodes"] if machine.numa is None else list(machine.numa.describe())


def _roms(machine: Machine) -> Sequence[str]:
    board = machine.board
    fixed: Sequence[str] = ()
    if board.firmware:
        is_fixed = board.has_apic and board.properties == "pc"
        if is_fixed:
            fixed = ('fw=genroms/kvmvapic.bin size=0x002400 name="kvmvapic.bin"',)
        elif machine.isa is not None and machine.isa.vga is not None:
            fixed = ('fw=vgaroms/vgabios.bin size=0x009a00 name="vgabios.bin"',)
        size, memory = board.firmware, "rom" if is_fixed else "ram"
        place = f"addr={(1 << 32) - size:016x} size=0x{size:06x} mem={memory}"
        has_flash = machine.has_flash and machine.flash.chips
        tables = [
            *(() if has_flash else (f'{place} name="{board.firmware_name}"',)),
            *(f'/rom@{name} size=0x{most:06x} name="{name}"' for name, most, _ in board.tables),
        ]
    else:
        tables = []
    loaded = [
        f'addr={rom.address:016x} size=0x{len(rom.data):06x} mem=ram name="{rom.name}"'
        for rom in sorted(machine.roms, key=lambda rom: rom.address)
    ]
    return [*fixed, *loaded, *tables]


def _ram_blocks(machine: Machine) -> Sequence[str]:
    from machine.qom.ram_list import ram_list

    return [
        f"{block.name:>24} {'4 KiB':>8}  {block.offset:#018x} {block.used:#018x} {block.size:#018x}"
        for block in ram_list(machine)
    ]


_TOPICS: dict[str, Callable[[Machine], Sequence[str] | None]] = {
    "balloon": _balloon,
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
    "usb": _usb,
}
