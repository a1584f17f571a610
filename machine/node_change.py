"""What is done to nodes of the graph by their names: to what is under them, and to their use."""

from __future__ import annotations

from blockdev.chain import backing_of, chain, refresh_names, set_backing
from blockdev.errors import DeviceNotFound, QemuError
from machine.block_lookup import device_name, find_node, find_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from blockdev.node import BlockNode
    from machine.machine import Machine


def find_named(machine: Machine, name: str) -> BlockNode:
    """The node of a name.

    Raises:
        QemuError: there is none.
    """
    node = machine.graph.find(name)
    if node is None:
        raise QemuError(f"Failed to find node with node-name='{name}'")
    return node


def change_backing_file(machine: Machine, device: str, node_name: str, backing: str) -> None:
    """Let an image of a disk's chain call its backing file otherwise.

    Raises:
        QemuError: there is no such disk or image, or it can't be changed.
    """
    active = find_root(machine, device)
    image = find_node(machine, "", node_name)
    if backing_of(image) is None:
        raise QemuError("not allowing backing file change on an image without a backing file")
    if image not in list(chain(active)):
        raise QemuError(f"'{device}' and image file are not in the same chain")
    was_read_only = image.read_only
    if was_read_only:
        image.reopen(read_only=False)
    try:
        image.change_backing(backing, image.driver)
    except QemuError as error:
        text = f"Could not change backing file to '{backing}': {error}"
        raise QemuError(text, error.errno_value) from error
    finally:
        if was_read_only:
            image.reopen(read_only=True)
    if image.backing is not None:
        image.has_own_backing = backing == image.backing.filename
    refresh_names(machine.graph)


def set_write_threshold(machine: Machine, name: str, end: int) -> None:
    """Tell once when a node is written past a byte; 0: not any more.

    Raises:
        QemuError: there is no such node.
    """
    from blockdev.write_threshold import set_threshold

    node = machine.graph.find(name)
    if node is None:
        raise QemuError(f"Device '{name}' not found")

    def tell(over: int) -> None:
        machine.events.emit(
            "BLOCK_WRITE_THRESHOLD", node_name=name, amount_exceeded=over, write_threshold=end
        )

    set_threshold(node, end, tell)


def set_latency_histogram(
    machine: Machine, id: str, boundaries: Mapping[str, Sequence[int]]
) -> None:
    """Count how long requests of a device take, in bins; without boundaries not any more.

    Args:
        id: of the device.
        boundaries: of "read", "write" and "flush", and under "" of those that have none.

    Raises:
        QemuError: there is no such device, or the boundaries don't grow.
    """
    from blockdev.latency import LatencyHistogram
    from machine.media import find_drive

    if machine.plugs.find(id) is None and not any(
        each.device == id for each in machine.drives.backends
    ):
        raise DeviceNotFound(id)
    stats = find_drive(machine, None, id).stats
    if not boundaries:
        stats.histograms.clear()
    for kind in ("read", "write", "flush"):
        wanted = boundaries.get(kind, boundaries.get(""))
        if wanted is None:
            continue
        try:
            stats.histograms[kind] = LatencyHistogram(wanted)
        except QemuError as error:
            raise QemuError(f"Device '{id}' set {kind} boundaries fail") from error


def set_iothread(machine: Machine, name: str, thread: str | None, *, force: bool) -> None:
    """Let an event loop of its own serve a node: a promise, as there is one loop here.

    Raises:
        QemuError: there is no such node or thread, or a drive has the node.
    """
    node = find_named(machine, name)
    users = (*machine.drives.backends, *machine.graph.export_roots)
    if not force and any(each.node is node for each in users):
        raise QemuError(
            f"Node {name} is associated with a BlockBackend and could be in use "
            "(use force=true to override this check)"
        )
    threads = machine.objects.of_type("iothread")
    if thread and not any(each.id == thread for each in threads):
        raise QemuError(f"Cannot find iothread {thread}")


def change_children(machine: Machine, parent: str, child: str | None, node: str | None) -> None:
    """Give a node another child, or take one away: no driver of ours lets that be done.

    Raises:
        QemuError: always.
    """
    found = find_node(machine, parent, parent)
    if child is not None and node is not None:
        raise QemuError("The parameters child and node are in conflict")
    if child is None and node is None:
        raise QemuError("Either child or node must be specified")
    shown = device_name(machine, found) or found.node_name
    if child is not None:
        if not any(role == child for role, _ in found.roles):
            raise QemuError(f"Node '{parent}' does not have child '{child}'")
        raise QemuError(f"The node {shown} does not support removing a child")
    if machine.graph.find(node or "") is None:
        raise QemuError(f"Node '{node}' not found")
    raise QemuError(f"The node {shown} does not support adding a child")


# --- reopen


def reopen(machine: Machine, all_options: Sequence[Mapping[str, Any]]) -> None:
    """Give nodes other options; what isn't said is as if the node was made anew.

    Raises:
        QemuError: one of them can't be; nothing is changed then.
    """
    plans = [_Reopening(machine, options) for options in all_options]
    for plan in plans:
        plan.check()
    for plan in plans:
        plan.run()


class _Reopening:
    """What a node is to be like."""

    def __init__(self, machine: Machine, options: Mapping[str, Any]) -> None:
        self._machine = machine
        self._options = options
        if "node-name" not in options:
            raise QemuError("node-name not specified")
        self.node = find_named(machine, options["node-name"])

    def check(self) -> None:
        """See that it can be so.

        Raises:
            QemuError: it can't.
        """
        node, options = self.node, self._options
        names_backing = node.backing is not None or node.backing_name
        if names_backing and "backing" not in options:
            raise QemuError(f"backing is missing for '{node.node_name}'")
        if options["driver"] != node.driver:
            raise QemuError("Cannot change the option 'driver'")
        if node.driver == "file" and options.get("filename") != node.filename:
            raise QemuError("Cannot change the option 'filename'")
        for name in ("file", "backing"):
            reference = options.get(name)
            if isinstance(reference, str):
                child = find_node(self._machine, "", reference)
                _check_cycle(node, child, name)
                if child is not getattr(node, name) and child.read_only and name == "file":
                    raise QemuError("Block node is read-only")
        if node.read_only and not self._is_read_only and node.file and node.file.read_only:
            raise QemuError("Block node is read-only")
        if self._is_read_only and not node.read_only and _is_written(self._machine, node):
            raise QemuError(
                f"Read-only block node '{node.node_name}' cannot support read-write users"
            )

    @property
    def _is_read_only(self) -> bool:
        return bool(self._options.get("read-only", False))

    def run(self) -> None:
        """Let it be so."""
        node, options, graph = self.node, self._options, self._machine.graph
        node.flush()
        file = options.get("file")
        if isinstance(file, str) and node.file is not None and file != node.file.node_name:
            new = find_node(self._machine, "", file)
            _check_cycle(node, new, "file")
            old, node.file = node.file, new
            new.parents += 1
            old.parents -= 1
            try:
                node.reload()
            except QemuError:
                node.file = old
                new.parents -= 1
                old.parents += 1
                raise
            graph.let_go(old)
        if "backing" in options:
            reference = options["backing"]
            backing = find_node(self._machine, "", reference) if reference else None
            if backing is not node.backing:
                if backing is not None:
                    _check_cycle(node, backing, "backing")
                set_backing(graph, node, backing)
        refresh_names(graph)
        node.reopen(read_only=self._is_read_only)
        node.detect_zeroes = options.get("detect-zeroes", "off")
        cache = options.get("cache", {})
        if node.file is not None and not node.file.monitor_owned:
            # It takes over what is said, but not what isn't.
            node.file.cache.direct = cache.get("direct", node.file.cache.direct)
            node.file.cache.no_flush = cache.get("no-flush", node.file.cache.no_flush)
        node.cache = type(node.cache)(
            direct=cache.get("direct", False), no_flush=cache.get("no-flush", False)
        )


def _check_cycle(node: BlockNode, child: BlockNode, role: str) -> None:
    """See that a node doesn't come to stand under itself.

    Raises:
        QemuError: it would.
    """
    below = [child]
    for each in below:
        if each is node:
            raise QemuError(
                f"Making '{child.node_name}' a {role} child of '{node.node_name}' "
                "would create a cycle"
            )
        below += [other for other in each.children if other not in below]


def _is_written(machine: Machine, node: BlockNode) -> bool:
    """Whether a user of a node may write to it."""
    if any(each.node is node and each.device is not None for each in machine.drives.backends):
        return not node.read_only
    for parent in machine.graph.parents_of(node):
        if parent.backing is node:
            continue
        hands_on = parent.driver == "raw" or parent.is_filter
        if _is_written(machine, parent) if hands_on else not parent.read_only:
            return True
    return False
