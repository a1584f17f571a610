"""Who may write to a node besides its users: QEMU's permissions, as far as refusals show them.

Each user of a node says what it won't have others do to it meanwhile.  A format keeps writers
off its file, and a guest's disk off its medium; what stands between only hands on what is
above it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blockdev.backend import Backend
    from blockdev.graph import Graph
    from blockdev.node import BlockNode

WRITE, RESIZE = "write", "resize"


def conflict(
    graph: Graph, backends: Iterable[Backend], node: BlockNode, wanted: Iterable[str]
) -> str | None:
    """Why somebody new may not have the `wanted` permissions on a node; None if it may."""
    for user, denied in _users(graph, backends, node):
        refused = [permission for permission in wanted if permission in denied]
        if refused:
            return (
                f"Permission conflict on node '{node.node_name}': permissions "
                f"'{', '.join(refused)}' are both required by an unnamed block device "
                f"(uses node '{node.node_name}' as 'root' child) and unshared by {user} child)."
            )
    return None


def job_conflict(backend: Backend) -> str | None:
    """Why a drive may not get another size while a job has its medium; None if none has."""
    node = backend.node
    if node is None or not node.op_blockers:
        return None
    use = f"(uses node '{node.node_name}' as"
    kind = node.op_blockers[-1].reason.rpartition(": ")[2]
    user = f"{kind} job '{backend.name}' {use} 'main node'"
    if kind == "stream":
        user = f"an unnamed block device {use} 'root'"
    return (
        f"Permission conflict on node '{node.node_name}': permissions '{RESIZE}' are both required "
        f"by block device '{backend.shown_name}' {use} 'root' child) and unshared by {user} child)."
    )


def format_conflict(graph: Graph, file: BlockNode, newcomer: str, *, read_only: bool) -> str | None:
    """Why a format may not be put over a node that another format uses; None if it may.

    Args:
        newcomer: the name of the node to be.
        read_only: it isn't going to write.
    """
    for other in graph.parents_of(file):
        if other.driver == "raw" or (other.read_only and read_only):
            continue
        name = other.node_name
        required, denied = (newcomer, name) if other.read_only else (name, newcomer)
        use = f"(uses node '{file.node_name}' as 'file' child)"
        return (
            f"Permission conflict on node '{file.node_name}': permissions '{WRITE}, {RESIZE}' are "
            f"both required by node '{required}' {use} and unshared by node '{denied}' {use}."
        )
    return None


def _users(
    graph: Graph, backends: Iterable[Backend], node: BlockNode
) -> Iterator[tuple[str, set[str]]]:
    """Every user of a node in words, and what it denies to others."""
    for parent in graph.parents_of(node):
        role = "file" if parent.file is node else "backing"
        if parent.driver != "raw" and role == "file":
            denied = {WRITE, RESIZE}
        else:
            denied = set().union(*(above for _, above in _users(graph, backends, parent)))
        yield f"node '{parent.node_name}' (uses node '{node.node_name}' as '{role}'", denied
    for backend in backends:
        if backend.node is node and backend.device is not None:
            # The size of a medium that can be taken out doesn't change under the guest.
            denied = {WRITE, RESIZE} if backend.is_removable else {WRITE}
            name = f"block device '{backend.shown_name}'"
            yield f"{name} (uses node '{node.node_name}' as 'root'", denied
