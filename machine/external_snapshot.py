"""Snapshots outside an image: a disk goes on in a new file over the old one."""

from __future__ import annotations

from blockdev.chain import refresh_names, replace
from blockdev.errors import QemuError
from blockdev.filter import skip_implicit
from machine.block_lookup import check_op, find_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from machine.machine import Machine


def snapshot_to_file(
    machine: Machine,
    device: str,
    filename: str,
    *,
    node_name: str = "",
    driver: str = "qcow2",
    is_existing: bool = False,
    overlay_name: str | None = None,
) -> BlockNode:
    """Let a disk go on in a file whose backing file is the disk as it is; the new file's node.

    Args:
        device, node_name: which disk.
        driver: the new file's format.
        is_existing: the file is there already.
        overlay_name: its node name.

    Raises:
        QemuError: no such disk, or the file can't be had; the disk goes on as before.
    """
    old = find_node(machine, device, node_name)
    if not old.is_inserted:
        raise QemuError(f"Device '{device}' has no medium")
    check_op(machine, old, "external-snapshot")
    _check_not_backing(machine, old)
    machine.settle()
    if not old.read_only:
        old.flush()
    shown = skip_implicit(old)
    if not is_existing:
        from blockdev.image_create import create_image

        create_image(
            filename,
            driver,
            shown.size,
            machine.tell,
            backing=shown.filename,
            backing_format=shown.driver,
        )
    overlay = machine.graph.open_image(
        filename,
        driver=driver,
        read_only=old.read_only,
        cache=shown.cache,
        node_name=overlay_name,
        open_backing=lambda: None,
    )
    try:
        append(machine, overlay, old)
    except QemuError:
        machine.graph.remove_unused(overlay)
        raise
    return overlay


def append(machine: Machine, overlay: BlockNode, old: BlockNode) -> None:
    """Put an overlay between a node and all that use it; the node is only read from then on.

    Raises:
        QemuError: the overlay can't have a backing file, or is in use.
    """
    _check_not_backing(machine, old)
    if overlay.driver not in ("qcow2", "qed", "qcow", "vmdk"):
        raise QemuError("The overlay does not support backing images")
    if overlay.parents:
        raise QemuError("The overlay is already in use")
    if overlay.backing is not None:
        raise QemuError("The overlay already has a backing image")
    graph = machine.graph
    # The overlay itself keeps to the old node, all others leave it.
    overlay.backing = old
    old.parents += 1
    replace(graph, old, overlay)
    old.reopen(read_only=True)
    refresh_names(graph)


def _check_not_backing(machine: Machine, node: BlockNode) -> None:
    """See that no other image stands on a node.

    Raises:
        QemuError: one does.
    """
    for overlay in machine.graph.parents_of(node):
        if overlay.backing is node:
            raise QemuError(
                f"Node '{node.node_name}' is busy: node is used as backing hd of "
                f"'{overlay.node_name}'"
            )


def take_off(machine: Machine, overlay: BlockNode) -> None:
    """Undo `append`: all go on in what stands under the overlay, which goes if nobody has it.

    Raises:
        QemuError: what stands under it can't be written any more.
    """
    old = overlay.backing
    assert old is not None, "it was put there"
    graph = machine.graph
    if not overlay.read_only:
        old.reopen(read_only=False)
    replace(graph, overlay, old)
    overlay.backing = None
    old.parents -= 1
    graph.remove_unused(overlay)
    refresh_names(graph)
