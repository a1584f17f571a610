"""How fast the guest writes its memory: `calc_dirty_rate`'s measurement."""

from __future__ import annotations

import time

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import QemuError
from machine.memory import PAGE_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.loop import MainLoop
    from machine.memory import Memory, RamBlock

SAMPLING = "page-sampling"
BITMAP = "dirty-bitmap"
RING = "dirty-ring"

UNSTARTED = "unstarted"
MEASURING = "measuring"
MEASURED = "measured"

DEFAULT_SAMPLE_PAGES = 512
_PERIODS = (1, 60)  # seconds
_SAMPLE_PAGES = (128, 16384)  # of a GiB
_SMALLEST_SAMPLED = 128 << 20  # QEMU takes no samples from smaller RAM blocks


class DirtyRate:
    """The last measurement; its sentences are QEMU's.

    Every page written is counted in every mode: no samples are needed where writes are known.

    Args:
        memory: of the machine.
        loop: whose timer ends a measurement.
        now_ns: the host's monotonic clock.

    Attributes:
        status: `UNSTARTED`, `MEASURING` or `MEASURED`.
        mode: `SAMPLING`, `BITMAP` or `RING`.
        started: the clock's seconds when it began.
        sample_pages: how many pages of a GiB were asked for.
        period: seconds.
        rate: MiB a second; -1 while there was nothing to measure.
    """

    def __init__(
        self, memory: Memory, loop: MainLoop, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._memory = memory
        self._loop = loop
        self._now_ns = now_ns
        self._bitmaps: list[tuple[RamBlock, DirtyBitmap]] = []
        self.status = UNSTARTED
        self.mode = SAMPLING
        self.started = 0
        self.sample_pages = 0
        self.period = 0
        self.rate = -1

    def start(self, mode: str, period: int, sample_pages: int = DEFAULT_SAMPLE_PAGES) -> None:
        """Measure for so many seconds from now.

        Raises:
            QemuError: it is being measured already, or a number is out of range.
        """
        if self.status == MEASURING:
            raise QemuError("the dirty rate is already being measured.")
        _check("calc-time", period, _PERIODS)
        _check("sample-pages", sample_pages, _SAMPLE_PAGES)
        if mode == RING:  # what only KVM has
            raise QemuError(f"mode {mode} is not enabled, use other method instead.")
        begin = self._now_ns()
        self.status = MEASURING
        self.mode = mode
        self.started = begin // 1_000_000_000
        self.sample_pages = sample_pages
        self.period = period
        self.rate = -1
        for block in self._memory.blocks:
            if mode == BITMAP or block.size >= _SMALLEST_SAMPLED:
                bitmap = DirtyBitmap(block.size, PAGE_SIZE)
                block.dirty_bitmaps.append(bitmap)
                self._bitmaps.append((block, bitmap))
        self._loop.call_at(begin + period * 1_000_000_000, lambda: self._finish(begin))

    def _finish(self, begin: int) -> None:
        milliseconds = max(1, (self._now_ns() - begin) // 1_000_000)
        pages = 0
        for block, bitmap in self._bitmaps:
            block.dirty_bitmaps.remove(bitmap)
            pages += bitmap.count
        self._bitmaps.clear()
        if self._memory.blocks:
            self.rate = (pages * PAGE_SIZE >> 20) * 1000 // milliseconds
        self.status = MEASURED


def _check(name: str, value: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if not low <= value <= high:
        raise QemuError(f"{name} is out of range[{low}, {high}].")
