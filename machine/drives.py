"""The drives of a machine: what ``-drive`` and ``-blockdev`` mean."""

from __future__ import annotations

import os

from blockdev.backend import Backend
from blockdev.errors import QemuError
from blockdev.naming import is_identifier
from blockdev.node import BlockNode, CacheMode
from machine.drive_options import (
    CACHE_MODES,
    check_aio,
    check_drive,
    check_empty_drive,
    flag,
    number,
    throttle_limits,
    unknown_to,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from blockdev.graph import Graph
    from blockdev.throttle import Throttle
    from machine.node_tree import NodeTree

# Units on one bus of an interface; 0: units are just counted.
_UNITS_PER_BUS = {"ide": 2, "scsi": 7}
INTERFACES = ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")


class Drive:
    """One ``-drive``: a backend, and the place on the board that it asks for.

    Attributes:
        interface, bus, unit: the place.
        media: "disk" or "cdrom".
        text: the option as it was given, for messages; "" for one the machine brings along.
        is_claimed: whether a device of the board took it.
        name: the drive's id; a device keeps it from others when the drive is gone.
    """

    __slots__ = ("backend", "bus", "interface", "is_claimed", "media", "name", "text", "unit")

    def __init__(
        self, backend: Backend, *, interface: str, bus: int, unit: int, media: str, text: str
    ) -> None:
        self.backend = backend
        self.name = backend.name
        self.interface = interface
        self.bus = bus
        self.unit = unit
        self.media = media
        self.text = text
        self.is_claimed = False


class Drives:
    """All backends of a machine, in the order in which they were made.

    Args:
        graph: where the nodes are.
        default_interface: the interface of a drive that names none.
        units_per_bus: how many drives it has on a bus; 0 for as many as one likes.

    Attributes:
        are_aside: the machine's own are out of sight; see `machine.drives_aside`.
        throttle_groups: the ``throttle-group`` objects, by id.
    """

    def __init__(self, graph: Graph, *, default_interface: str, units_per_bus: int) -> None:
        self._graph = graph
        self._default_interface = default_interface
        self._units_per_bus = {**_UNITS_PER_BUS, default_interface: units_per_bus}
        self.are_aside = False
        self.drives: list[Drive] = []
        self.backends: list[Backend] = graph.backends
        self.throttle_groups: dict[str, Throttle] = {}

    def backend(self, name: str) -> Backend | None:
        """The backend with this id; one without an id isn't found."""
        return next((b for b in self.backends if b.name == name != ""), None)

    def shown_nodes(self) -> Iterator[tuple[str, BlockNode]]:
        """Every medium with its drive's id, then the other nodes of ``-blockdev`` with ""."""
        seen: set[str] = set()
        for backend in self.backends:
            if backend.node is not None and backend.node.node_name not in seen:
                seen.add(backend.node.node_name)
                yield backend.name, backend.node
        for node in self._graph.nodes.values():
            if node.monitor_owned and node.node_name not in seen:
                yield "", node

    def root_nodes(self) -> Iterator[tuple[str, BlockNode]]:
        """Those of `shown_nodes` that are media, or that nothing stands on."""
        media = [backend.node for backend in self.backends]
        for device, node in self.shown_nodes():
            if node in media or not node.parents:
                yield device, node

    def drop(self, backend: Backend) -> None:
        """The device of a drive is gone, and takes the drive with it."""
        backend.device = None
        self.backends.remove(backend)
        self.drives = [each for each in self.drives if each.backend is not backend]
        node = backend.remove()
        if node is not None and not node.monitor_owned:
            self._graph.remove(node)

    def place(self, interface: str, bus: int, unit: int) -> Drive | None:
        """The drive at a place on the board."""
        for drive in self.drives:
            if (drive.interface, drive.bus, drive.unit) == (interface, bus, unit):
                return drive
        return None

    def has_interface(self, interface: str) -> bool:
        """Whether a drive asks for a place of this kind."""
        return any(drive.interface == interface for drive in self.drives)

    def is_placed(self, backend: Backend) -> bool:
        """Whether it is of a drive that asks for a place on the board."""
        placed = (drive for drive in self.drives if drive.interface != "none")
        return any(drive.backend is backend for drive in placed)

    def add(self, options: dict[str, str], *, text: str = "", snapshot: bool = False) -> Drive:
        """Make a drive.

        Args:
            options: as in ``-drive``.
            text: the whole option as it was given.
            snapshot: every drive gets a temporary overlay (``-snapshot``).

        Raises:
            QemuError: in QEMU's words, as it looks at the options.
        """
        check_drive(options)
        snapshot = flag(options, "snapshot", snapshot)
        media, interface = self._kind(options)
        bus, unit = self._free_place(options, interface)
        name = options.get("id") or self._default_name(interface, bus, unit, media)
        is_taken = any(each.name == name for each in self.drives)
        if is_taken or self.backend(name) is not None:
            raise QemuError(f"Duplicate ID '{name}' for drive")
        cache = options.get("cache", "writeback")
        if cache not in CACHE_MODES:
            raise QemuError("invalid cache option")
        write_cache, direct, no_flush = CACHE_MODES[cache]
        write_cache = flag(options, "cache.writeback", write_cache)
        mode = CacheMode(
            direct=flag(options, "cache.direct", direct),
            no_flush=flag(options, "cache.no-flush", no_flush),
        )
        if "readonly" in options:
            options = {**options, "read-only": options["readonly"]}
        read_only = flag(options, "read-only", False) or media == "cdrom"
        throttle = self._throttle(options, name)
        node = self._open(options, read_only=read_only, cache=mode, snapshot=snapshot)
        if self._graph.find(name) is not None:
            if node is not None:
                self._graph.remove_unused(node)
            raise QemuError(f"Device name '{name}' conflicts with an existing node name")
        backend = Backend(
            name, node, write_cache=write_cache, wants_read_only=read_only, cache=mode
        )
        if node is not None:
            backend.throttle = throttle
            backend.copies_on_read = flag(options, "copy-on-read", False) and not read_only
        drive = Drive(backend, interface=interface, bus=bus, unit=unit, media=media, text=text)
        self.drives.append(drive)
        self.backends.append(backend)
        return drive

    def _throttle(self, options: dict[str, str], name: str) -> Throttle | None:
        """The limits that a drive's options set; None for none."""
        limits, group = throttle_limits(options)
        if not any(limits.values()):
            return None
        from blockdev.throttle import Throttle, check_limits

        check_limits(limits)
        shared = [each.throttle for each in self.backends if group and each.throttle is not None]
        for throttle in shared:
            if throttle.group == group:
                throttle.set_limits(limits)
                return throttle
        return Throttle(group or name, limits)

    def find_group(self, name: str) -> Throttle | None:
        """The throttle group of this name, which an object or a drive made."""
        found = self.throttle_groups.get(name)
        if found is not None:
            return found
        drives = [each.throttle for each in self.backends if each.throttle is not None]
        return next((throttle for throttle in drives if throttle.group == name), None)

    def _kind(self, options: dict[str, str]) -> tuple[str, str]:
        media = options.get("media", "disk")
        if media not in ("disk", "cdrom"):
            raise QemuError(f"'{media}' invalid media")
        interface = options.get("if", self._default_interface)
        if interface not in INTERFACES:
            raise QemuError(f"unsupported bus type '{interface}'")
        return media, interface

    def _free_place(self, options: dict[str, str], interface: str) -> tuple[int, int]:
        bus, unit = number(options, "bus") or 0, number(options, "unit")
        index = number(options, "index")
        per_bus = self._units_per_bus.get(interface, 0)
        if index is not None:
            if bus or unit is not None:
                raise QemuError("index cannot be used with bus and unit")
            bus, unit = self.index_place(interface, index)
        if unit is None:
            unit = 0
            while self.place(interface, bus, unit) is not None:
                unit += 1
                if per_bus and unit >= per_bus:
                    bus, unit = bus + 1, 0
        if per_bus and unit >= per_bus:
            raise QemuError(f"unit {unit} too big (max is {per_bus - 1})")
        if self.place(interface, bus, unit) is not None:
            at = bus * per_bus + unit if per_bus else unit
            raise QemuError(f"drive with bus={bus}, unit={unit} (index={at}) exists")
        return bus, unit

    def _default_name(self, interface: str, bus: int, unit: int, media: str) -> str:
        kind = ("-cd" if media == "cdrom" else "-hd") if interface in _UNITS_PER_BUS else ""
        if self._units_per_bus.get(interface):
            return f"{interface}{bus}{kind}{unit}"
        return f"{interface}{kind}{unit}"

    def index_place(self, interface: str, index: int) -> tuple[int, int]:
        """Bus and unit of an interface's place with this number."""
        per_bus = self._units_per_bus.get(interface, 0)
        return divmod(index, per_bus) if per_bus else (0, index)

    def _open(
        self, options: dict[str, str], *, read_only: bool, cache: CacheMode, snapshot: bool
    ) -> BlockNode | None:
        driver = options.get("format", options.get("driver"))
        is_literal = "file.filename" in options
        if is_literal and options.get("file"):
            raise QemuError("Can't specify 'file' and 'filename' options at the same time")
        filename = options["file.filename"] if is_literal else options.get("file", "")
        if options.get("file.driver", "file") != "file":
            return self._open_over(options, driver, read_only=read_only, cache=cache)
        if not filename and driver in ("null-co", "null-aio"):
            return self._open_null(driver, options, read_only=read_only)
        if not filename and driver == "nbd":
            return self._open_nbd(options, read_only=read_only, cache=cache)
        if not filename:
            check_empty_drive(options)
            return None
        if "node-name" in options:
            self._check_node_name(options["node-name"])
        check_aio(options, direct=cache.direct)
        is_shared = flag(options, "force-share", False)
        if is_shared and not read_only:
            raise QemuError("force-share=on can only be used with read-only images")
        node = self._graph.open_image(
            filename,
            driver=driver,
            read_only=read_only or snapshot,
            cache=cache,
            node_name=options.get("node-name"),
            locking=options.get("file.locking", "on") != "off" and not is_shared,
            is_literal=is_literal,
            options=options if driver in ("raw", None) else None,
        )
        node.detect_zeroes = options.get("detect-zeroes", "off")
        unknown = unknown_to(node.driver, options)
        if unknown is not None:
            self._graph.remove_unused(node)
            raise QemuError(f"Block format '{node.driver}' does not support the option '{unknown}'")
        return self._overlay(node, cache, read_only=read_only) if snapshot else node

    def _open_over(
        self, options: dict[str, str], driver: str | None, *, read_only: bool, cache: CacheMode
    ) -> BlockNode:
        """A format over a node that the options describe in full."""
        file = self.tree.child("file", options, read_only=read_only, cache=cache)
        assert file is not None, "there are options for it"
        try:
            driver = driver or self._graph.probe(file, read_only=read_only)
            return self._graph.open_format(
                driver,
                file,
                read_only=read_only,
                cache=cache,
                node_name=options.get("node-name"),
            )
        except QemuError:
            self._graph.remove_unused(file)
            raise

    def _open_null(self, driver: str, options: dict[str, str], *, read_only: bool) -> BlockNode:
        from blockdev.null import open_null

        return open_null(
            self._graph,
            driver,
            options.get("node-name"),
            options,
            "",
            read_only=read_only,
            is_loose=True,
        )

    def _open_nbd(self, options: dict[str, str], *, read_only: bool, cache: CacheMode) -> BlockNode:
        """An export without a format over it."""
        from blockdev.nbd import open_nbd
        from blockdev.nbd_name import modernize

        options = dict(options)
        modernize(options, "")
        return open_nbd(
            self._graph,
            options.get("node-name"),
            options,
            read_only=read_only,
            cache=cache,
            may_be_read_only=True,
        )

    def _overlay(self, base: BlockNode, cache: CacheMode, *, read_only: bool) -> BlockNode:
        """A temporary image over `base` that takes all writes; its file is gone at once."""
        from blockdev.qcow2.create import create_image

        folder = os.environ.get("TMPDIR") or "/var/tmp"
        name = os.path.join(folder, f"vl.{os.urandom(3).hex().upper()}")
        create_image(name, base.size)
        unsafe = CacheMode(direct=cache.direct, no_flush=True)
        try:
            file = self._graph.open_file(name, read_only=read_only, cache=unsafe)
        finally:
            os.unlink(name)
        return self._graph.open_format(
            "qcow2", file, read_only=read_only, cache=unsafe, open_backing=lambda: base
        )

    @property
    def tree(self) -> NodeTree:
        """Makes nodes of their options."""
        from machine.node_tree import NodeTree

        return NodeTree(self._graph, self._check_node_name, self.find_group, self._find_medium)

    def _find_medium(self, name: str) -> BlockNode | None:
        backend = self.backend(name)
        if backend is not None and backend.node is None:
            raise QemuError(f"Device '{name}' has no medium")
        return backend.node if backend is not None else None

    def add_child(self, values: Mapping[str, Any]) -> BlockNode:
        """Make a node that goes with whoever uses it, of its options by QMP's names.

        Raises:
            QemuError: in QEMU's words.
        """
        from machine.drive_options import flattened

        options = {f"file.{name}": text for name, text in flattened(values).items()}
        node = self.tree.child("file", options, read_only=False, cache=CacheMode())
        assert node is not None, "there are options for it"
        return node

    def add_node(self, options: dict[str, str]) -> BlockNode:
        """Make a node as ``-blockdev`` does; see `NodeTree.add`."""
        return self.tree.add(options)

    def _check_node_name(self, name: str) -> None:
        if not is_identifier(name):
            raise QemuError("Invalid node-name: '" + name + "'")
        if self.backend(name) is not None:
            raise QemuError(f"node-name={name} is conflicting with a device id")
        if self._graph.find(name) is not None:
            raise QemuError(f"Duplicate nodes with node-name='{name}'")
