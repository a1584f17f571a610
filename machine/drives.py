"""The drives of a machine: what ``-drive`` and ``-blockdev`` mean."""

from __future__ import annotations

import os

from blockdev.backend import Backend
from blockdev.errors import QemuError
from blockdev.naming import is_identifier
from blockdev.node import BlockNode, CacheMode
from blockdev.permissions import format_conflict
from machine.drive_options import (
    CACHE_MODES,
    NO_NODE,
    QCOW2_SETTINGS,
    check_aio,
    check_drive,
    check_empty_drive,
    check_node,
    flag,
    number,
    unknown_to,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockdev.graph import Graph

# Units on one bus of an interface; 0: units are just counted.
UNITS_PER_BUS = {"ide": 2, "scsi": 7}
INTERFACES = ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")


class Drive:
    """One ``-drive``: a backend, and the place on the board that it asks for.

    Attributes:
        interface, bus, unit: the place.
        media: "disk" or "cdrom".
        text: the option as it was given, for messages; "" for one the machine brings along.
        is_claimed: whether a device of the board took it.
    """

    __slots__ = ("backend", "bus", "interface", "is_claimed", "media", "text", "unit")

    def __init__(
        self, backend: Backend, *, interface: str, bus: int, unit: int, media: str, text: str
    ) -> None:
        self.backend = backend
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
    """

    def __init__(self, graph: Graph, *, default_interface: str) -> None:
        self._graph = graph
        self._default_interface = default_interface
        self.drives: list[Drive] = []
        self.backends: list[Backend] = graph.backends

    def backend(self, name: str) -> Backend | None:
        """The backend with this id."""
        return next((b for b in self.backends if b.name == name), None)

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
        name = options.get("id") or _default_name(interface, bus, unit, media)
        if self.backend(name) is not None:
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
        read_only = flag(options, "read-only", media == "cdrom")
        node = self._open(options, read_only=read_only, cache=mode, snapshot=snapshot)
        if self._graph.find(name) is not None:
            raise QemuError(f"Device name '{name}' conflicts with an existing node name")
        backend = Backend(
            name, node, write_cache=write_cache, wants_read_only=read_only, cache=mode
        )
        drive = Drive(backend, interface=interface, bus=bus, unit=unit, media=media, text=text)
        self.drives.append(drive)
        self.backends.append(backend)
        return drive

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
        per_bus = UNITS_PER_BUS.get(interface, 0)
        if index is not None:
            if bus or unit is not None:
                raise QemuError("index cannot be used with bus and unit")
            bus, unit = divmod(index, per_bus) if per_bus else (0, index)
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

    def _open(
        self, options: dict[str, str], *, read_only: bool, cache: CacheMode, snapshot: bool
    ) -> BlockNode | None:
        driver = options.get("format", options.get("driver"))
        is_literal = "file.filename" in options
        if is_literal and options.get("file"):
            raise QemuError("Can't specify 'file' and 'filename' options at the same time")
        filename = options["file.filename"] if is_literal else options.get("file", "")
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
        )
        node.detect_zeroes = options.get("detect-zeroes", "off")
        unknown = unknown_to(node.driver, options)
        if unknown is not None:
            raise QemuError(f"Block format '{node.driver}' does not support the option '{unknown}'")
        return self._overlay(node, cache, read_only=read_only) if snapshot else node

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

    def add_node(self, options: dict[str, str]) -> BlockNode:
        """Make a node as ``-blockdev`` does.

        Args:
            options: flat (``file.filename``), all values as text.

        Raises:
            QemuError: in QEMU's words.
        """
        if "driver" not in options:
            raise QemuError("Parameter 'driver' is missing")
        if options["driver"] not in ("file", "raw", "qcow2"):
            raise QemuError(f"Parameter 'driver' does not accept value '{options['driver']}'")
        node = self._node(options)
        node.detect_zeroes = options.get("detect-zeroes", "off")
        node.monitor_owned = True
        return node

    def add_tree(self, options: dict[str, str]) -> BlockNode:
        """Make a node as ``drive_add -n`` does: what isn't said goes without saying."""
        options = dict(options)
        options.setdefault("driver", "raw" if "file.filename" in options else "file")
        if options["driver"] not in ("file", "raw", "qcow2"):
            raise QemuError(f"Unknown driver '{options['driver']}'")
        if options["driver"] != "file" and "file.filename" in options:
            options.setdefault("file.driver", "file")
        node = self._node(options)
        node.monitor_owned = True
        return node

    def _node(self, options: dict[str, str], *, prefix: str = "") -> BlockNode:
        """A node of its options; those of a child stand behind `prefix` in the user's words."""
        driver = options["driver"]
        known = {"driver", "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes"}
        known |= {"cache.direct", "cache.no-flush", "force-share"}
        known |= {"filename", "locking", "aio", "pr-manager"} if driver == "file" else set()
        known |= {"file", "backing"} | QCOW2_SETTINGS if driver == "qcow2" else {"file"}
        for name in options:
            if name not in known and not (
                driver != "file" and name.startswith(("file.", "backing."))
            ):
                raise QemuError(f"Parameter '{prefix}{name}' is unexpected")
        check_node(options, prefix)
        if driver == "file" and "filename" not in options:
            raise QemuError(f"Parameter '{prefix}filename' is missing")
        node_name = options.get("node-name")
        if not prefix and node_name is None:
            raise QemuError("'node-name' must be specified for the root node")
        if node_name is not None:
            self._check_node_name(node_name)
        read_only = flag(options, "read-only", False)
        cache = CacheMode(
            direct=flag(options, "cache.direct", False),
            no_flush=flag(options, "cache.no-flush", False),
        )
        if driver == "file":
            check_aio(options, direct=cache.direct)
            locking = options.get("locking", "auto") != "off"
            return self._graph.open_file(
                options["filename"],
                read_only=read_only,
                cache=cache,
                node_name=node_name,
                locking=locking,
            )
        child = self._child("file", options, prefix, read_only=read_only, cache=cache)
        if child is None:
            raise QemuError(f"Parameter '{prefix}file' is missing")
        if driver != "raw":
            self._check_format(child, node_name, read_only=read_only)

        def open_backing() -> BlockNode | None:
            return self._child("backing", options, prefix, read_only=True, cache=cache)

        has_backing = driver == "qcow2" and any(o.startswith("backing") for o in options)
        return self._graph.open_format(
            driver,
            child,
            read_only=read_only,
            cache=cache,
            node_name=node_name,
            open_backing=open_backing if has_backing else None,
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
            child = self._graph.find(options[role])
            if child is None:
                reference = options[role]
                raise QemuError(f"Cannot find device='{reference}' nor node-name='{reference}'")
            return child
        prefix = role + "."
        inner = {k[len(prefix) :]: v for k, v in options.items() if k.startswith(prefix)}
        if not inner:
            return None
        if "driver" not in inner:
            raise QemuError(f"Parameter '{outer}{prefix}driver' is missing")
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

    def _check_node_name(self, name: str) -> None:
        if not is_identifier(name):
            raise QemuError("Invalid node-name: '" + name + "'")
        if self.backend(name) is not None:
            raise QemuError(f"node-name={name} is conflicting with a device id")
        if self._graph.find(name) is not None:
            raise QemuError(f"Duplicate nodes with node-name='{name}'")


def _default_name(interface: str, bus: int, unit: int, media: str) -> str:
    if UNITS_PER_BUS.get(interface):
        return f"{interface}{bus}-{'cd' if media == 'cdrom' else 'hd'}{unit}"
    cd = "-cd" if media == "cdrom" and interface != "none" else ""
    return f"{interface}{cd}{unit}"
