"""`%diff A [B]`: what differs between two snapshots, or between one and now."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.block_info import size_text
from hmp.lab.vmstate import find_state
from hmp.lab.wording import counted
from hmp.state_text import value_text
from machine.identifiers import snapshot_names
from machine.migration.values import NamedValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from blockdev.qcow2.image import Image
    from blockdev.snapshot import Snapshot
    from hmp.command import Completion
    from hmp.monitor import Monitor
    from machine.machine import Machine
    from machine.migration.pages import Pages
    from machine.snapshot import Disk

NOW = "now"
_MOST_PAGES = 4  # that are shown
_MOST_FIELDS = 40  # likewise
_MOST_RANGES = 12  # of a disk, likewise
_LONGEST_VALUE = 68  # characters
_ROW = 16  # bytes
_WIDTH = 79  # characters of a line


def diff(monitor: Monitor, *, a: str, b: str | None) -> None:
    machine = monitor.machine
    names = (a, b or NOW)
    machine.settle()
    disks = list(_disks(machine, names))
    if not disks:
        missing = [name for name in names if name != NOW and not _is_anywhere(machine, name)]
        if missing:
            raise QemuError(f"Snapshot '{missing[0]}' does not exist in one or more devices")
        raise QemuError("No disk has both, so there is nothing to compare")
    for line in _state_lines(machine, names):
        monitor.print_line(line)
    for disk, snapshots in disks:
        for line in _disk_lines(disk, snapshots):
            monitor.print_line(line)


def complete_two(machine: Machine, words: Sequence[str]) -> Completion:
    """Tags, and for the second word also the machine as it is."""
    from hmp.command import Completion

    if len(words) > 2:
        return Completion()
    names = snapshot_names(machine)
    return Completion.of(words[-1], [*names, NOW] if len(words) == 2 else names)


def _is_anywhere(machine: Machine, name: str) -> bool:
    from machine.snapshot import disks

    return any(_find(disk, name) for disk in disks(machine))


def _find(disk: Disk, name: str) -> Snapshot | None:
    """By tag, else by ID."""
    from blockdev.snapshot import find_by_id_and_name, find_by_name

    snapshots = disk.node.snapshots()
    return find_by_name(snapshots, name) or find_by_id_and_name(snapshots, name, None)


# --- memory and devices


def _state_lines(machine: Machine, names: tuple[str, str]) -> Iterator[str]:
    from machine.migration.pages import differing_pages
    from machine.migration.values import differing_values

    states = []
    for name in names:
        try:
            states.append(_state(machine, name))
        except QemuError:
            yield f"memory, devices: '{name}' has no machine state, so there is nothing to compare"
            return
    (pages_a, values_a), (pages_b, values_b) = states
    differing = list(differing_pages(pages_a, pages_b))
    yield f"memory: {counted(len(differing), 'page')} differ{'s' * (len(differing) == 1)}"
    for name, page in differing[:_MOST_PAGES]:
        yield from _page_lines((pages_a, pages_b), name, page)
    if len(differing) > _MOST_PAGES:
        yield f"    and {len(differing) - _MOST_PAGES} more"
    fields = list(differing_values(values_a, values_b))
    yield f"devices: {counted(len(fields), 'field')} differ{'s' * (len(fields) == 1)}"
    for name, in_a, in_b in fields[:_MOST_FIELDS]:
        yield from _field_lines(name, in_a, in_b)
    if len(fields) > _MOST_FIELDS:
        yield f"    and {len(fields) - _MOST_FIELDS} more"


def _state(machine: Machine, name: str) -> tuple[Pages, Mapping[str, NamedValue]]:
    """Memory and fields of a snapshot, or of now.

    Raises:
        QemuError: the snapshot has no state, or one that can't be read.
    """
    from machine.migration.decode import decode
    from machine.migration.decode_source import BytesSource
    from machine.migration.pages import PresentPages, SavedPages
    from machine.migration.savevm import device_stream
    from machine.migration.values import named_values

    if name == NOW:
        stream = decode(BytesSource(device_stream(machine)))
        return PresentPages(machine.memory), named_values(stream)
    _, _, source = find_state(machine, name)
    pages = SavedPages(source)
    return pages, named_values(decode(source, pages))


def _page_lines(states: tuple[Pages, Pages], block: str, page: int) -> Iterator[str]:
    """The first bytes of a page that differ, in both."""
    from hmp.tools.dump import dump_lines
    from machine.memory import PAGE_SIZE
    from machine.migration.pages import page_bytes

    in_a, in_b = (page_bytes(state, block, page) for state in states)
    starts = range(0, PAGE_SIZE, _ROW)
    rows = [start for start in starts if in_a[start : start + _ROW] != in_b[start : start + _ROW]]
    start = rows[0]
    more = f", {counted(len(rows) - 1, 'more row')} of it" if len(rows) > 1 else ""
    yield f"    page {page} of {block}, at {page * PAGE_SIZE + start:#x}{more}"
    for sign, data in (("-", in_a), ("+", in_b)):
        for row in dump_lines(data[start : start + _ROW], 0):
            yield f"      {sign} {row.partition(':')[2].strip()}"


def _field_lines(name: str, in_a: NamedValue | None, in_b: NamedValue | None) -> Iterator[str]:
    """A field that differs; of a long one the first part that does."""
    if in_a is not None and in_b is not None:
        values = (in_a.value, in_b.value)
        if all(isinstance(value, bytes) and len(value) > _ROW for value in values):
            start = _first_difference(*values) // _ROW * _ROW
            name += f", from byte {start} on"
            in_a, in_b = (
                NamedValue(field.type, field.value[start : start + _ROW]) for field in (in_a, in_b)
            )
        elif all(isinstance(value, list) for value in values):
            index = _first_difference(*values)
            name += f"[{index}]"
            in_a, in_b = (
                NamedValue(field.type, field.value[index]) if index < len(field.value) else None
                for field in (in_a, in_b)
            )
    line = f"    {name}: {_value(in_a)} -> {_value(in_b)}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield f"    {name}"
        yield f"      - {_value(in_a)}"
        yield f"      + {_value(in_b)}"


def _first_difference(a: Sequence[object], b: Sequence[object]) -> int:
    """The index of the first element that isn't the same in both."""
    pairs = zip(a, b, strict=False)
    return next((index for index, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def _value(field: NamedValue | None) -> str:
    if field is None:
        return "nothing"
    text = value_text(field.value, field.type)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


# --- disks


def _disks(
    machine: Machine, names: tuple[str, str]
) -> Iterator[tuple[Disk, tuple[Snapshot | None, Snapshot | None]]]:
    """The disks that have both, with the snapshots; None is now."""
    from machine.snapshot import disks

    for disk in disks(machine):
        first, second = (None if name == NOW else _find(disk, name) for name in names)
        has_both = (first or names[0] == NOW) and (second or names[1] == NOW)
        if has_both and disk.node.has_snapshots:
            yield disk, (first, second)


def _disk_lines(disk: Disk, snapshots: tuple[Snapshot | None, Snapshot | None]) -> Iterator[str]:
    from blockdev.qcow2.compare import differing_ranges

    image = image_of(disk)
    states = [image.state_of(snapshot) for snapshot in snapshots]
    ranges = list(differing_ranges(*states))
    total = sum([size for _, size in ranges])
    size = size_text(total) if total else "nothing"
    where = f" in {counted(len(ranges), 'range')}" if ranges else ""
    yield f"disk {disk.shown}: {size} differ{'s' * (not total)}{where}"
    for offset, length in ranges[:_MOST_RANGES]:
        yield f"    {offset:#x}-{offset + length - 1:#x}  {size_text(length)}"
    if len(ranges) > _MOST_RANGES:
        yield f"    and {len(ranges) - _MOST_RANGES} more"
    if states[0].size != states[1].size:
        yield f"    its size was {size_text(states[0].size)}, then {size_text(states[1].size)}"


def image_of(disk: Disk) -> Image:
    """The image that keeps a disk's snapshots.

    Raises:
        QemuError: it has none.
    """
    from blockdev.node import BlockNode
    from blockdev.qcow2.image import Image

    node: BlockNode | None = disk.node
    while node is not None and not isinstance(node, Image):
        node = node.file
    if node is None:
        raise QemuError(f"'{disk.shown}' has no internal snapshots")
    return node
