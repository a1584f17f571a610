"""Nodes of their options: what ``-blockdev``, `blockdev-add` and `drive_add -n` mean."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.node import BlockNode, CacheMode
from blockdev.null import size_of
from blockdev.permissions import format_conflict
from machine.drive_options import (
    NO_NODE,
    QCOW2_SETTINGS,
    check_aio,
    check_node,
    flag,
)
from machine.schema import read_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from blockdev.graph import Graph
    from blockdev.throttle import Throttle

_OF_ALL = frozenset(
    "driver node-name read-only auto-read-only discard detect-zeroes cache.direct cache.no-flush "
    "force-share".split()
)
# What each driver knows besides, and which nodes stand under it.
_OPTIONS: dict[str, frozenset[str]] = {
    "file": frozenset({"filename", "locking", "aio", "pr-manager"}),
    "raw": frozenset({"offset", "size"}),
    "qcow2": QCOW2_SETTINGS,
    "null-co": frozenset({"size", "latency-ns", "read-zeroes"}),
    "null-aio": frozenset({"size", "latency-ns", "read-zeroes"}),
    "throttle": frozenset({"throttle-group"}),
    "copy-on-read": frozenset({"bottom"}),
    "blkdebug": frozenset({"config", "align", "max-transfer", "opt-write-zero", "max-write-zero"}),
    "nbd": frozenset(
        "export open-timeout reconnect-delay tls-creds tls-hostname x-dirty-bitmap".split()
    ),
}
_CHILDREN: dict[str, tuple[str, ...]] = {
    "file": (),
    "null-co": (),
    "null-aio": (),
    "qcow2": ("file", "backing"),
    "blkdebug": ("image",),
    "nbd": (),
}
_FORMATS = ("raw", "qcow2")
_RULES = ("inject-error.", "set-state.")


class NodeTree:
    """Makes nodes with all that stands under them.

    Args:
        check_name: refuses a node name that can't be.
        find_group: the throttle group of a name.
        find_medium: the medium of a drive's id, None for no such drive; raises QemuError for an
            empty one.
    """

    def __init__(
        self,
        graph: Graph,
        check_name: Callable[[str], object],
        find_group: Callable[[str], Throttle | None],
        find_medium: Callable[[str], BlockNode | None],
    ) -> None:
        self._graph = graph
        self._check_name = check_name
        self._find_group = find_group
        self._find_medium = find_medium

    def add(self, options: dict[str, str]) -> BlockNode:
        """Make a node that is there for its own sake.

        Args:
            options: flat (``file.filename``), all values as text.

        Raises:
            QemuError: in QEMU's words.
        """
        if "driver" not in options:
            raise QemuError("Parameter 'driver' is missing")
        if options["driver"] not in _OPTIONS:
            raise QemuError(f"Parameter 'driver' does not accept value '{options['driver']}'")
        node = self._node(options)
        node.monitor_owned = True
        return node

    def add_loosely(self, options: dict[str, str]) -> BlockNode:
        """As `add`, but drivers go without saying, and words that none knows are seen last."""
        options = dict(options)
        for name in list(options):
            if name.endswith(".filename"):
                options.setdefault(name.removesuffix("filename") + "driver", "file")
        for name, value in options.items():
            if (name == "driver" or name.endswith(".driver")) and value not in _OPTIONS:
                raise QemuError(f"Unknown driver '{value}'")
        driver = options.get("driver")
        has_file = any(name.partition(".")[0] == "file" for name in options)
        if driver == "file" and "filename" not in options:
            raise QemuError("The 'file' block driver requires a file name")
        if driver is None and not has_file:
            raise QemuError("Must specify either driver or file")
        if driver in _FORMATS and not has_file:
            raise QemuError('A block device must be specified for "file"')
        for name in ("size", "file.size"):
            if name in options:
                options[name] = str(size_of(name, options[name]))
        options["driver"] = driver = driver or self._probe(options)
        unknown = _unknown(driver, options)
        node = self._node({name: options[name] for name in options if name not in unknown})
        if unknown:
            self._graph.remove_unused(node)
            says = f"Block format '{driver}' does not" if driver in _FORMATS else ""
            says = says or f"Block protocol '{driver}' doesn't"
            raise QemuError(f"{says} support the option '{unknown[0]}'")
        node.monitor_owned = True
        return node

    def _probe(self, options: dict[str, str]) -> str:
        """The format of the file that the options describe."""
        read_only = flag(options, "read-only", False)
        file = self.child("file", options, read_only=read_only, cache=CacheMode())
        assert file is not None, "there are options for it"
        try:
            return self._graph.probe(file, read_only=read_only)
        finally:
            self._graph.remove_unused(file)

    def child(
        self, role: str, options: dict[str, str], *, read_only: bool, cache: CacheMode
    ) -> BlockNode | None:
        """The node for a role that the options of a drive describe; None if they don't."""
        found = dict(options)
        for name in options:
            if name.startswith(role + ".") and name.endswith(".filename"):
                found.setdefault(name.removesuffix("filename") + "driver", "file")
        if options.get(role + ".driver") == "nbd":
            from blockdev.nbd_name import modernize

            modernize(found, role + ".")
            found.setdefault(role + ".auto-read-only", "on")
        return self._child(role, found, "", read_only=read_only, cache=cache)

    def _node(self, options: dict[str, str], *, prefix: str = "") -> BlockNode:
        """A node of its options; those of a child stand behind `prefix` in the user's words."""
        driver = options["driver"]
        for name in _unknown(driver, options):
            raise QemuError(f"Parameter '{prefix}{name}' is unexpected")
        check_node(options, prefix)
        if driver == "file" and "filename" not in options:
            raise QemuError(f"Parameter '{prefix}filename' is missing")
        node_name = options.get("node-name")
        if not prefix and node_name is None:
            raise QemuError("'node-name' must be specified for the root node")
        if node_name is not None and _CHILDREN.get(driver) == ():
            self._check_name(node_name)
        read_only = flag(options, "read-only", False)
        cache = CacheMode(
            direct=flag(options, "cache.direct", False),
            no_flush=flag(options, "cache.no-flush", False),
        )
        node = self._open(driver, options, prefix, node_name, read_only=read_only, cache=cache)
        node.detect_zeroes = options.get("detect-zeroes", "off")
        return node

    def _open(
        self,
        driver: str,
        options: dict[str, str],
        prefix: str,
        node_name: str | None,
        *,
        read_only: bool,
        cache: CacheMode,
    ) -> BlockNode:
        graph = self._graph
        if driver == "file":
            check_aio(options, direct=cache.direct)
            return graph.open_file(
                options["filename"],
                read_only=read_only,
                cache=cache,
                node_name=node_name,
                locking=options.get("locking", "auto") != "off",
            )
        if driver in ("null-co", "null-aio"):
            from blockdev.null import open_null

            return open_null(graph, driver, node_name, options, prefix, read_only=read_only)
        if driver == "nbd":
            from blockdev.nbd import open_nbd

            may_be_read_only = flag(options, "auto-read-only", False)
            return open_nbd(
                graph,
                node_name,
                options,
                prefix,
                read_only=read_only,
                cache=cache,
                may_be_read_only=may_be_read_only,
            )
        if driver == "throttle" and "throttle-group" not in options:
            raise QemuError(f"Parameter '{prefix}throttle-group' is missing")
        role = _CHILDREN.get(driver, ("file",))[0]
        child = self._child(role, options, prefix, read_only=read_only, cache=cache)
        if child is None:
            raise QemuError(f"Parameter '{prefix}{role}' is missing")
        try:
            if node_name is not None:
                self._check_name(node_name)
            return self._over(driver, child, options, prefix, node_name, read_only, cache)
        except QemuError:
            graph.remove_unused(child)
            raise

    def _over(
        self,
        driver: str,
        child: BlockNode,
        options: dict[str, str],
        prefix: str,
        node_name: str | None,
        read_only: bool,
        cache: CacheMode,
    ) -> BlockNode:
        """A node over one that is open."""
        graph = self._graph
        if driver in ("throttle", "copy-on-read", "blkdebug"):
            from blockdev.explicit_filter import open_filter

            name = options.get("throttle-group", "")
            group = self._find_group(name) if driver == "throttle" else None
            if driver == "throttle" and group is None:
                raise QemuError(f"Throttle group '{name}' does not exist")
            return open_filter(graph, driver, child, node_name, options, group=group)
        if driver != "raw":
            self._check_format(child, node_name, read_only=read_only)

        def open_backing() -> BlockNode | None:
            return self._child("backing", options, prefix, read_only=True, cache=cache)

        has_backing = driver == "qcow2" and any(o.startswith("backing") for o in options)
        return graph.open_format(
            driver,
            child,
            read_only=read_only,
            cache=cache,
            node_name=node_name,
            open_backing=open_backing if has_backing else None,
            options=_slice_options(options, prefix) if driver == "raw" else None,
        )

    def _child(
        self,
        role: str,
        options: dict[str, str],
        outer: str,
        *,
        read_only: bool,
        cache: CacheMode,
    ) -> BlockNode | None:
        if options.get(role) == NO_NODE:
            return None
        if role in options:
            reference = options[role]
            child = self._find_medium(reference) or self._graph.find(reference)
            if child is None:
                raise QemuError(f"Cannot find device='{reference}' nor node-name='{reference}'")
            return child
        prefix = role + "."
        inner = {k[len(prefix) :]: v for k, v in options.items() if k.startswith(prefix)}
        if not inner:
            return None
        if "driver" not in inner:
            raise QemuError(f"Parameter '{outer}{prefix}driver' is missing")
        if inner["driver"] not in _OPTIONS:
            name = f"{outer}{prefix}driver"
            raise QemuError(f"Parameter '{name}' does not accept value '{inner['driver']}'")
        inner.setdefault("read-only", "on" if read_only else "off")
        inner.setdefault("cache.direct", "on" if cache.direct else "off")
        inner.setdefault("cache.no-flush", "on" if cache.no_flush else "off")
        return self._node(inner, prefix=outer + prefix)

    def _check_format(self, file: BlockNode, node_name: str | None, *, read_only: bool) -> None:
        refusal = format_conflict(self._graph, file, node_name or "", read_only=read_only)
        if refusal is not None:
            raise QemuError(refusal)
        if file.read_only and not read_only:
            raise QemuError("Block node is read-only")


def _slice_options(options: dict[str, str], prefix: str) -> dict[str, object]:
    """Which part of a file a raw node is.

    Raises:
        QemuError: a number isn't one.
    """
    found: dict[str, object] = {}
    for name in ("offset", "size"):
        if name in options:
            number = read_integer(options[name])
            if number is None:
                raise QemuError(f"Parameter '{prefix}{name}' expects integer")
            found[name] = number
    return found


def _unknown(driver: str, options: dict[str, str]) -> list[str]:
    """Those of a node's options that its driver doesn't know."""
    roles = _CHILDREN.get(driver, ("file",)) + (("server",) if driver == "nbd" else ())
    rules = _RULES if driver == "blkdebug" else ()
    return [
        name
        for name in options
        if name not in _OF_ALL
        and name not in _OPTIONS[driver]
        and name.partition(".")[0] not in roles
        and not name.startswith(rules)
    ]
