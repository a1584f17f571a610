"""Nodes that are shown to others over the network, and the server that shows them."""

from __future__ import annotations

from blockdev.chain import chain
from blockdev.errors import HintedError, QemuError
from blockdev.naming import is_identifier
from blockdev.nbd_export import NbdExport
from blockdev.nbd_protocol import MAX_STRING
from blockdev.node_bitmap import check_bitmap, find
from blockdev.permissions import WRITE, conflict
from machine.block_lookup import find_node
from machine.nbd_server import NbdServer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.address import InetAddress, UnixAddress
    from blockdev.backend import Backend
    from blockdev.node import BlockNode
    from blockdev.node_bitmap import NodeBitmap
    from machine.bitmap_actions import Source
    from machine.machine import Machine


class Exports:
    """All exports of a machine.

    Attributes:
        exports: the newest first.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._server: NbdServer | None = None
        self._is_for_one = False
        self.exports: list[NbdExport] = []

    def start(self, address: UnixAddress | InetAddress | int, *, max_clients: int = 0) -> None:
        """Listen on an address, or a socket that was given.

        Raises:
            QemuError: the server runs, or the address can't be had.
        """
        self.check_stopped()
        self._is_for_one = max_clients == 1
        self._server = NbdServer(
            self._machine.loop,
            address,
            self._shown,
            max_clients=max_clients,
        )

    def check_stopped(self) -> None:
        """See that nobody listens.

        Raises:
            QemuError: somebody does.
        """
        if self._server is not None:
            raise QemuError("NBD server already running")

    def stop(self) -> None:
        """Take all exports away, and listen no more.

        Raises:
            QemuError: the server doesn't run.
        """
        if self._server is None:
            raise QemuError("NBD server not running")
        for export in tuple(self.exports):
            self._end(export)
        self._server.close()
        self._server = None

    def close(self) -> None:
        """`stop`, if there is anything to stop."""
        if self._server is not None:
            self.stop()

    def add_device(
        self,
        device: str,
        name: str | None = None,
        *,
        description: str = "",
        is_writable: bool = False,
        bitmap: str | None = None,
    ) -> None:
        """Show a drive's medium, or a node; what can't be written is shown as such.

        Args:
            name: for clients, and the export's id; None for the device's.
            bitmap: one that clients may see.

        Raises:
            QemuError: there is no server or no such device, or the name is taken.
        """
        node = find_node(self._machine, device, device)
        drive = self._machine.drives.backend(device)
        name = device if name is None else name
        self._add(
            name,
            node,
            name=name,
            description=description,
            is_writable=is_writable and not node.read_only,
            drive=drive,
            bitmaps=() if bitmap is None else (bitmap,),
        )

    def add_all(self, *, is_writable: bool) -> None:
        """Show each medium under its drive's name; if one can't be, none is, and nobody listens.

        Raises:
            QemuError: one can't be.
        """
        try:
            for backend in self._machine.drives.backends:
                if backend.name and backend.node is not None and backend.node.is_inserted:
                    self.add_device(backend.name, is_writable=is_writable)
        except QemuError:
            self.stop()
            raise

    def add_node(
        self,
        id: str,
        node_name: str,
        *,
        name: str | None = None,
        description: str = "",
        is_writable: bool = False,
        bitmaps: Sequence[Source] = (),
        with_depth: bool = False,
        iothread: str | None = None,
    ) -> None:
        """Show a node.

        Args:
            name: for clients; None for the node's.
            bitmaps: those that clients may see, of the node or the chain under it.
            with_depth: clients may see which image of the chain has what.
            iothread: the object whose thread is to serve it.

        Raises:
            QemuError: there is no server or no such node, it can't be written though it is to
                be, or a name is taken or can't be.
        """
        self._check_id(id)
        node = find_node(self._machine, "", node_name)
        if is_writable and node.read_only:
            raise QemuError("Cannot export read-only node as writable")
        threads = self._machine.objects.of_type("iothread") if iothread is not None else ()
        if iothread is not None and not any(each.id == iothread for each in threads):
            raise QemuError(f'iothread "{iothread}" not found')
        self._add(
            id,
            node,
            name=node_name if name is None else name,
            description=description,
            is_writable=is_writable,
            drive=None,
            bitmaps=bitmaps,
            with_depth=with_depth,
        )

    def remove(self, id: str, *, is_hard: bool) -> None:
        """Take an export away.

        Args:
            is_hard: clients that use it are hung up on.

        Raises:
            QemuError: there is none, or somebody uses it.
        """
        export = next((each for each in self.exports if each.id == id), None)
        if export is None:
            raise QemuError(f"Export '{id}' is not found")
        if not is_hard and self._server is not None and self._server.has_client(export):
            raise HintedError(
                f"export '{id}' still in use", "Use mode='hard' to force client disconnect"
            )
        self._end(export)

    def forget_drive(self, drive: Backend) -> None:
        """A drive loses its medium: it is shown no more."""
        for export in tuple(self.exports):
            if export.drive is drive:
                self._end(export)

    # --- inside

    def _check_id(self, id: str) -> None:
        if not is_identifier(id):
            raise QemuError("Invalid block export id")
        if any(export.id == id for export in self.exports):
            raise QemuError(f"Block export id '{id}' is already in use")

    def _add(
        self,
        id: str,
        node: BlockNode,
        *,
        name: str,
        description: str,
        is_writable: bool,
        drive: Backend | None,
        bitmaps: Sequence[Source] = (),
        with_depth: bool = False,
    ) -> None:
        self._check_id(id)
        if self._server is None:
            raise QemuError("NBD server not running")
        for what, text in (("export name", name), ("description", description)):
            if len(text.encode("utf-8", "surrogateescape")) > MAX_STRING:
                raise QemuError(f"{what} '{text}' too long")
        if any(export.name == name for export in self.exports):
            raise QemuError(f"NBD server already has export named '{name}'")
        graph = self._machine.graph
        if is_writable:
            refusal = conflict(graph, self._machine.drives.backends, node, [WRITE])
            if refusal is not None:
                raise QemuError(refusal)
        export = NbdExport(
            id,
            node,
            name=name,
            description=description,
            is_writable=is_writable,
            drive=drive,
            bitmaps=[self._bitmap(node, each, is_writable=is_writable) for each in bitmaps],
            with_depth=with_depth,
            is_for_one=self._is_for_one,
        )
        self.exports.insert(0, export)
        graph.export_roots.append(export.root)

    def _bitmap(self, node: BlockNode, source: Source, *, is_writable: bool) -> NodeBitmap:
        """A bitmap that clients are to see.

        Raises:
            QemuError: there is none, somebody uses it, or it would change meanwhile.
        """
        if isinstance(source, str):
            images = [node, *chain(node)]
            found = next(filter(None, (find(image, source) for image in images)), None)
            if found is None:
                raise QemuError(f"Bitmap '{source}' is not found")
        else:
            from machine.bitmap_actions import find_bitmap

            _, found = find_bitmap(self._machine, *source)
        check_bitmap(found, is_changed=False)
        if not is_writable and not node.read_only and found.is_recording:
            raise QemuError(f"Enabled bitmap '{found.name}' incompatible with readonly export")
        return found

    def _shown(self) -> list[NbdExport]:
        """What clients are told of, the oldest first."""
        return self.exports[::-1]

    def _end(self, export: NbdExport) -> None:
        self.exports.remove(export)
        if self._server is not None:
            self._server.drop(export)
        graph = self._machine.graph
        graph.export_roots.remove(export.root)
        export.let_bitmaps_go()
        node = export.root.remove()
        if node is not None:
            graph.let_go(node)
        self._machine.events.emit("BLOCK_EXPORT_DELETED", id=export.id)
