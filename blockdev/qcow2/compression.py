"""Many clusters compressed at once, in threads, and written in order."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.qcow2.compressed import compress
from blockdev.qcow2.packing import write_packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import TracebackType

    from blockdev.qcow2.image import Image

_WAITING = 32  # clusters that threads may have at once


class Compressor:
    """Compresses clusters in threads and writes them in the order in which they came."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._size = image.cluster_size
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[int, bytes, Future[bytes | None]]] | None = None

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

    def add(self, guest_offset: int, data: bytes) -> None:
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

    def _packed(self, data: bytes) -> bytes | None:
        whole = data.ljust(self._size, b"\0")
        return compress(whole, self._image.compression_type)

    def _write_first(self) -> None:
        assert self._waiting is not None
        guest_offset, data, packed = self._waiting.popleft()
        try:
            self._image.begin_change()
            self._image.mark_dirty(guest_offset, len(data))
            write_packed(self._image.metadata, guest_offset, data, packed.result())
        except QemuError as error:
            text = f"error while writing at byte {guest_offset}: {error}"
            raise QemuError(text, error.errno_value) from error

    def finish(self) -> None:
        """Write all that was added."""
        while self._waiting:
            self._write_first()
