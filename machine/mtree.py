"""The memory regions of a board as ``info mtree`` shows them: as trees, and flattened.

A board with buses has dozens of regions that nothing else here knows of; of those it isn't told.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine

_LAST_ADDRESS = (1 << 64) - 1
_LAST_PORT = 0xFFFF
_OF_BOARD = " parent:{obj path=/machine/unattached}"


def describe(machine: Machine, *, is_flat: bool, has_owners: bool) -> Iterator[str] | None:
    """The lines; None for a board of which they aren't told.

    Args:
        is_flat: what each address space consists of in the end, instead of the tree.
        has_owners: tell whose each region is.
    """
    if machine.buses:
        return None
    make = _flat if is_flat else _tree
    return make(machine, has_owners)


def _tree(machine: Machine, has_owners: bool) -> Iterator[str]:
    board = _OF_BOARD if has_owners else ""
    yield "address-space: memory"
    yield _region(0, _LAST_ADDRESS, "i/o", "system", "  ") + board
    if machine.ram_size:
        yield _ram(machine, "    ", has_owners)
    yield ""
    yield "address-space: I/O"
    yield _region(0, _LAST_PORT, "i/o", "io", "  ") + board
    yield ""


def _flat(machine: Machine, has_owners: bool) -> Iterator[str]:
    ports = [
        ' AS "I/O", root: io',
        " Root memory region: io",
        _region(0, _LAST_PORT, "i/o", "io", "  ") + (_OF_BOARD if has_owners else ""),
    ]
    memory = [' AS "memory", root: system']
    if machine.ram_size:
        memory.append(f" Root memory region: {machine.board.ram_name}")
        memory.append(_ram(machine, "  ", has_owners))
        views = [ports, memory]
    else:
        memory += [" Root memory region: (none)", "  No rendered FlatView"]
        views = [memory, ports]
    for number, lines in enumerate(views):
        yield f"FlatView #{number}"
        yield from lines
        yield ""


def _ram(machine: Machine, indent: str, has_owners: bool) -> str:
    name = machine.board.ram_name
    line = _region(0, machine.ram_size - 1, "ram", name, indent)
    return line + (f" owner:{{obj path=/objects/{name}}}" if has_owners else "")


def _region(first: int, last: int, kind: str, name: str, indent: str) -> str:
    return f"{indent}{first:016x}-{last:016x} (prio 0, {kind}): {name}"
