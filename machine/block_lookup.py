"""Disks by the names that commands give them, and whether something may be done to one."""

from __future__ import annotations

from blockdev.chain import chain, find_in_chain
from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from machine.machine import Machine


def find_node(machine: Machine, device: str, node_name: str) -> BlockNode:
    """The medium of a drive, or a node.

    Args:
        device: a drive's id; "" for none.
        node_name: looked for if there is no such drive; "" for none.

    Raises:
        QemuError: there is neither, or the drive is empty.
    """
    backend = machine.drives.backend(device) if device else None
    if backend is not None:
        if backend.node is None:
            raise QemuError(f"Device '{device}' has no medium")
        return backend.node
    node = machine.graph.find(node_name) if node_name else None
    if node is None:
        raise QemuError(f"Cannot find device='{device}' nor node-name='{node_name}'")
    return node


def find_root(machine: Machine, name: str) -> BlockNode:
    """The medium of a drive, or a node that nothing but drives uses.

    Raises:
        QemuError: there is none, or something stands on it.
    """
    node = find_node(machine, name, name)
    if machine.graph.parents_of(node) or node.op_blockers:
        raise QemuError("Need a root block node")
    if not node.is_inserted:
        raise QemuError("Device has no medium")
    return node


def device_name(machine: Machine, node: BlockNode) -> str:
    """The id of the drive that a node is the medium of; "" for none."""
    return next((each.name for each in machine.drives.backends if each.node is node), "")


def check_op(machine: Machine, node: BlockNode, operation: str) -> None:
    """See that nobody keeps others off a node.

    Raises:
        QemuError: somebody does.
    """
    node.check_op(operation, device_name(machine, node))


def find_image(
    machine: Machine,
    active: BlockNode,
    node_name: str | None,
    filename: str | None,
    role: str,
) -> BlockNode | None:
    """An image of a disk's chain, by the name of its node or its file; None for neither.

    Args:
        role: what it is for: "top" or "base".

    Raises:
        QemuError: both names are given, or there is no such image.
    """
    if node_name is not None and filename is not None:
        raise QemuError(f"'{role}-node' and '{role}' are mutually exclusive")
    if node_name is not None:
        image = find_node(machine, "", node_name)
        if image not in list(chain(active)):
            raise QemuError(f"'{node_name}' is not in this backing file chain")
        return image
    if filename is None:
        return None
    if filename == active.filename:
        return active
    found = find_in_chain(active, filename)
    if found is None and role == "top":
        raise QemuError(f"Top image file {filename} not found")
    if found is None:
        raise QemuError(f"Can't find '{filename}' in the backing chain")
    return found
