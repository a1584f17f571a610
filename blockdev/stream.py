"""A job that fetches what stands under an image into it, so that it no longer needs that."""

from __future__ import annotations

from blockdev.block_job import REPORT, BlockJob
from blockdev.chain import (
    allocation_above,
    backing_of,
    give_back,
    insert_filter,
    remove_filter,
    set_backing,
)
from blockdev.copying import CHUNK, read_piece
from blockdev.filter import JobFilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from blockdev.graph import Graph
    from blockdev.job import Rest
    from blockdev.jobs import Jobs
    from blockdev.node import BlockNode


class StreamJob(BlockJob):
    """Copies from the images between an image and a base into the image.

    Args:
        base: what stays under the image; None: nothing does.
        backing_name: what the image is to call that; "" for the base's name.
    """

    type = "stream"

    def __init__(
        self,
        jobs: Jobs,
        graph: Graph,
        id: str,
        node: BlockNode,
        base: BlockNode | None,
        *,
        speed: int = 0,
        backing_name: str = "",
        on_error: str = REPORT,
        filter_name: str | None = None,
        finished: Callable[[], object] = lambda: None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        between = []
        below = backing_of(node)
        while below is not None and below is not base:
            between.append(below)
            below = backing_of(below)
        self.filter = JobFilter(filter_name or graph.new_name(), node, "copy-on-read")
        super().__init__(
            jobs,
            id,
            [node, self.filter, *between],
            speed=speed,
            auto_finalize=auto_finalize,
            auto_dismiss=auto_dismiss,
        )
        self.node = node
        self.base = base
        self._graph = graph
        self._backing_name = backing_name
        self._on_error = on_error
        self._finished = finished
        self._was_read_only = node.read_only
        with self.undone_on_failure():
            if self._was_read_only:
                node.reopen(read_only=False)
        insert_filter(graph, node, self.filter)

    def run(self) -> Generator[Rest, None, None]:
        node = self.node
        if backing_of(node) is self.base:
            return
        self.total = node.size
        offset = 0
        while offset < node.size:
            size = min(CHUNK, node.size - offset)
            is_own, length = node.allocation(offset, size)
            is_below = False
            if not is_own:
                below = backing_of(node)
                assert below is not None, "looked at before"
                is_below, length = allocation_above(below, self.base, offset, length)
            if is_below:
                yield from self.attempt(
                    lambda at=offset, size=length: self._fetch(at, size),  # type: ignore[misc]
                    on_error=self._on_error,
                )
                yield from self.rested(length)
            else:
                self.current += length
                yield 0
            offset += length

    def _fetch(self, offset: int, size: int) -> None:
        self.node.keep(offset, read_piece(self.node, offset, size))

    def prepare(self) -> None:
        node, base = self.node, self.base
        self._drop_filter()
        if backing_of(node) is base:
            return
        # All of it is on the disk before the image stops naming where it came from.
        node.flush()
        name = (self._backing_name or base.filename) if base is not None else ""
        node.change_backing(name, base.driver if base is not None else "")
        set_backing(self._graph, node, base)

    def _drop_filter(self) -> None:
        if self.filter.node_name in self._graph.nodes:
            remove_filter(self._graph, self.filter)

    def abort(self) -> None:
        self._drop_filter()

    def clean(self) -> None:
        super().clean()
        if self._was_read_only:
            give_back(self.node)
        self._finished()
