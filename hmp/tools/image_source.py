"""How the image programs open images: by name, as JSON, or by a list of options."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.file import CONSISTENT_READ, WRITE
from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.raw import FileNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from blockdev.node import BlockNode
    from hmp.tools.program import Program

_CACHE_MODES = {  # direct, no flush, writes through
    "none": (True, False, False),
    "off": (True, False, False),
    "directsync": (True, False, True),
    "writeback": (False, False, False),
    "unsafe": (False, True, False),
    "writethrough": (False, False, True),
}
_NULL = "\0"  # JSON's null; no name has this byte
_COMMON = frozenset(
    "driver node-name read-only auto-read-only discard detect-zeroes force-share cache.direct "
    "cache.no-flush cache.writeback".split()
)
_OF_FILE = frozenset("filename locking aio pr-manager drop-cache x-check-cache-dropped".split())
_OF_QCOW2 = frozenset(
    "lazy-refcounts pass-discard-request pass-discard-snapshot pass-discard-other overlap-check "
    "overlap-check.template cache-size l2-cache-size l2-cache-entry-size refcount-cache-size "
    "cache-clean-interval".split()
)
_NULL_DRIVERS = ("null-co", "null-aio")
_OF_NULL = frozenset(("size", "latency-ns", "read-zeroes"))
_TRUE = ("on", "yes", "true", "y")


def cache_mode(name: str) -> tuple[CacheMode, bool] | None:
    """The mode that a `-t` names, and whether each write waits for the disk; None: no such."""
    found = _CACHE_MODES.get(name)
    if found is None:
        return None
    direct, no_flush, writes_through = found
    return CacheMode(direct=direct, no_flush=no_flush), writes_through


def check_format(format: str | None) -> None:
    """See that there is such a driver, before any file is looked at; None is any.

    Raises:
        QemuError: there isn't.
    """
    if format is not None and not is_known(format):
        raise QemuError(f"Unknown driver '{format}'", errno.ENOENT)


def is_known(format: str) -> bool:
    """Whether there is such a format, be it that only its headers are read."""
    if format in ("raw", "qcow2"):
        return True
    from blockdev.foreign import FORMATS

    return format in FORMATS


class ImageSource:
    """Opens images for one run of a program, and closes them all.

    Args:
        program: says what the depths have to say.
    """

    def __init__(self, program: Program) -> None:
        self.graph = Graph(program.say, warn=lambda text: program.complain(f"{text}\n"))
        self.graph.open_json = self._open_json
        program.closers.append(self._let_go)

    def open(
        self,
        name: str,
        *,
        format: str | None = None,
        by_options: bool = False,
        read_only: bool = True,
        force_share: bool = False,
        with_backing: bool = True,
        cache: CacheMode | None = None,
        options: dict[str, str] | None = None,
    ) -> BlockNode:
        """Open an image.

        Args:
            name: a file's name, `json:{...}`, or with `by_options` a list of options.
            options: flat ones that come to the name, which may be "" with them.
            format: its driver; None looks at the file.
            force_share: others may do with it what they like meanwhile.
            with_backing: what the image names as its backing file is opened too.

        Raises:
            QemuError: with the name before the reason.
        """
        if by_options and format is not None:
            raise QemuError("--image-opts and --format are mutually exclusive")
        try:
            check_format(format)
            if force_share and not read_only:
                text = "force-share=on can only be used with read-only images"
                raise QemuError(text, errno.EINVAL)
            opener = _Opener(
                self.graph,
                read_only=read_only,
                cache=cache or CacheMode(),
                locking=not force_share,
                with_backing=with_backing,
            )
            if options is not None:
                named = {"filename": name} if name else {}
                return opener.by_values({**options, **named})
            if by_options:
                return opener.by_options(name)
            if name.startswith("json:"):
                return opener.by_json(name.removeprefix("json:"), format)
            if not name:
                raise QemuError("The 'file' block driver requires a file name", errno.EINVAL)
            node = opener.by_name(name, format)
            if not read_only:
                node.keep_bitmaps()
                _say_that_it_is_written(node)
            if not with_backing and node.file is not None:
                # Not asked for is not the same as being without.
                node.filename = node.file.filename
            return node
        except QemuError as error:
            text = f"Could not open '{name}': {error}"
            raise QemuError(text, error.errno_value) from error

    def open_backing(self, name: str, format: str | None) -> BlockNode:
        """Open what an image shall name as its backing file, only to look at what it is.

        Raises:
            QemuError: it can't be opened; the reason alone.
        """
        check_format(format)
        return self.graph.open_image(
            name, driver=format, read_only=True, cache=CacheMode(), locking=False
        )

    def _open_json(self, name: str, format: str | None, cache: CacheMode) -> BlockNode:
        opener = _Opener(self.graph, read_only=True, cache=cache, locking=True, with_backing=True)
        return opener.by_json(name.removeprefix("json:"), format)

    def close(self, node: BlockNode | None = None) -> None:
        """Close an image with what only it uses; None: all of them.

        Raises:
            QemuError: what was to be written can't be.
        """
        if node is None:
            self.graph.close()
        elif node.node_name in self.graph.nodes:
            self.graph.remove(node)

    def _let_go(self) -> None:
        """Write back what can be of images that a failure left open."""
        while self.graph.nodes:
            try:
                self.graph.close()
            except QemuError:
                pass  # the program has told of its failure already


def _say_that_it_is_written(node: BlockNode) -> None:
    """Let others see that a raw image is written to, which a format's own rules don't say."""
    if node.driver == "raw" and isinstance(node.file, FileNode):
        node.file.bytes.set_permissions({CONSISTENT_READ, WRITE}, ())


class _Opener:
    """Opens one image with all that belongs under it."""

    def __init__(
        self,
        graph: Graph,
        *,
        read_only: bool,
        cache: CacheMode,
        locking: bool,
        with_backing: bool,
    ) -> None:
        self._graph = graph
        self._read_only = read_only
        self._cache = cache
        self._locking = locking
        self._open_backing: Callable[[], BlockNode | None] | None = None
        if not with_backing:
            self._open_backing = lambda: None
        self._with_backing = with_backing

    def by_name(self, name: str, format: str | None) -> BlockNode:
        return self._graph.open_image(
            name,
            driver=format,
            read_only=self._read_only,
            cache=self._cache,
            locking=self._locking,
            open_backing=self._open_backing,
        )

    def by_json(self, text: str, format: str | None) -> BlockNode:
        from machine.keyval import parse_json

        try:
            options = _flat(parse_json(text))
        except QemuError as error:
            raise QemuError(f"Could not parse the JSON options: {error}") from error
        if format is not None:
            options.setdefault("driver", format)
        return self._node(options, is_format=True, read_only=self._read_only)

    def by_options(self, text: str) -> BlockNode:
        from hmp.command_line.option_list import parse_options

        return self.by_values(dict(parse_options(text, "file", lambda _: None)))

    def by_values(self, options: dict[str, str]) -> BlockNode:
        return self._node(options, is_format=True, read_only=self._read_only)

    def _node(self, options: dict[str, str], *, is_format: bool, read_only: bool) -> BlockNode:
        """A node of flat options (`file.filename`)."""
        driver = options.get("driver")
        if options.get("read-only") in _TRUE:
            read_only = True
        locking = self._locking and options.get("force-share") not in _TRUE
        if driver == "file" or (driver is None and not is_format):
            self._check(options, _OF_FILE, "file")
            if not options.get("filename"):
                raise QemuError("The 'file' block driver requires a file name", errno.EINVAL)
            locking = locking and options.get("locking") != "off"
            return self._graph.open_file(
                options["filename"], read_only=read_only, cache=self._cache, locking=locking
            )
        if driver in _NULL_DRIVERS:
            return self._null(driver, options, read_only=read_only)
        check_format(driver)
        if "file" in options:
            raise _no_such_node(options["file"])
        inner = _under("file", options)
        if "filename" in options:
            inner.setdefault("filename", options["filename"])
        if not inner:
            raise QemuError('A block device must be specified for "file"', errno.EINVAL)
        child = self._node(inner, is_format=False, read_only=read_only)
        try:
            if driver is None:
                driver = self._graph.probe(child, read_only=read_only)
            known = _OF_QCOW2 if driver == "qcow2" else frozenset(("offset", "size"))
            if self._with_backing and driver == "qcow2":
                known = known | {"backing"}
            rest = {
                key: value
                for key, value in options.items()
                if not key.startswith("file.")
                and key != "filename"
                and not (key.startswith("backing.") and "backing" in known)
            }
            self._check(rest, known, driver)
            return self._graph.open_format(
                driver,
                child,
                read_only=read_only,
                cache=self._cache,
                open_backing=self._backing(options, driver),
                locking=locking,
            )
        except QemuError:
            if child.node_name in self._graph.nodes:
                self._graph.remove(child)
            raise

    def _null(self, driver: str, options: dict[str, str], *, read_only: bool) -> BlockNode:
        from blockdev.null import open_null

        self._check(options, _OF_NULL, driver)
        return open_null(self._graph, driver, None, options, "", read_only=read_only, is_loose=True)

    def _backing(
        self, options: dict[str, str], driver: str
    ) -> Callable[[], BlockNode | None] | None:
        if driver != "qcow2" or not self._with_backing:
            return self._open_backing
        if options.get("backing") == _NULL:
            return lambda: None
        if options.get("backing") == "":
            self._graph.report(
                'warning: Use of "backing": "" is deprecated; use "backing": null instead'
            )
            return lambda: None
        if "backing" in options:
            raise _no_such_node(options["backing"])
        inner = _under("backing", options)
        if not inner:
            return self._open_backing
        return lambda: self._node(inner, is_format=True, read_only=True)

    def _check(self, options: dict[str, str], known: frozenset[str], driver: str) -> None:
        for name in options:
            if name not in known and name not in _COMMON:
                kind = "protocol" if driver == "file" or driver in _NULL_DRIVERS else "format"
                text = f"Block {kind} '{driver}' does not support the option '{name}'"
                raise QemuError(text, errno.EINVAL)


def _no_such_node(name: str) -> QemuError:
    return QemuError(f"Cannot find device='{name}' nor node-name='{name}'", errno.EINVAL)


def _under(role: str, options: dict[str, str]) -> dict[str, str]:
    prefix = role + "."
    return {k[len(prefix) :]: v for k, v in options.items() if k.startswith(prefix)}


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat.update(_flat(item, f"{prefix}{key}."))
        elif isinstance(item, bool):
            flat[prefix + key] = "on" if item else "off"
        else:
            flat[prefix + key] = _NULL if item is None else str(item)
    return flat
