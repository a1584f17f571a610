"""Writing clusters in compressed form.

Compressed clusters are put one right behind the other, so that several share a host cluster, and
one may reach into the next if that follows at once; each counts as a reference to every host
cluster that it touches.
Source: qcow2 specification, "Compressed Clusters Descriptor".
"""

from __future__ import annotations

import errno

from blockdev.errors import QemuError
from blockdev.qcow2.compressed import compress
from blockdev.qcow2.entries import COMPRESSED, COPIED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import TracebackType

    from blockdev.qcow2.image import Image

_SECTOR = 512
_WAITING = 32  # clusters that threads may have at once


class CompressedWriter:
    """Puts compressed clusters into an image; it knows where the last one ended."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._free = 0  # host offset behind the last one, 0 where a cluster ended with it

    def write(self, guest_offset: int, data: bytes | memoryview, packed: bytes | None) -> None:
        """Write one cluster.

        Args:
            guest_offset: a multiple of the cluster size.
            data: its content; the disk may end in it.
            packed: that compressed; None where that would be no smaller.

        Raises:
            QemuError: the cluster has data of its own already, or the file can't be written.
        """
        image = self._image
        image.begin_change()
        image.mark_dirty(guest_offset, len(data))
        if packed is None:
            image.metadata.active.write(guest_offset, [data])
            return
        active = image.metadata.active
        table, index = active.own_entry(guest_offset)
        old = active.reference(table, index, guest_offset)
        words = image.layout.words
        if table.words[index * words] & COPIED:
            # Compressed data can't take the place of what is there.
            raise QemuError("Input/output error", errno.EIO)
        offset = self._place(len(packed))
        image.file.write(offset, [packed])
        sectors = (offset + len(packed) - 1) // _SECTOR - offset // _SECTOR
        entry = COMPRESSED | offset | sectors << image.layout.size_shift
        table.set(index * words, [entry] if words == 1 else [entry, 0])
        if old is not None:
            image.metadata.allocator.free_later(old[1])

    def _place(self, size: int) -> int:
        """Count room for some bytes; the host offset."""
        metadata = self._image.metadata
        cluster_size, allocator = metadata.cluster_size, metadata.allocator
        offset = self._free
        if offset and metadata.refcounts.get(offset // cluster_size) == metadata.refcounts.maximum:
            offset = 0
        room = -offset % cluster_size if offset else 0
        if offset and room >= size:
            allocator.count_up((offset // cluster_size, 1))
        else:
            cluster, _ = allocator.allocate(1, exactly=True)
            metadata.guard.check(cluster, 1)
            if offset and -(-offset // cluster_size) == cluster:
                allocator.count_up((offset // cluster_size, 1))
            else:
                offset = cluster * cluster_size
        end = offset + size
        self._free = end if end % cluster_size else 0
        return offset


class Compressor:
    """Compresses clusters in threads and writes them in the order in which they came."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._size = image.cluster_size
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[int, bytes | memoryview, Future[bytes | None]]] | None = None

    def __enter__(self) -> Compressor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
                self._image.align_file()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def add(self, guest_offset: int, data: bytes | memoryview) -> None:
        """Compress a cluster, of which the last one may be short; it is written later."""
        if self._pool is None or self._waiting is None:
            import os
            from collections import deque
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
            self._waiting = deque()
        if len(self._waiting) == _WAITING:
            self._write_first()
        self._waiting.append((guest_offset, data, self._pool.submit(self._packed, data)))

    def _packed(self, data: bytes | memoryview) -> bytes | None:
        whole = bytes(data).ljust(self._size, b"\0")
        return compress(whole, self._image.compression_type)

    def _write_first(self) -> None:
        assert self._waiting is not None
        guest_offset, data, packed = self._waiting.popleft()
        try:
            self._image.compressed_writer.write(guest_offset, data, packed.result())
        except QemuError as error:
            text = f"error while writing at byte {guest_offset}: {error}"
            raise QemuError(text, error.errno_value) from error

    def finish(self) -> None:
        """Write all that was added."""
        while self._waiting:
            self._write_first()
