"""What an image has goes into the one under it: at once, or as a job on part of a chain."""

from __future__ import annotations

import errno

from blockdev.block_job import REPORT, BlockJob
from blockdev.chain import (
    allocation_above,
    backing_of,
    give_back,
    insert_filter,
    overlay_of,
    refresh_names,
    remove_filter,
    set_backing,
)
from blockdev.copying import CHUNK, PIECE, copy_piece
from blockdev.errors import QemuError
from blockdev.filter import JobFilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from blockdev.graph import Graph
    from blockdev.job import Rest
    from blockdev.jobs import Jobs
    from blockdev.node import BlockNode


def commit_now(top: BlockNode, report: Callable[[str], object]) -> Iterator[tuple[int, int]]:
    """Put what an image has into its backing file, and empty it.

    Yields how far it is: bytes of the disk, done and in all.

    Args:
        report: takes what is said besides the error.

    Raises:
        QemuError: nothing of the image is lost; the backing file may have a part of it.
    """
    backing = backing_of(top)
    if backing is None or top.is_filter:
        raise QemuError("Operation not supported", errno.ENOTSUP)
    try:
        top.check_op("commit-source")
        backing.check_op("commit-target")
    except QemuError as error:
        raise QemuError("Device or resource busy", errno.EBUSY) from error
    if top.read_only:
        report("Block node is read-only")
        raise QemuError("Operation not permitted", errno.EPERM)
    was_read_only = backing.read_only
    if was_read_only:
        try:
            backing.reopen(read_only=False)
        except QemuError as error:
            raise QemuError("Permission denied", errno.EACCES) from error
    try:
        yield from copy_down(top, backing)
        # First the copy is safe, then what it was made of goes: a crash in between leaves both.
        backing.flush()
        top.make_empty()
        top.flush()
    finally:
        if was_read_only:
            give_back(backing)


def copy_down(top: BlockNode, base: BlockNode) -> Iterator[tuple[int, int]]:
    """Copy what the images from one down to a base have, but for that, into the base.

    Yields how far it is: bytes of the disk, done and in all.
    """
    if top.size > base.size:
        base.truncate(top.size)
    offset = 0
    while offset < top.size:
        is_own, length = allocation_above(top, base, offset, min(PIECE, top.size - offset))
        if is_own:
            copy_piece(top, base, offset, length)
        offset += length
        yield offset, top.size


class CommitJob(BlockJob):
    """Puts images of a chain into one under them, while the disk goes on above.

    Args:
        active: the chain's root.
        top: the first image that goes.
        base: the image that takes what they have.
        backing_name: what the overlay is to call its backing file then; "" for the base's name.
    """

    type = "commit"

    def __init__(
        self,
        jobs: Jobs,
        graph: Graph,
        id: str,
        active: BlockNode,
        top: BlockNode,
        base: BlockNode,
        *,
        speed: int = 0,
        backing_name: str = "",
        on_error: str = REPORT,
        filter_name: str | None = None,
        finished: Callable[[], object] = lambda: None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        overlay = overlay_of(active, top)
        assert overlay is not None, "the active image is committed by a mirror"
        between = []
        node: BlockNode | None = top
        while node is not base and node is not None:
            between.append(node)
            node = backing_of(node)
        self.filter = JobFilter(filter_name or graph.new_name(), top, "commit_top")
        super().__init__(
            jobs,
            id,
            [*between, self.filter, base, overlay],
            speed=speed,
            auto_finalize=auto_finalize,
            auto_dismiss=auto_dismiss,
        )
        self.top = top
        self.base = base
        self.overlay = overlay
        self._graph = graph
        self._backing_name = backing_name
        self._on_error = on_error
        self._finished = finished
        self._made_writable: list[BlockNode] = []
        with self.undone_on_failure():
            for image in (base, overlay):
                if image.read_only:
                    image.reopen(read_only=False)
                    self._made_writable.append(image)
        insert_filter(graph, top, self.filter)

    def run(self) -> Generator[Rest, None, None]:
        top, base = self.top, self.base
        self.total = top.size
        if top.size > base.size:
            base.truncate(top.size)
        offset = 0
        while offset < top.size:
            size = min(CHUNK, top.size - offset)
            is_own, length = allocation_above(top, base, offset, size)
            if is_own:
                yield from self.attempt(
                    lambda at=offset, size=length: copy_piece(top, base, at, size),  # type: ignore[misc]
                    on_error=self._on_error,
                )
                yield from self.rested(length)
            else:
                self.current += length
                yield 0
            offset += length
        base.flush()

    def prepare(self) -> None:
        # The base has all of it, and is on the disk, before the overlay names it.
        graph, name = self._graph, self._backing_name or self.base.filename
        self._drop_filter()
        self.overlay.change_backing(name, self.base.driver)
        set_backing(graph, self.overlay, self.base)

    def _drop_filter(self) -> None:
        if self.filter.node_name in self._graph.nodes:
            remove_filter(self._graph, self.filter)

    def abort(self) -> None:
        self._drop_filter()

    def clean(self) -> None:
        super().clean()
        for image in self._made_writable:
            if image.node_name in self._graph.nodes:
                give_back(image)
        refresh_names(self._graph)
        self._finished()
