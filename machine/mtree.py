"""The memory regions of a machine as ``info mtree`` shows them: as trees, and flattened.

QEMU shows the address spaces, and the views below, in the order of their addresses in its own
memory, which nobody can foretell; here they come in the order in which they were made.
"""

from __future__ import annotations

from machine.qom.composition import compose
from machine.qom.part import DevicePart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.machine import Machine
    from machine.qom.composition import Composition
    from machine.qom.part import Part, RegionPart


class Wanted:
    """What to tell besides the regions.

    Attributes:
        owners: whose each is.
        disabled: those to which no access comes.
        dispatch: how accesses find their way, of a flat view.
    """

    __slots__ = ("disabled", "dispatch", "owners")

    def __init__(self, *, owners: bool, disabled: bool, dispatch: bool) -> None:
        self.owners = owners
        self.disabled = disabled
        self.dispatch = dispatch


def describe(machine: Machine, wanted: Wanted, *, is_flat: bool) -> Iterator[str]:
    """The lines.

    Args:
        is_flat: what each address space consists of in the end, instead of the tree.
    """
    whole = compose(machine)
    return _views(whole, wanted) if is_flat else _trees(whole, wanted)


# --- trees


def _trees(whole: Composition, wanted: Wanted) -> Iterator[str]:
    targets: list[RegionPart] = []  # what aliases show, each once
    for root, names in _spaces_by_root(whole):
        for name in sorted(names):
            yield f"address-space: {name}"
        yield from _tree(root, 0, 1, wanted, targets)
        yield ""
    for target in targets:  # which grows meanwhile
        yield f"memory-region: {target.label}"
        yield from _tree(target, 0, 1, wanted, targets)
        yield ""


def _spaces_by_root(whole: Composition) -> list[tuple[RegionPart, list[str]]]:
    found: dict[int, tuple[RegionPart, list[str]]] = {}
    for name, root in whole.spaces:
        found.setdefault(id(root), (root, []))[1].append(name)
    return list(found.values())


def _tree(
    region: RegionPart, base: int, depth: int, wanted: Wanted, targets: list[RegionPart]
) -> Iterator[str]:
    first = base + region.address
    if region.alias is not None and not any(each is region.alias for each in targets):
        targets.append(region.alias)
    if region.is_enabled or wanted.disabled:
        text = f"{'  ' * depth}{_range(region, first, region.size)}: "
        if region.alias is not None:
            begin = region.alias_offset
            text += f"alias {region.label} @{region.alias.label} "
            text += f"{begin:016x}-{begin + max(region.size, 1) - 1:016x}"
        else:
            text += region.label
        text += "" if region.is_enabled else " [disabled]"
        yield text + (_owner(region) if wanted.owners else "")
    for each in region.regions:
        yield from _tree(each, first, depth + 1, wanted, targets)


def _range(region: RegionPart, first: int, size: int) -> str:
    last = first + max(size, 1) - 1
    return f"{first:016x}-{last:016x} (prio {region.priority}, {region.kind})"


def _owner(region: RegionPart) -> str:
    if region.owner is not None:
        return f" owner:{{{_identity(region.owner)}}}"
    assert region.parent is not None, "a region is a part of something"
    return f" parent:{{{_identity(region.parent)}}}"


def _identity(part: Part) -> str:
    if isinstance(part, DevicePart):
        return f"dev id={part.id}" if part.id else f"dev path={part.path}"
    return f"obj path={part.path}"


# --- flat views


def _views(whole: Composition, wanted: Wanted) -> Iterator[str]:
    from machine.flatview import FlatView, flatten

    views: list[tuple[FlatView, list[str]]] = []
    for name, root in whole.spaces:
        view = flatten(root)
        space = f' AS "{name}", root: {root.label}'
        if root.alias is not None:
            space += f", alias {root.alias.label}"
        for other, spaces in views:
            if other.root is view.root:
                spaces.append(space)
                break
        else:
            views.append((view, [space]))
    for number, (view, spaces) in enumerate(views):
        yield f"FlatView #{number}"
        yield from spaces
        yield f" Root memory region: {'(none)' if view.root is None else view.root.label}"
        for each in view.ranges:
            line = f"  {_range(each.region, each.first, each.size)}: {each.region.label}"
            if each.offset:
                line += f" @{each.offset:016x}"
            yield line + (_owner(each.region) if wanted.owners else "")
        if not view.ranges:
            yield "  No rendered FlatView"
        elif wanted.dispatch:
            from machine.dispatch import Dispatch

            yield from Dispatch(view).describe()
        yield ""
