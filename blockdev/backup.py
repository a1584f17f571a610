"""A job that copies a disk as it is when the job begins; what is written then doesn't reach it."""

from __future__ import annotations

from blockdev.block_job import REPORT, BlockJob
from blockdev.chain import insert_filter, remove_filter
from blockdev.copying import PIECE, is_zero, read_piece
from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import QemuError
from blockdev.filter import FilterNode
from blockdev.jobs import PAUSED, RUNNING
from blockdev.status import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from blockdev.file import Buffer
    from blockdev.graph import Graph
    from blockdev.jobs import Jobs, Rest
    from blockdev.node import BlockNode

MIN_CLUSTER = 65536


class CopyBeforeWrite(FilterNode):
    """Stands over a disk while it is copied: what is about to be written is copied first.

    Args:
        target: takes the copy.
        cluster: bytes that are copied at a time.

    Attributes:
        missing: what is still to be copied.
        compress: whether the target is to have it compressed.
    """

    driver = "copy-before-write"
    is_named_as_child = True

    def __init__(self, node_name: str, file: BlockNode, target: BlockNode, cluster: int) -> None:
        super().__init__(node_name, file)
        self.target = target
        self.missing = DirtyBitmap(length_of(file), cluster)
        self.compress = False
        self._cluster = cluster

    @property
    def children(self) -> list[BlockNode]:
        return [self.file, self.target]

    def copy(self, offset: int, size: int) -> None:
        """Copy whole clusters."""
        size = min(size, length_of(self.file) - offset)
        data = read_piece(self.file, offset, size)
        if is_zero(data):
            self.target.write_zeroes(offset, size, may_unmap=True)
        elif self.compress:
            for start in range(0, size, self._cluster):
                self.target.write_compressed(offset + start, data[start : start + self._cluster])
        else:
            self.target.write(offset, [data])

    def _save(self, offset: int, size: int) -> None:
        """Copy what is about to be lost."""
        for run in self.missing.take_inside(offset, size):
            try:
                self.copy(*run)
            except QemuError:
                self.missing.mark(*run)
                raise

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        self._save(offset, sum(map(len, buffers)))
        super().write(offset, buffers)

    def write_zeroes(self, offset: int, size: int, *, may_unmap: bool = False) -> None:
        self._save(offset, size)
        super().write_zeroes(offset, size, may_unmap=may_unmap)

    def discard(self, offset: int, size: int) -> None:
        self._save(offset, size)
        super().discard(offset, size)


class BackupJob(BlockJob):
    """Copies a disk to a target of its size.

    Args:
        top_only: only what the top image itself has is copied.
        compress: the target is to have it compressed.
    """

    type = "backup"

    def __init__(
        self,
        jobs: Jobs,
        graph: Graph,
        id: str,
        source: BlockNode,
        target: BlockNode,
        *,
        top_only: bool,
        compress: bool = False,
        speed: int = 0,
        on_source_error: str = REPORT,
        on_target_error: str = REPORT,
        filter_name: str | None = None,
        finished: Callable[[], object] = lambda: None,
        auto_finalize: bool = True,
        auto_dismiss: bool = True,
    ) -> None:
        cluster = max(MIN_CLUSTER, target.cluster_size)
        self.filter = CopyBeforeWrite(filter_name or graph.new_name(), source, target, cluster)
        self.filter.compress = compress
        super().__init__(
            jobs,
            id,
            [source, self.filter, target],
            speed=speed,
            auto_finalize=auto_finalize,
            auto_dismiss=auto_dismiss,
        )
        self.source = source
        self.target = target
        self._graph = graph
        self._on_source_error = on_source_error
        self._on_target_error = on_target_error
        self._finished = finished
        self._copied = 0
        with self.undone_on_failure():
            target.set_exclusive(True)
        insert_filter(graph, source, self.filter)
        # Marked before anybody can write; what lacks nothing is taken off in `run`.
        if top_only:
            self._mark_own()
        else:
            self.filter.missing.mark(0, length_of(source))
        self.total = self.filter.missing.bytes_inside(length_of(source))

    def start(self) -> None:
        super().start()
        # QEMU holds the disk, and so the job, until the job has its place over it; and tells.
        self._follow(PAUSED)
        self._follow(RUNNING)

    def _mark_own(self) -> None:
        offset, source = 0, self.source
        while offset < source.size:
            is_own, size = source.allocation(offset, source.size - offset)
            if is_own:
                self.filter.missing.mark(offset, size)
            offset += size

    def run(self) -> Generator[Rest, None, None]:
        missing = self.filter.missing
        while missing.count:
            yield from self.attempt(
                self._copy_next,
                on_error=self._on_target_error,
                on_read_error=self._on_source_error,
            )
            self.current = self.total - missing.bytes_inside(length_of(self.source))
            self.limit.count(self._copied)
            yield self.limit.delay_ns()
        self.target.flush()

    def _copy_next(self) -> None:
        """Copy the first bytes that are missing; after a failure they still are."""
        # Looked for anew each time: while the job waited for the user to mend the target, the
        # guest may have written there, and the old data is in the target already then.
        self._copied = 0
        run = self.filter.missing.take_run(PIECE)
        if run is not None:
            try:
                self.filter.copy(*run)
            except QemuError:
                self.filter.missing.mark(*run)
                raise
            self._copied = run[1]

    def commit(self) -> None:
        self._drop_filter()

    def abort(self) -> None:
        self._drop_filter()

    def _drop_filter(self) -> None:
        if self.filter.node_name in self._graph.nodes:
            remove_filter(self._graph, self.filter)

    def clean(self) -> None:
        super().clean()
        self._finished()
