"""An address space flattened: which region answers at each address in the end."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.qom.part import RegionPart


class FlatRange:
    """Addresses that one region answers.

    Attributes:
        first: of the addresses.
        size: how many.
        region: the one that answers; none has an alias.
        offset: where in it the range begins.
    """

    __slots__ = ("first", "offset", "region", "size")

    def __init__(self, first: int, size: int, region: RegionPart, offset: int) -> None:
        self.first = first
        self.size = size
        self.region = region
        self.offset = offset

    @property
    def end(self) -> int:
        return self.first + self.size


class FlatView:
    """What a region consists of.

    Attributes:
        root: the region that it really is a view of; None where nothing answers.
        ranges: by their addresses.
    """

    __slots__ = ("ranges", "root")

    def __init__(self, root: RegionPart | None) -> None:
        self.root = root
        self.ranges: list[FlatRange] = []


def flatten(space_root: RegionPart) -> FlatView:
    """The view of an address space that begins with a region."""
    root = _real_root(space_root)
    view = FlatView(root)
    if root is not None:
        _render(view.ranges, root, 0, 0, 1 << 64)
        view.ranges = _merged(view.ranges)
    return view


def _real_root(region: RegionPart) -> RegionPart | None:
    """What a region is, where it only passes another one on as it is.

    Address spaces that are alike in the end share a view by this.
    """
    while region.is_enabled:
        if region.alias is not None:
            if region.alias_offset or region.size < region.alias.size:
                return region
            region = region.alias
            continue
        if region.kind != "i/o" or not region.is_container:
            return region
        enabled = [each for each in region.regions if each.is_enabled]
        if not enabled:
            return None
        if len(enabled) > 1 or enabled[0].address or region.size < enabled[0].size:
            return region
        region = enabled[0]
    return None


def _render(ranges: list[FlatRange], region: RegionPart, base: int, low: int, high: int) -> None:
    """Fill what is still free of the addresses from low to high.

    Args:
        base: the address at which the region begins.
    """
    if not region.is_enabled:
        return
    low, high = max(low, base), min(high, base + region.size)
    if low >= high:
        return
    if region.alias is not None:
        _render(ranges, region.alias, base - region.alias_offset, low, high)
        return
    for each in sorted(region.regions, key=lambda each: -each.priority):
        _render(ranges, each, base + each.address, low, high)
    if region.is_container:
        return
    at = low
    for other in tuple(ranges):
        if other.end <= at:
            continue
        if other.first >= high:
            break
        if other.first > at:
            ranges.append(FlatRange(at, other.first - at, region, at - base))
        at = other.end
    if at < high:
        ranges.append(FlatRange(at, high - at, region, at - base))
    ranges.sort(key=lambda each: each.first)


def _merged(ranges: list[FlatRange]) -> list[FlatRange]:
    """Neighbours that are one piece of one region are one range."""
    merged: list[FlatRange] = []
    for each in ranges:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.end == each.first
            and last.region is each.region
            and last.offset + last.size == each.offset
        ):
            last.size += each.size
        else:
            merged.append(each)
    return merged
