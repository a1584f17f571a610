"""The blocks of RAM, and where QEMU would lay each among all RAM that there is."""

from __future__ import annotations

from machine.qom.composition import compose
from machine.qom.part import DevicePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine
    from machine.qom.composition import Composition
    from machine.qom.part import RegionPart

_ALIGNMENT = 64 * 4096  # the dirty bitmap's words: a page a bit
_END = (1 << 64) - 1


class Block:
    """A block of RAM.

    Attributes:
        name: with the place of its device before it, if that is on a PCI bus.
        offset: among all RAM, bytes.
        size: the most that it can have, bytes.
        used: what it has.
    """

    __slots__ = ("name", "offset", "size", "used")

    def __init__(self, name: str, region: RegionPart, offset: int) -> None:
        self.name = name
        self.offset = offset
        self.size = region.size
        self.used = region.used_size


def ram_list(machine: Machine) -> list[Block]:
    """The blocks, the largest first; of those that are alike the one that was made first."""
    blocks: list[Block] = []
    whole = compose(machine)
    for region in whole.ram:
        block = Block(_name(machine, whole, region), region, _free_offset(blocks, region.size))
        smaller = (at for at, other in enumerate(blocks) if other.size < block.size)
        blocks.insert(next(smaller, len(blocks)), block)
    return blocks


def _name(machine: Machine, whole: Composition, region: RegionPart) -> str:
    """What a block is called: nothing for the RAM of an object that no device uses."""
    owner = region.owner
    is_of_object = owner is not None and owner.parent is whole.root.parts.get("objects")
    if is_of_object and region.label != machine.board.ram_name:
        users = (each for each in whole.in_order if each.uses("memdev", region.label))
        owner = next(users, None)
        if owner is None:
            return ""
    place = owner.pci_place if isinstance(owner, DevicePart) else None
    path = "" if place is None else "0000:00:{:02x}.{:x}/".format(*place)
    if path and isinstance(owner, DevicePart) and owner.plugged is not None:
        path = f"{owner.plugged.bus_path}/"  # with the bridges on the way
    return path + region.label


def _free_offset(blocks: list[Block], size: int) -> int:
    """Where a block goes: into the smallest gap that takes it."""
    if not blocks:
        return 0
    gaps = []
    for block in blocks:
        begin = -(-(block.offset + block.size) // _ALIGNMENT) * _ALIGNMENT
        end = min((other.offset for other in blocks if other.offset >= begin), default=_END)
        if end - begin >= size:
            gaps.append((end - begin, begin))
    return min(gaps)[1]
