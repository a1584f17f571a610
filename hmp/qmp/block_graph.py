"""The block graph as `x-debug-query-block-graph` has it: who uses whom, and what each asks for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from machine.machine import Machine

_READ, _WRITE, _UNCHANGED, _RESIZE = "consistent-read", "write", "write-unchanged", "resize"
_ALL = (_READ, _WRITE, _UNCHANGED, _RESIZE)
_FORMATS_ALONE = (_READ, _UNCHANGED)  # what a format lets others do to its file

# What a user of a node does to it, and what it lets others do.
_Use = tuple[set[str], set[str]]


def graph_value(machine: Machine) -> dict[str, Any]:
    """All nodes and edges, the newest first."""
    return _Listing(machine).value()


class _Listing:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._exports = machine.exports.exports if machine.has_exports else []
        self._numbers: dict[int, int] = {}
        self._nodes: list[dict[str, Any]] = []
        self._edges: list[dict[str, Any]] = []

    def value(self) -> dict[str, Any]:
        machine = self._machine
        for backend in (*machine.drives.backends, *machine.graph.export_roots):
            self._add(backend, "block-backend", backend.name)
            if backend.node is not None:
                self._connect(backend, backend.node, "root", self._root_use(backend))
        for node in machine.graph.nodes.values():
            self._add(node, "block-driver", node.node_name)
            for role, child in node.roles[::-1]:
                self._connect(node, child, role, self._use(node, role))
        return {"edges": self._edges[::-1], "nodes": self._nodes[::-1]}

    def _number(self, what: object) -> int:
        return self._numbers.setdefault(id(what), len(self._numbers) + 1)

    def _add(self, what: object, type: str, name: str) -> None:
        self._nodes.append({"id": self._number(what), "type": type, "name": name})

    def _connect(self, parent: object, child: BlockNode, name: str, use: _Use) -> None:
        does, lets = ([each for each in _ALL[::-1] if each in words] for words in use)
        self._edges.append(
            {
                "parent": self._number(parent),
                "child": self._number(child),
                "name": name,
                "perm": does,
                "shared-perm": lets,
            }
        )

    def _root_use(self, backend: Backend) -> _Use:
        export = next((each for each in self._exports if each.root is backend), None)
        if export is not None:
            return {_READ, _WRITE} if export.is_writable else {_READ}, {_READ, _WRITE, _UNCHANGED}
        if backend.device is None:
            return {_READ}, set(_ALL)
        does = {_READ} if backend.node is None or backend.node.read_only else {_READ, _WRITE}
        return does, {_READ, _UNCHANGED} | (set() if backend.is_removable else {_RESIZE})

    def _use(self, node: BlockNode, role: str) -> _Use:
        """What a node does to a child."""
        if role == "backing":
            above, above_lets = self._together(node)
            # What the users bear to see change, may change under them too.
            more = {_WRITE, _RESIZE} if _WRITE in above_lets else set[str]()
            return above & {_READ}, {_READ, _UNCHANGED} | more
        if node.driver != "raw" and not node.is_filter:
            does = {_READ} if node.read_only else {_READ, _WRITE, _RESIZE}
            return does, set(_FORMATS_ALONE)
        return self._together(node)

    def _together(self, node: BlockNode) -> _Use:
        """What all users of a node do to it, and what all of them let others do."""
        does, lets = set[str](), set(_ALL)
        for above, above_lets in self._uses_of(node):
            does |= above
            lets &= above_lets
        return does, lets

    def _uses_of(self, node: BlockNode) -> list[_Use]:
        """What all users of a node do to it."""
        machine = self._machine
        roots = (*machine.drives.backends, *machine.graph.export_roots)
        found = [self._root_use(each) for each in roots if each.node is node]
        for parent in machine.graph.parents_of(node):
            found += [self._use(parent, role) for role, child in parent.roles if child is node]
        return found
