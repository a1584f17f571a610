"""What a machine is made of, told in the lines that ``info`` shows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from machine.machine import Machine

# Topics of which a board without processors and buses has nothing.
_NOTHING_ON_BARE_BOARDS = frozenset(
    "balloon hotpluggable-cpus irq mice pci pic tpm usb usernet vm-generation-id virtio".split()
)
# Topics of which no machine has anything, as nothing of the kind can be made yet.
_NOTHING_ANYWHERE = frozenset("iothreads memory-devices network".split())


def describe(machine: Machine, topic: str) -> Sequence[str] | None:
    """The lines that answer a topic.

    Returns:
        No lines where the machine has nothing of the kind; None where that isn't simulated.
    """
    if topic in _TOPICS:
        return _TOPICS[topic](machine)
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
    if not machine.ram_size:
        return ()
    return (
        f"memory backend: {machine.board.ram_name}",
        f"  size:  {machine.ram_size}",
        "  merge: true",
        "  dump: true",
        "  prealloc: false",
        "  share: false",
        "  reserve: true",
        "  policy: default",
        "  host nodes: ",
        "",
    )


def _nodes(_machine: Machine) -> Sequence[str]:
    return ()


def _roms(machine: Machine) -> Sequence[str] | None:
    if machine.board.firmware:
        return None
    return [
        f'addr={rom.address:016x} size=0x{len(rom.data):06x} mem=ram name="{rom.name}"'
        for rom in sorted(machine.roms, key=lambda rom: rom.address)
    ]


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
    "memdev": _memory_backends,
    "numa": _nodes,
    "qtree": _device_tree,
    "ramblock": _ram_blocks,
    "roms": _roms,
}
