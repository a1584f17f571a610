"""How an access finds its region: the sections of a flat view, and the nodes that lead to them.

QEMU keeps them in a tree of six levels, whose nodes have 512 entries each; where a page has more
than one section, the page gets one of its own that parts it again. A node that leads to one place
only is passed over.
"""

from __future__ import annotations

from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine.flatview import FlatView

LEVELS, BITS = 6, 9
_ENTRIES = 1 << BITS
_NIL = -1
_UNASSIGNED = 0
# What QEMU says of a section by its number; it means the first four of the memory's.
_TITLES = {0: " [unassigned]", 1: " [not dirty]", 2: " [ROM]", 3: " [watch]"}


class Section:
    """Addresses that one region answers, or a page that several do.

    Attributes:
        label: the region's; "" for a page of its own.
        is_root: the region is the view's root.
    """

    __slots__ = ("first", "is_root", "label", "size")

    def __init__(self, first: int, size: int, label: str, *, is_root: bool = False) -> None:
        self.first = first
        self.size = size
        self.label = label
        self.is_root = is_root


class Entry:
    """Where to go on: a node, or at the end a section.

    Attributes:
        skip: how many levels further down; 0 for a section.
        target: the number of the node or section; -1 for none.
    """

    __slots__ = ("skip", "target")

    def __init__(self, skip: int, target: int) -> None:
        self.skip = skip
        self.target = target

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Entry), "only entries are compared"
        return (self.skip, self.target) == (other.skip, other.target)

    __hash__ = None  # type: ignore[assignment]  # they change


class Dispatch:
    """The tree of a view."""

    def __init__(self, view: FlatView) -> None:
        self.sections = [Section(0, 1 << 64, "")]
        self.nodes: list[list[Entry]] = []
        self.root = Entry(1, _NIL)
        self._shared_pages: set[int] = set()
        for each in view.ranges:
            is_root = each.region is view.root
            self._add(each.first, each.end, each.region.label, is_root=is_root)
        self._compact(self.root)

    def _add(self, at: int, end: int, label: str, *, is_root: bool) -> None:
        """Add a range: what isn't a whole page of it, then the pages, then what is left."""
        while at < end:
            page_end = (at // PAGE_SIZE + 1) * PAGE_SIZE
            is_whole = at % PAGE_SIZE == 0 and page_end <= end
            stop = end // PAGE_SIZE * PAGE_SIZE if is_whole else min(page_end, end)
            if not is_whole:
                self._share(at // PAGE_SIZE)
            self.sections.append(Section(at, stop - at, label, is_root=is_root))
            if is_whole:
                count = (stop - at) // PAGE_SIZE
                self._set(self.root, LEVELS - 1, [at // PAGE_SIZE, count], len(self.sections) - 1)
            at = stop

    def _share(self, page: int) -> None:
        """Give a page that several sections lie in a section of its own."""
        if page not in self._shared_pages:
            self._shared_pages.add(page)
            self.sections.append(Section(page * PAGE_SIZE, PAGE_SIZE, ""))
            self._set(self.root, LEVELS - 1, [page, 1], len(self.sections) - 1)

    def _set(self, entry: Entry, level: int, pages: list[int], section: int) -> None:
        """Let pages lead to a section.

        Args:
            pages: the first and how many; those that are done are taken off.
        """
        if entry.skip and entry.target == _NIL:
            entry.target = len(self.nodes)
            blank = (0, _UNASSIGNED) if level == 0 else (1, _NIL)
            self.nodes.append([Entry(*blank) for _ in range(_ENTRIES)])
        step = 1 << (level * BITS)
        node = self.nodes[entry.target]
        for below in node[pages[0] // step % _ENTRIES :]:
            if not pages[1]:
                return
            if pages[0] % step == 0 and pages[1] >= step:
                below.skip, below.target = 0, section
                pages[0] += step
                pages[1] -= step
            else:
                self._set(below, level - 1, pages, section)

    def _compact(self, entry: Entry) -> None:
        """Pass over nodes with a single way on."""
        if entry.target == _NIL:
            return
        ways = [each for each in self.nodes[entry.target] if each.target != _NIL]
        for each in ways:
            if each.skip:
                self._compact(each)
        if len(ways) == 1:
            entry.target = ways[0].target
            entry.skip = entry.skip + ways[0].skip if ways[0].skip else 0

    def describe(self) -> Iterator[str]:
        """The lines."""
        yield "  Dispatch"
        yield "    Physical sections"
        for number, each in enumerate(self.sections):
            last = each.first + each.size - 1
            line = f"      #{number} @{each.first:016x}..{last:016x} {each.label or '(noname)'}"
            line += _TITLES.get(number, "")
            yield line + (" [ROOT]" if each.is_root else "")
        yield f"    Nodes ({BITS} bits per level, {LEVELS} levels) {_way(self.root)}"
        for number, node in enumerate(self.nodes):
            yield f"      [{number}]"
            start = 0
            for index in range(1, _ENTRIES + 1):
                if index == _ENTRIES or node[index] != node[start]:
                    yield _entries(node[start], start, index - 1)
                    start = index


def _entries(entry: Entry, first: int, last: int) -> str:
    numbers = f"{first:3}..{last:<3}" if last > first else f"{first:3}     "
    return f"\t{numbers}  skip={entry.skip}  {_target(entry)}"


def _way(entry: Entry) -> str:
    return f"{_target(entry)} skip={entry.skip}"


def _target(entry: Entry) -> str:
    if entry.target == _NIL:
        return "ptr=NIL"
    return f"ptr=[{entry.target}]" if entry.skip else f"ptr=#{entry.target}"
