"""An image as hmp-io has it: opened by itself, with all that its format can do."""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from hmp.tools.image_source import ImageSource, cache_mode
from hmp.tools.io_target import PIECE, IoTarget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blockdev.file import Buffer
    from blockdev.node import BlockNode
    from blockdev.qcow2.mapping import Mapping
    from hmp.tools.program import Program


class OpenOptions:
    """How an image is opened.

    Attributes:
        by_options: its name is a list of options.
        cache: the name of a cache mode.
        is_temporary: writes go to a file that nobody sees afterwards.
        copies_on_read: what is read from a backing file is written to the image.
        uses_kernel: ``native`` requests were asked for.
        unmaps: a discard gives clusters back.
    """

    def __init__(self) -> None:
        self.format: str | None = None
        self.by_options = False
        self.read_only = False
        self.force_share = False
        self.cache = "writeback"
        self.is_temporary = False
        self.copies_on_read = False
        self.uses_kernel = False
        self.unmaps = True


class ImageTarget(IoTarget):
    """The image of a session, or none yet.

    Args:
        program: says what the depths have to say.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(None)
        self._program = program
        self._source: ImageSource | None = None
        self._options = OpenOptions()

    @property
    def is_open(self) -> bool:
        """Whether there is an image."""
        return self.node is not None

    @property
    def is_read_only(self) -> bool:
        options = self._options
        return super().is_read_only or (options.is_temporary and options.read_only)

    def open(
        self, name: str, options: OpenOptions, driver_options: dict[str, str] | None = None
    ) -> None:
        """Open an image.

        Args:
            name: of a file, or a list of options; "" if `driver_options` tell all.
            driver_options: flat (``file.filename``).

        Raises:
            QemuError: it can't be; the name stands before the reason.
        """
        mode = cache_mode(options.cache)
        assert mode is not None, "checked when it was read"
        cache, writes_through = mode
        source = ImageSource(self._program)
        try:
            if options.uses_kernel and not cache.direct:
                raise QemuError(
                    "aio=native was specified, but it requires cache.direct=on, which was not "
                    "specified."
                )
            node = source.open(
                name,
                format=options.format,
                by_options=options.by_options,
                options=driver_options,
                read_only=options.read_only or options.is_temporary,
                force_share=options.force_share,
                cache=cache,
            )
            if options.is_temporary:
                node = _overlay(source, node)
        except QemuError as error:
            source.close()
            shown = f" device {name}" if name and not options.by_options else ""
            raise QemuError(f"can't open{shown}: {_bare(name, error)}") from error
        self.node, self._source, self._options = node, source, options
        self.write_through = writes_through

    def close(self) -> None:
        """Close the image.

        Raises:
            QemuError: what was to be written can't be.
        """
        source, self.node, self._source = self._source, None, None
        if source is not None:
            source.close()

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        node = self._check(offset, size)
        if self._options.copies_on_read and node.backing is not None and not node.read_only:
            self._copy_up(node, offset, size)
        yield from super().read(offset, size)

    def _copy_up(self, node: BlockNode, offset: int, size: int) -> None:
        """Write to the image what it lacks of some clusters."""
        cluster = max(node.cluster_size, 1)
        end = min(-(-(offset + size) // cluster) * cluster, node.size)
        offset -= offset % cluster
        while offset < end:
            is_own, length = node.allocation(offset, min(PIECE, end - offset))
            if not is_own:
                node.write(offset, [node.read(offset, length)])
            offset += length

    def write_zeros(
        self, offset: int, size: int, *, through: bool, may_be_slow: bool, may_unmap: bool = False
    ) -> None:
        node = self._check(offset, size)
        node.write_zeroes(offset, size, may_unmap=may_unmap and self._options.unmaps)
        if through or self.write_through:
            node.flush()

    def discard(self, offset: int, size: int) -> None:
        node = self._check(offset, size)
        if node.read_only:
            raise QemuError("Operation not permitted", errno.EPERM)
        if self._options.unmaps:
            node.discard(offset, size)

    def reopen(self, *, read_only: bool | None, cache: str, options: Sequence[str]) -> None:
        node = self.medium()
        for option in options:
            if not _is_tunable(node, option):
                raise QemuError(f"Cannot change the option '{option}'")
        if read_only is not None and read_only != node.read_only:
            node.reopen(read_only=read_only)
        mode = cache_mode(cache) if cache else None
        if mode is not None:
            node.cache, self.write_through = mode

    def read_vmstate(self, offset: int, size: int) -> Iterator[bytes]:
        mapping, start = _vmstate(self.medium())
        yield mapping.read(start + offset, size)

    def write_vmstate(self, offset: int, buffers: Sequence[Buffer]) -> None:
        node = self.medium()
        _, start = _vmstate(node)
        _cover(node, start + offset + sum(map(len, buffers)))
        mapping, _ = _vmstate(node)
        mapping.write(start + offset, buffers)


def _bare(name: str, error: QemuError) -> str:
    """A reason without the name that another sentence has already."""
    return str(error).removeprefix(f"Could not open '{name}': ")


def _is_tunable(node: BlockNode, option: str) -> bool:
    """Whether an option only tells how an image is dealt with, not what it is."""
    from machine.drive_options import QCOW2_SETTINGS

    common = ("discard", "detect-zeroes", "read-only", "cache.direct", "cache.no-flush")
    return option in common or (node.driver == "qcow2" and option in QCOW2_SETTINGS)


def _vmstate(node: BlockNode) -> tuple[Mapping, int]:
    """The mapping that has an image's machine state, and where that begins."""
    from blockdev.qcow2.header import l1_entries_for
    from blockdev.qcow2.image import Image

    if not isinstance(node, Image):
        raise QemuError("Operation not supported", errno.ENOTSUP)
    span_bits = node.layout.span_bits
    return node.metadata.active, l1_entries_for(node.size, span_bits) << span_bits


def _cover(node: BlockNode, end: int) -> None:
    """See that the image's L1 table reaches so far."""
    from blockdev.qcow2.header import l1_entries_for
    from blockdev.qcow2.image import Image
    from blockdev.qcow2.resize import grow_l1

    assert isinstance(node, Image)
    entries = l1_entries_for(end, node.layout.span_bits)
    if entries > len(node.metadata.active.l1):
        node.write_back()
        grow_l1(node.metadata, entries, node.size)


def _overlay(source: ImageSource, node: BlockNode) -> BlockNode:
    """A new image over another one; its file is gone by name at once."""
    import os
    import tempfile

    from blockdev.node import CacheMode
    from blockdev.qcow2.create import create_image

    folder = tempfile.mkdtemp(prefix="hmp-io-")
    name = os.path.join(folder, "overlay")
    try:
        create_image(name, node.size)
        return source.graph.open_image(
            name,
            driver="qcow2",
            read_only=False,
            cache=CacheMode(no_flush=True),
            is_literal=True,
            open_backing=lambda: node,
        )
    finally:
        if os.path.exists(name):
            os.unlink(name)
        os.rmdir(folder)
