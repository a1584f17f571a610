"""What is done to a disk at once: it is resized, committed, or goes away."""

from __future__ import annotations

from blockdev.chain import backing_of
from blockdev.errors import DeviceNotFound, QemuError
from blockdev.filter import skip_filters, skip_implicit
from blockdev.permissions import RESIZE, conflict
from machine.block_lookup import check_op, find_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from machine.machine import Machine


def resize(machine: Machine, device: str, size: int, *, node_name: str = "") -> None:
    """Give a disk another size.

    Raises:
        QemuError: no such disk, it is busy, or can't have this size.
    """
    node = find_node(machine, device, node_name)
    if size < 0:
        raise QemuError("Parameter 'size' expects a >0 size")
    if node.op_blockers:
        raise QemuError(f"Device '{device}' is in use")
    refusal = conflict(machine.graph, machine.drives.backends, node, [RESIZE])
    if refusal is not None:
        raise QemuError(refusal)
    if node.read_only:
        raise QemuError("Image is read-only")
    node.truncate(size)


def set_throttle(backend: Backend, name: str, limits: dict[str, int]) -> None:
    """Limit what may go through a drive; all limits zero: not at all.

    Args:
        name: what the drive was called; so is a group that is made for it.
        limits: see `blockdev.throttle.Throttle`.

    Raises:
        QemuError: the drive is empty, or the limits can't be.
    """
    from blockdev.throttle import Throttle, check_limits

    if backend.node is None:
        raise QemuError("Device has no medium")
    check_limits(limits)
    if not any(limits.values()):
        backend.throttle = None
    elif backend.throttle is not None:
        backend.throttle.set_limits(limits)
    else:
        backend.throttle = Throttle(name, limits)


def commit(machine: Machine, device: str) -> Iterator[object]:
    """Put what a disk's image has into its backing file; ``all``: of each disk that has one.

    Yields how far it is.

    Raises:
        QemuError: QEMU prints it as it is.
    """
    from blockdev.commit import commit_now

    tops: list[BlockNode] = []
    if device == "all":
        media = [backend.node for backend in machine.drives.backends]
        for node in media:
            if node is not None and node.is_inserted and backing_of(node) is not None:
                tops.append(skip_filters(node))
    else:
        backend = machine.drives.backend(device)
        if backend is None:
            raise DeviceNotFound(device)
        medium = backend.node
        if medium is None or not medium.is_inserted or backend.tray_open:
            raise QemuError(f"Device '{device}' has no medium")
        tops.append(skip_implicit(medium))
    for top in tops:
        try:
            yield from commit_now(top, machine.report)
        except QemuError as error:
            raise QemuError(f"'commit' error for '{device}': {error}", error.errno_value) from error


def delete_drive(machine: Machine, name: str) -> None:
    """Take a drive away, or a node that the user made; a guest device keeps its empty place.

    Raises:
        QemuError: there is none, or it is in use; QEMU prints it as it is.
    """
    node = machine.graph.find(name)
    if node is not None:
        delete_node(machine, node)
        return
    drives = machine.drives
    backend = drives.backend(name)
    if backend is None:
        raise DeviceNotFound(name)
    if backend.node is not None:
        check_op(machine, backend.node, "drive-del")
    if machine.has_exports:
        machine.exports.forget_drive(backend)
    medium = backend.remove()
    if medium is not None:
        machine.graph.remove_unused(medium)
    if backend.device is None:
        drives.backends.remove(backend)
        drives.drives = [each for each in drives.drives if each.backend is not backend]
    backend.name = ""


def delete_node(machine: Machine, node: BlockNode) -> None:
    """Take away a node that the user made.

    Raises:
        QemuError: nobody made it, or something uses it.
    """
    name = node.node_name
    users = (*machine.drives.backends, *machine.graph.export_roots)
    if any(user.node is node for user in users):
        raise QemuError(f"Node {name} is in use")
    parents = machine.graph.parents_of(node)
    overlay = next((each for each in parents if each.backing is node), None)
    if overlay is not None:
        raise QemuError(
            f"Node '{name}' is busy: node is used as backing hd of '{overlay.node_name}'"
        )
    node.check_op("drive-del")
    if not node.monitor_owned:
        raise QemuError(f"Node {name} is not owned by the monitor")
    if node.parents:
        raise QemuError(f"Block device {name} is in use")
    node.monitor_owned = False
    machine.graph.remove_unused(node)
