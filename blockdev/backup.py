"""A job that copies a disk as it is when the job begins; what is written then doesn't reach it."""

from __future__ import annotations

from blockdev.block_job import REPORT, BlockJob
from blockdev.chain import insert_filter, remove_filter
from blockdev.copying import PIECE, is_zero, read_piece
from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import QemuError
from blockdev.filter import FilterNode
from blockdev.job_states import PAUSED
from blockdev.node_bitmap import NodeBitmap, anonymous, merge_marks
from blockdev.status import ZERO, length_of, status_above

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from blockdev.file import Buffer
    from blockdev.graph import Graph
    from blockdev.job import Rest
    from blockdev.jobs import Jobs
    from blockdev.node import BlockNode

MIN_CLUSTER = 65536
# What becomes of the bitmap that a job goes by.
ON_SUCCESS, NEVER, ALWAYS = BITMAP_MODES = ("on-success", "never", "always")


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
        size = length_of(file)
        self.missing = DirtyBitmap(size, cluster)
        self.compress = False
        self._cluster = cluster
        # QEMU tells of these: what was saved so far, and what may be looked at.
        self._saved = anonymous(self, cluster, is_recording=False)
        anonymous(self, cluster, is_recording=False).marks.mark(0, size)

    @property
    def children(self) -> list[BlockNode]:
        return [self.file, self.target]

    def copy(self, offset: int, size: int) -> None:
        """Copy whole clusters, alike or not."""
        while size > 0:
            is_empty, length = self.alike(offset, size)
            self.copy_alike(offset, length, is_empty=is_empty)
            offset += length
            size -= length

    def alike(self, offset: int, size: int) -> tuple[bool, int]:
        """Whether clusters read as zeros, as far as the image says, and how many bytes do alike."""
        found = status_above(self.file, None, offset, size)
        length = found.length
        if length < self._cluster:
            return False, min(self._cluster, size)
        if offset + length < length_of(self.file):
            length -= length % self._cluster
        return bool(found.flags & ZERO), min(size, -(-length // self._cluster) * self._cluster)

    def copy_alike(self, offset: int, size: int, *, is_empty: bool) -> None:
        """Copy clusters that are all data, or all empty."""
        size = min(size, length_of(self.file) - offset)
        data = b"" if is_empty else read_piece(self.file, offset, size)
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
        self._saved.marks.mark(offset, size)

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
        bitmap: a bitmap of the source: what the job does goes into it at the end.
        goes_by_bitmap: only what it says is copied.
        bitmap_mode: one of `BITMAP_MODES`: when it forgets what was copied.
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
        bitmap: NodeBitmap | None = None,
        goes_by_bitmap: bool = False,
        bitmap_mode: str = NEVER,
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
        self._bitmap: NodeBitmap | None = None
        self._bitmap_mode = bitmap_mode
        self._shown: NodeBitmap | None = None
        with self.undone_on_failure():
            target.set_exclusive(True)
        if bitmap is not None:
            bitmap.freeze(source)
            self._bitmap = bitmap
        missing = self.filter.missing
        self._shown = NodeBitmap("", missing, length_of(source), is_recording=False)
        source.dirty_bitmaps.append(self._shown)
        insert_filter(graph, source, self.filter)
        # Marked before anybody can write; what lacks nothing is taken off in `run`.
        if goes_by_bitmap:
            assert bitmap is not None
            merge_marks(missing, bitmap.marks, length_of(source))
        elif top_only:
            self._mark_own()
        else:
            missing.mark(0, length_of(source))
        self.total = missing.bytes_inside(length_of(source))

    def enter(self) -> None:
        super().enter()
        # QEMU holds the disk, and so the job, until the job has its place over it; and tells.
        self.follow(PAUSED)

    def go(self) -> None:
        super().go()
        if not self.total:
            # So long that there is nothing left to do before whoever began it answers.
            self.finish()

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
            if missing.count:
                yield from self.limited()
        self.target.flush()

    def _copy_next(self) -> None:
        """Copy the first bytes that are missing; after a failure they still are."""
        # Looked for anew each time: while the job waited for the user to mend the target, the
        # guest may have written there, and the old data is in the target already then.
        self._copied = 0
        missing = self.filter.missing
        run = missing.take_run(PIECE)
        if run is not None:
            offset, size = run
            try:
                is_empty, length = self.filter.alike(offset, size)
                self.filter.copy_alike(offset, length, is_empty=is_empty)
            except QemuError:
                missing.mark(offset, size)
                raise
            missing.mark(offset + length, size - length)
            self._copied = length

    def commit(self) -> None:
        self._settle_bitmap(succeeded=True)
        self._drop_filter()

    def abort(self) -> None:
        self._settle_bitmap(succeeded=False)
        self._drop_filter()

    def _settle_bitmap(self, *, succeeded: bool) -> None:
        """Let the bitmap say what the next backup has to copy."""
        bitmap, self._bitmap = self._bitmap, None
        if bitmap is None:
            return
        mode, source = self._bitmap_mode, self.source
        if mode == NEVER or (mode == ON_SUCCESS and not succeeded):
            bitmap.reclaim(source)
            return
        bitmap = bitmap.abdicate(source)
        if not succeeded:
            merge_marks(bitmap.marks, self.filter.missing, bitmap.size)

    def _drop_filter(self) -> None:
        if self.filter.node_name in self._graph.nodes:
            remove_filter(self._graph, self.filter)

    def clean(self) -> None:
        super().clean()
        if self._shown is not None:
            self.source.dirty_bitmaps.remove(self._shown)
            self._shown = None
        self._finished()
