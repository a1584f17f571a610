"""A job that keeps a copy of a disk, until the disk goes on in the copy.

It is also what commits the active image of a chain, which guests go on writing to.
"""

from __future__ import annotations

import errno

from blockdev.block_job import REPORT, BlockJob
from blockdev.chain import (
    allocation_above,
    give_back,
    insert_filter,
    remove_filter,
    replace,
    set_backing,
)
from blockdev.copying import PIECE, copy_piece
from blockdev.errors import QemuError
from blockdev.filter import JobFilter
from blockdev.node_bitmap import anonymous
from blockdev.status import DATA, ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from blockdev.graph import Graph
    from blockdev.job import Rest
    from blockdev.jobs import Jobs
    from blockdev.node import BlockNode

MIN_GRANULARITY, MAX_GRANULARITY = 4096, 65536
_IDLE_NS = 100_000_000  # QEMU looks for new writes as often
_BURST = 16 << 20  # bytes
_LOOKS_AT_ONCE = 256  # how many ranges are asked about in a step

# What stands under the copy in the end.
LEAVE, SOURCE_CHAIN, OPEN_CHAIN = "leave", "source chain", "open chain"


class MirrorJob(BlockJob):
    """Copies a disk and then what is written to it.

    Args:
        source: the disk's root node; writes to it go on meanwhile.
        target: takes the copy; the job closes it if nobody uses it afterwards.
        base: what it and the images under it have isn't copied; None: everything is.
        zero_target: the target may hold something that the source lacks.
        backing_mode: what stands under the target in the end.
        filter_name: of the node that stands over the source meanwhile.
        open_backing: gives the backing file that the target names.
        finished: called when the job is over.
    """

    type = "mirror"
    can_complete = True

    def __init__(
        self,
        jobs: Jobs,
        graph: Graph,
        id: str,
        source: BlockNode,
        target: BlockNode,
        *,
        base: BlockNode | None,
        speed: int = 0,
        granularity: int = 0,
        zero_target: bool = False,
        backing_mode: str = SOURCE_CHAIN,
        on_source_error: str = REPORT,
        on_target_error: str = REPORT,
        replaces: BlockNode | None = None,
        filter_name: str | None = None,
        open_backing: Callable[[], BlockNode | None] = lambda: None,
        finished: Callable[[], object] = lambda: None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        self.source = source
        self.target = target
        self.top = JobFilter(filter_name or graph.new_name(), source, "mirror_top")
        self.top.read_only = False  # as QEMU has it, whatever the source is
        super().__init__(
            jobs,
            id,
            [source, self.top, target],
            speed=speed,
            auto_finalize=auto_finalize,
            auto_dismiss=auto_dismiss,
        )
        self._graph = graph
        self._base = base
        self._zero_target = zero_target
        self._backing_mode = backing_mode
        self._on_source_error = on_source_error
        self._on_target_error = on_target_error
        self._replaces = replaces
        self._open_backing = open_backing
        self._finished = finished
        self._is_to_complete = False
        if not granularity:
            granularity = target.cluster_size or MAX_GRANULARITY
            granularity = max(MIN_GRANULARITY, min(MAX_GRANULARITY, granularity))
        # The target has whole clusters only: what is left of one isn't in it otherwise.
        granularity = max(granularity, target.cluster_size)
        self._shown = anonymous(source, granularity)
        self._dirty = self._shown.marks
        target.parents += 1
        with self.undone_on_failure():
            self._keep_readers_off(True)
        insert_filter(graph, source, self.top)

    def _keep_readers_off(self, is_exclusive: bool) -> None:
        self.target.set_exclusive(is_exclusive)

    # --- the work

    def run(self) -> Generator[Rest, None, None]:
        self._fit_sizes()
        if not self.source.size:
            self.make_ready()
        else:
            yield from self._mark_allocated()
            self._count()
        while True:
            if self._dirty.count:
                yield from self._copy_next()
                continue
            if not self.is_ready:
                yield from self.attempt(self.target.flush, on_error=self._on_target_error)
                self._count()
                self.make_ready()
            if self._is_to_complete or self.is_cancel_requested:
                return
            yield _IDLE_NS
            self._count()

    def _fit_sizes(self) -> None:
        if length_of(self.source) != length_of(self.target):
            raise QemuError("Source and target image have different sizes", errno.EINVAL)

    def _mark_allocated(self) -> Generator[Rest, None, None]:
        """Find what is to be copied."""
        source, offset, looks = self.source, 0, 0
        total = length_of(source)
        while offset < total:
            size = total - offset
            is_own = True
            if not self._zero_target:
                is_own, size = allocation_above(source, self._base, offset, size)
            if is_own:
                self._dirty.mark(offset, size)
            offset += size
            looks += 1
            if looks % _LOOKS_AT_ONCE == 0:
                yield 0

    def _count(self) -> None:
        self.total = self.current + self._dirty.bytes_inside(length_of(self.source))

    def _copy_next(self) -> Generator[Rest, None, None]:
        done = 0
        while done < _BURST and (run := self._dirty.take_run(PIECE)):
            offset, size = run
            try:
                yield from self.attempt(
                    lambda at=offset, size=size: self._copy(at, size),  # type: ignore[misc]
                    on_error=self._on_target_error,
                    on_read_error=self._on_source_error,
                )
            except QemuError:
                self._dirty.mark(offset, size)
                raise
            size = min(size, length_of(self.source) - offset)
            done += size
            self.current += size
            self._count()
            yield 0
        # QEMU's mirror looks at its speed as seldom.
        self.limit.count(done)
        if delay := self.limit.delay_ns():
            yield delay

    def _copy(self, offset: int, size: int) -> None:
        """Copy whole pieces; what the images say is empty takes no room in the target."""
        granularity = self._dirty.granularity
        while size > 0:
            found = status_above(self.source, None, offset, size)
            length = found.length
            is_data = bool(found.flags & DATA)
            if length < granularity:
                length, is_data = min(granularity, size), True
            elif offset + length < length_of(self.source):
                length -= length % granularity
            else:
                length = size
            if is_data or not found.flags & ZERO:
                copy_piece(self.source, self.target, offset, length)
            else:
                end = min(offset + length, length_of(self.source), length_of(self.target))
                self.target.write_zeroes(offset, end - offset, may_unmap=True)
            offset += length
            size -= length

    # --- what it is asked

    def completed(self) -> None:
        if self._backing_mode == OPEN_CHAIN and self.target.backing is None:
            backing = self._open_backing()
            if backing is not None:
                set_backing(self._graph, self.target, backing)
        self._is_to_complete = True

    def soft_cancel(self) -> bool:
        return True

    # --- the end

    def prepare(self) -> None:
        # What was written since the last look; nobody writes between this and `commit`.
        while run := self._dirty.take_run(PIECE):
            self._copy(*run)
        self.target.flush()

    def commit(self) -> None:
        if self._is_to_complete:
            self._switch()

    def _switch(self) -> None:
        """Let all that use the source go on in the target."""
        graph = self._graph
        if self._backing_mode == SOURCE_CHAIN:
            backing = self._base or None
            if self.target.backing is not backing:
                set_backing(graph, self.target, backing)
        self._drop_top()
        self._keep_readers_off(False)
        replace(graph, self._replaces or self.source, self.target)

    def _drop_top(self) -> None:
        if self.top.node_name in self._graph.nodes:
            # The node stays until its holders are gone.
            self.source.parents += 1
            remove_filter(self._graph, self.top)
            self.source.parents -= 1

    def abort(self) -> None:
        self._drop_top()

    def clean(self) -> None:
        super().clean()
        self._drop_top()
        self.source.dirty_bitmaps.remove(self._shown)
        self.target.parents -= 1
        self._finished()
        graph = self._graph
        for node in (self.target, self.source):
            graph.let_go(node)


class ActiveCommitJob(MirrorJob):
    """Copies what the images above a base have down into it; then the disk goes on there."""

    type = "commit"
    _base_goes_on = False

    def _keep_readers_off(self, is_exclusive: bool) -> None:
        """The base has readers above it."""

    def _fit_sizes(self) -> None:
        if self.source.size > self.target.size:
            self.target.truncate(self.source.size)

    def _switch(self) -> None:
        super()._switch()
        self._base_goes_on = True

    def clean(self) -> None:
        super().clean()
        # What is under images again is only read; the job has written it back.
        if not self._base_goes_on and self.target.parents:
            give_back(self.target)
