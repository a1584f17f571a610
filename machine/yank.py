"""Connections that may hang, and how to break them: what QEMU calls yanking.

Source: `query-yank` and `yank` of 7.2, for sockets, NBD nodes and migrations.
"""

from __future__ import annotations

from blockdev.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from machine.machine import Machine


_SOCKETS = frozenset(("dbus", "socket"))  # kinds of character devices


def _nothing() -> None:
    """Nobody is ever connected there."""


class Instance:
    """What can be yanked.

    Attributes:
        value: what QMP calls it.
        yank: breaks its connection, if it has one.
    """

    __slots__ = ("value", "yank")

    def __init__(self, value: dict[str, str], yank: Callable[[], object]) -> None:
        self.value = value
        self.yank = yank


def instances(machine: Machine) -> Iterator[Instance]:
    """All there are."""
    from blockdev.nbd import NbdNode
    from machine.chardev.socket import SocketDevice

    for device in machine.chardevs:
        if device.backend in _SOCKETS:
            yank = device.yank if isinstance(device, SocketDevice) else _nothing
            yield Instance({"type": "chardev", "id": device.label}, yank)
    for node in machine.graph.nodes.values():
        if node.driver == "nbd":
            assert isinstance(node, NbdNode)
            yield Instance({"type": "block-node", "node-name": node.node_name}, node.yank)
    migration = machine.migration
    if migration.status.is_under_way:
        yield Instance({"type": "migration"}, migration.yank)
    elif machine.incoming.is_awaited:
        yield Instance({"type": "migration"}, machine.incoming.yank)


def yank(machine: Machine, wanted: Sequence[dict[str, str]]) -> None:
    """Break some connections.

    Raises:
        NotFound: one of them isn't there; then none is broken.
    """
    found = {tuple(sorted(each.value.items())): each for each in instances(machine)}
    keys = [tuple(sorted(each.items())) for each in wanted]
    if not all(key in found for key in keys):
        raise NotFound("Instance not found")
    for key in keys:
        found[key].yank()
