"""The block graph: every node by name, how images are opened, which driver a file asks for."""

from __future__ import annotations

import errno
import os

from blockdev.errors import QemuError
from blockdev.file import ByteFile
from blockdev.naming import local_file, protocol_of, tree_name
from blockdev.node import BlockNode, CacheMode
from blockdev.raw import FileNode, RawNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blockdev.backend import Backend

_MAX_BACKING_DEPTH = 200


def _draw() -> int:
    return os.urandom(1)[0] % 100


class Graph:
    """The nodes of a machine, oldest first.

    Args:
        report: takes a line that the depths have to say without failing.
        warn: takes a warning that isn't anybody's answer; None: `report` takes it.

    Attributes:
        backends: what uses the nodes from outside, oldest first.
        export_roots: what else does, for others over the network.
        opens_inactive: what is opened is left to others until `activate`.
        keeps_bitmaps: the bitmaps of an image are taken into memory; else they only are marked as
            not up to date, if need be.
        open_json: opens an image whose name is a tree as JSON, read-only; None: the usual way.
        draw: gives the two digits at the end of a name, which are random.
    """

    def __init__(
        self, report: Callable[[str], object], warn: Callable[[str], object] | None = None
    ) -> None:
        self.report = report
        self._warn = warn or report
        self.nodes: dict[str, BlockNode] = {}
        self.backends: list[Backend] = []
        self.export_roots: list[Backend] = []
        self.opens_inactive = False
        self.keeps_bitmaps = False
        self.open_json: Callable[[str, str | None, CacheMode], BlockNode] | None = None
        self.draw: Callable[[], int] = _draw
        self._above: list[tuple[int, int] | None] = []  # the files of the images being opened
        self._named = 0

    def new_name(self) -> str:
        """A name for a node that got none: a running number and two random digits."""
        name = f"#block{self._named}{self.draw():02}"
        self._named += 1
        return name

    def add(self, node: BlockNode) -> None:
        """Enter a node; its children have one parent more."""
        self.nodes[node.node_name] = node
        for child in node.children:
            child.parents += 1

    def open_file(
        self,
        filename: str,
        *,
        read_only: bool,
        cache: CacheMode,
        node_name: str | None = None,
        locking: bool = True,
    ) -> FileNode:
        """Open a disk file as a protocol node."""
        file = ByteFile(filename, read_only=read_only, locking=locking)
        node = FileNode(node_name or self.new_name(), file, cache=cache)
        self.add(node)
        return node

    def make_newest(self, node: BlockNode) -> None:
        """List a node as the last: QEMU opens some children when their parent is there already."""
        self.nodes[node.node_name] = self.nodes.pop(node.node_name)

    def open_protocol(
        self, filename: str, *, read_only: bool, cache: CacheMode, locking: bool = True
    ) -> BlockNode:
        """Open what a name means, whose protocol may stand before it.

        Raises:
            QemuError: there is no such protocol, or no such thing.
        """
        protocol = protocol_of(filename)
        if protocol in ("null-co", "null-aio"):
            from blockdev.null import NullNode

            null = NullNode(self.new_name(), protocol, read_only=read_only)
            self.add(null)
            return null
        if protocol == "blkdebug":
            from blockdev.blkdebug import BlkDebugNode, read_rules

            config, colon, image = filename.partition(":")[2].partition(":")
            if not colon:
                raise QemuError("blkdebug requires both config and image", errno.EINVAL)
            options = {"config": config} if config else {}
            rules = read_rules(options)
            child = self.open_protocol(image, read_only=read_only, cache=cache, locking=locking)
            node = BlkDebugNode(self.new_name(), child, *rules, options=options)
            self.add(node)
            self.make_newest(child)
            node.filename = tree_name(node)
            return node
        if protocol in ("nbd", "nbd+tcp", "nbd+unix"):
            from blockdev.nbd import open_nbd

            return open_nbd(
                self, None, filename, read_only=read_only, cache=cache, may_be_read_only=True
            )
        name = local_file(filename)
        if not name:
            raise QemuError("The 'file' block driver requires a file name", errno.EINVAL)
        return self.open_file(name, read_only=read_only, cache=cache, locking=locking)

    def open_image(
        self,
        filename: str,
        *,
        driver: str | None,
        read_only: bool,
        cache: CacheMode,
        node_name: str | None = None,
        locking: bool = True,
        is_literal: bool = False,
        open_backing: Callable[[], BlockNode | None] | None = None,
        depth: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> BlockNode:
        """Open a disk file with a format node over it.

        Args:
            driver: the format; None looks at the file, and warns when it can only be raw.
            open_backing, options: as for `open_format`.
            is_literal: the name is a file's, without a protocol before it.
            depth: how many overlays stand above this image.
        """
        if not is_literal and filename.startswith("json:"):
            if self.open_json is not None:
                return self.open_json(filename, driver, cache)
            from blockdev.json_name import open_tree

            return open_tree(
                self,
                filename,
                driver=driver,
                read_only=read_only,
                cache=cache,
                node_name=node_name,
                locking=locking,
                depth=depth,
            )
        if driver is not None:
            check_format(driver)
        if is_literal:
            file: BlockNode = self.open_file(
                filename, read_only=read_only, cache=cache, locking=locking
            )
        else:
            file = self.open_protocol(filename, read_only=read_only, cache=cache, locking=locking)
        before = len(self._above)
        identity = file.bytes.identity if isinstance(file, FileNode) else None
        try:
            if identity is not None and identity in self._above:
                # Each round would open all its tables once more.
                raise QemuError("the chain leads back to itself", errno.ELOOP)
            self._above.append(identity)
            if driver is None:
                driver = self.probe(file, read_only=read_only)
            if file.read_only and not read_only and driver != "raw":
                raise QemuError("Block node is read-only", errno.EACCES)
            return self.open_format(
                driver,
                file,
                read_only=read_only,
                cache=cache,
                node_name=node_name,
                open_backing=open_backing,
                locking=locking,
                depth=depth,
                options=options,
            )
        except QemuError:
            self.remove_unused(file)
            raise
        finally:
            del self._above[before:]

    def open_format(
        self,
        driver: str,
        file: BlockNode,
        *,
        read_only: bool,
        cache: CacheMode,
        node_name: str | None = None,
        open_backing: Callable[[], BlockNode | None] | None = None,
        locking: bool = True,
        depth: int = 0,
        options: Mapping[str, object] | None = None,
    ) -> BlockNode:
        """Put a format node over a node that is open.

        Args:
            open_backing: gives the node to stand under it, or that there is to be none; without
                it that is the one that the image names.
            options: others of the driver, by name; ``raw`` alone has any here, and only some
                parts of a file need them.
        """
        node: BlockNode
        name = node_name or self.new_name()
        if driver == "raw" and options and ("offset" in options or "size" in options):
            from blockdev.raw_slice import RawSlice

            node = RawSlice(
                name,
                file,
                options=options,
                read_only=read_only,
                cache=cache,
                is_inactive=self.opens_inactive,
            )
            node.claim(attached=False)
        elif driver == "raw":
            node = RawNode(
                name,
                file,
                read_only=read_only,
                cache=cache,
                is_inactive=self.opens_inactive,
            )
            node.claim(attached=False)
        elif driver == "qcow2":
            from blockdev.qcow2.image import Image

            node = Image(
                name,
                file,
                read_only=read_only,
                cache=cache,
                report=self.report,
                complain=self._warn,
                is_inactive=self.opens_inactive,
            )
        else:
            from blockdev.foreign import ForeignNode

            check_format(driver)
            node = ForeignNode(name, driver, file, read_only=read_only, cache=cache)
        if self.keeps_bitmaps:
            node.keep_bitmaps()
        self.add(node)
        try:
            if open_backing is not None:
                self._put_under(node, open_backing())
            elif node.backing_name:
                backing_format = getattr(node, "backing_format", "")
                backing = self.open_backing_file(
                    node.backing_name,
                    node.filename,
                    backing_format,
                    cache=cache,
                    locking=locking,
                    depth=depth + 1,
                )
                self._put_under(node, backing)
                node.has_own_backing = True
        except QemuError:
            self._discard(node)
            file.parents -= 1
            raise
        node.filename = tree_name(node)
        return node

    def _put_under(self, node: BlockNode, backing: BlockNode | None) -> None:
        node.backing = backing
        if backing is not None:
            backing.parents += 1

    def open_backing(self, overlay: BlockNode) -> BlockNode | None:
        """Open the backing file that an image names; None if it names none.

        Raises:
            QemuError: it can't be opened.
        """
        if not overlay.backing_name:
            return None
        return self.open_backing_file(
            overlay.backing_name,
            overlay.filename,
            getattr(overlay, "backing_format", ""),
            cache=overlay.cache,
        )

    def open_backing_file(
        self,
        name: str,
        overlay: str,
        driver: str,
        *,
        cache: CacheMode | None = None,
        locking: bool = True,
        depth: int = 1,
    ) -> BlockNode:
        """Open the backing file that an image names.

        Args:
            name: as the image has it.
            overlay: the image's own name, beside which a relative one is looked for.
            driver: "" looks at the file.
        """
        if depth > _MAX_BACKING_DEPTH:
            raise QemuError("Could not open backing file: the chain is too long", errno.ELOOP)
        if not os.path.isabs(name) and protocol_of(name) is None:
            name = os.path.join(os.path.dirname(overlay), name)
        try:
            return self.open_image(
                name,
                driver=driver or None,
                read_only=True,
                cache=cache or CacheMode(),
                locking=locking,
                depth=depth,
            )
        except QemuError as error:
            text = f"Could not open backing file: {error}"
            raise QemuError(text, error.errno_value) from error

    def probe(self, file: BlockNode, *, read_only: bool) -> str:
        """The driver that a file asks for; a warning where it can only be raw."""
        head = file.read(0, 512)
        if head[:4] == b"QFI\xfb" and int.from_bytes(head[4:8], "big") >= 2:
            return "qcow2"
        if head[:4] != bytes(4) or head[0x40:0x44] != bytes(4):
            from blockdev.foreign import probe

            found = probe(head)
            if found is not None:
                return found
        if read_only:
            return "raw"  # nothing the guest could write would be taken for another format
        self._warn(
            f"WARNING: Image format was not specified for '{file.filename}' and probing guessed "
            "raw.\n         Automatically detecting the format is dangerous for raw images, write "
            "operations on block 0 will be restricted.\n         Specify the 'raw' format "
            "explicitly to remove the restrictions."
        )
        return "raw"

    def remove(self, node: BlockNode) -> None:
        """Close a node, and what nothing else uses underneath."""
        del self.nodes[node.node_name]
        try:
            node.close()
        finally:
            for child in node.children:
                child.parents -= 1
                self.remove_unused(child)

    def remove_unused(self, node: BlockNode) -> None:
        """Close a node that nothing uses, unless the user made it for itself."""
        if not node.parents and not node.monitor_owned and node.node_name in self.nodes:
            self.remove(node)

    def inactivate(self) -> None:
        """Leave all images to others.

        Raises:
            QemuError: one can't be written; all are as before.
        """
        for node in list(self.nodes.values())[::-1]:
            try:
                node.inactivate()
            except QemuError:
                self.activate()
                raise

    def activate(self) -> None:
        """Take all images over, what is underneath first.

        Raises:
            QemuError: one can't be had; those that come after it stay inactive.
        """
        self.opens_inactive = False
        for node in self.nodes.values():
            node.activate()

    def close(self) -> None:
        """Close all nodes, overlays before what is under them."""
        for node in list(self.nodes.values())[::-1]:
            if node.node_name in self.nodes:
                del self.nodes[node.node_name]
                node.close()

    def _discard(self, node: BlockNode) -> None:
        self.nodes.pop(node.node_name, None)
        node.close()

    def parents_of(self, node: BlockNode) -> list[BlockNode]:
        """The nodes that stand right over one, newest first."""
        return [other for other in list(self.nodes.values())[::-1] if node in other.children]

    def let_go(self, node: BlockNode) -> None:
        """As `remove_unused`, of a node whose last writes don't matter or were told to fail."""
        try:
            self.remove_unused(node)
        except QemuError:
            return  # it is closed all the same

    def migration_blockers(self) -> list[str]:
        """Why nodes keep the machine from being saved, the newest first."""
        reasons = [node.migration_blocker for node in list(self.nodes.values())[::-1]]
        return [reason for reason in reasons if reason]

    def find(self, name: str) -> BlockNode | None:
        """The node of this name."""
        return self.nodes.get(name)


def check_format(driver: str) -> None:
    """Raises: QemuError: there is no such format."""
    if driver in ("raw", "qcow2"):
        return
    from blockdev.foreign import FORMATS

    if driver not in FORMATS:
        raise QemuError(f"Unknown driver '{driver}'", errno.ENOENT)
