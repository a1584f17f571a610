"""Images whose name is a whole tree: ``json:{...}``, as QEMU calls what a file's name doesn't tell.

Overlays that QEMU makes have such a name in their header where the disk stood on another image
than its own header named.
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from blockdev.graph import Graph
    from blockdev.node import BlockNode, CacheMode

PREFIX = "json:"
_MOST_BYTES = 1 << 20
_MOST_LEVELS = 100
_PROTOCOLS = ("file", "null-co", "null-aio")


def open_tree(
    graph: Graph,
    name: str,
    *,
    driver: str | None,
    read_only: bool,
    cache: CacheMode,
    node_name: str | None,
    locking: bool,
    depth: int,
) -> BlockNode:
    """Open what such a name describes.

    Args:
        driver: the format that somebody else says it has; None for nobody.

    Raises:
        QemuError: it describes nothing that can be opened.
    """
    import json

    text = name.removeprefix(PREFIX)
    try:
        if len(text) > _MOST_BYTES:
            raise ValueError("too long")
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        text = "Could not parse the JSON options: JSON parse error, expecting value"
        raise QemuError(text, errno.EINVAL) from error
    if not isinstance(options, dict):
        raise QemuError("Invalid JSON object given", errno.EINVAL)
    tree = _Tree(graph, read_only=read_only, cache=cache, locking=locking)
    options = _nested(options)
    if driver is not None:
        options.setdefault("driver", driver)
    return tree.open(options, node_name, depth)


def _foreign_formats() -> frozenset[str]:
    from blockdev.foreign import FORMATS

    return FORMATS


def _nested(options: dict[str, Any], level: int = 0) -> dict[str, Any]:
    """The options with ``file.driver`` inside ``file``."""
    if level > _MOST_LEVELS:
        raise QemuError("The JSON options are nested too deeply", errno.EINVAL)
    found: dict[str, Any] = {}
    for key, value in options.items():
        role, dot, rest = key.partition(".")
        if dot and role in ("file", "backing"):
            inner = found.setdefault(role, {})
            if isinstance(inner, dict):
                inner[rest] = value
        else:
            found[key] = value
    return {
        key: _nested(value, level + 1) if isinstance(value, dict) else value
        for key, value in found.items()
    }


class _Tree:
    """Opens nodes with what they have in common."""

    def __init__(self, graph: Graph, *, read_only: bool, cache: CacheMode, locking: bool) -> None:
        self._graph = graph
        self._read_only = read_only
        self._cache = cache
        self._locking = locking

    def open(self, options: dict[str, Any], node_name: str | None, depth: int) -> BlockNode:
        graph, driver = self._graph, options.get("driver")
        if driver is None and "file" not in options:
            raise QemuError("Must specify either driver or file", errno.EINVAL)
        if driver not in (None, "raw", "qcow2", *_PROTOCOLS) and driver not in _foreign_formats():
            raise QemuError(f"Unknown driver '{driver}'", errno.ENOENT)
        if driver in _PROTOCOLS:
            return self._protocol(str(driver), options, node_name)
        file = self._child(options.get("file"))
        try:
            if driver is None:
                driver = graph.probe(file, read_only=self._read_only)
            return graph.open_format(
                str(driver),
                file,
                read_only=self._read_only,
                cache=self._cache,
                node_name=node_name,
                open_backing=(lambda: self._backing(options, depth))
                if "backing" in options
                else None,
                depth=depth,
                options=options,
            )
        except QemuError:
            graph.remove_unused(file)
            raise

    def _protocol(self, driver: str, options: dict[str, Any], node_name: str | None) -> BlockNode:
        if driver == "file":
            filename = options.get("filename")
            if not isinstance(filename, str):
                raise QemuError("The 'file' block driver requires a file name", errno.EINVAL)
            return self._graph.open_file(
                filename,
                read_only=self._read_only,
                cache=self._cache,
                node_name=node_name,
                locking=self._locking,
            )
        from blockdev.null import open_null

        words = {key: _word(value) for key, value in options.items()}
        return open_null(self._graph, driver, node_name, words, "", read_only=self._read_only)

    def _child(self, options: Any) -> BlockNode:
        if isinstance(options, str):
            found = self._graph.find(options)
            if found is None:
                text = f"Cannot find device='{options}' nor node-name='{options}'"
                raise QemuError(text, errno.ENODEV)
            return found
        if not isinstance(options, dict):
            raise QemuError('A block device must be specified for "file"', errno.EINVAL)
        options = dict(options)
        if "filename" in options:
            options.setdefault("driver", "file")
        return self.open(options, None, 0)

    def _backing(self, options: dict[str, Any], depth: int) -> BlockNode | None:
        if not isinstance(options["backing"], dict):
            return None
        below = _Tree(self._graph, read_only=True, cache=self._cache, locking=self._locking)
        return below.open(options["backing"], None, depth + 1)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
