"""A drive as a guest device or the monitor sees it: QEMU's BlockBackend."""

from __future__ import annotations

import errno
import time

from blockdev.errors import QemuError
from blockdev.node import CacheMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockdev.file import Buffer
    from blockdev.latency import LatencyHistogram
    from blockdev.node import BlockNode
    from blockdev.throttle import Throttle


class BackendStats:
    """What went through a backend: bytes, operations, and the time they took in ns."""

    __slots__ = (
        "flush_operations",
        "flush_total_ns",
        "histograms",
        "last_access_ns",
        "rd_bytes",
        "rd_operations",
        "rd_total_ns",
        "wr_bytes",
        "wr_operations",
        "wr_total_ns",
    )

    def __init__(self) -> None:
        self.rd_bytes = self.wr_bytes = 0
        self.rd_operations = self.wr_operations = self.flush_operations = 0
        self.rd_total_ns = self.wr_total_ns = self.flush_total_ns = 0
        self.last_access_ns: int | None = None
        self.histograms: dict[str, LatencyHistogram] = {}  # of "read", "write", "flush"

    def count_latency(self, kind: str, ns: int) -> int:
        """Count how long a request took; the time again."""
        if kind in self.histograms:
            self.histograms[kind].count(ns)
        return ns

    def idle_ns(self, now_ns: int) -> int:
        """Time since the last operation; 0 when there was none."""
        return 0 if self.last_access_ns is None else now_ns - self.last_access_ns


class Backend:
    """A named place for a medium.

    Args:
        name: the drive's id; "" for one that a device made for itself.
        node: the medium's root node; None for an empty drive.
        write_cache: whether the guest's writes may wait for its flush.
        wants_read_only: how the next medium is opened.
        cache: how that one's writes are held back; as the last one's, if there was one.

    Attributes:
        device: the path of the guest device that uses it, None when none does.
        is_removable: whether the medium can be taken out; so can that of an unattached drive.
        has_tray: whether the device has a tray.
        tray_open: whether it is out.
        throttle: how much may go through it; None for any amount.
        copies_on_read: what is read from a backing file is kept in the image.
    """

    def __init__(
        self,
        name: str,
        node: BlockNode | None,
        *,
        write_cache: bool = True,
        wants_read_only: bool = False,
        cache: CacheMode | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.node = node
        self.write_cache = write_cache
        self.wants_read_only = wants_read_only
        self.cache = cache or CacheMode()
        self.device: str | None = None
        self.is_removable = True
        self.is_locked = False
        self.has_tray = False
        self.tray_open = False
        self.throttle: Throttle | None = None
        self.copies_on_read = False
        self.stats = BackendStats()
        self._clock_ns = clock_ns
        if node is not None:
            self.insert(node)

    @property
    def shown_name(self) -> str:
        """The id, or for a backend without one the device's path."""
        return self.name or self.device or ""

    @property
    def is_read_only(self) -> bool:
        """Whether the medium can't be written."""
        return self.node is not None and self.node.read_only

    def insert(self, node: BlockNode) -> None:
        """Put a medium in."""
        self.node = node
        self.cache = node.cache
        node.parents += 1

    def remove(self) -> BlockNode | None:
        """Take the medium out; its node, which nobody may use any more."""
        node, self.node = self.node, None
        if node is not None:
            node.parents -= 1
        return node

    def attach(self, device: str, *, removable: bool, has_tray: bool = False) -> None:
        """A guest device uses the drive from now on.

        Raises:
            QemuError: one does already, or another process has the image.
        """
        if self.device is not None:
            raise QemuError(f"Drive '{self.name}' is already in use by another device")
        if self.node is not None:
            self.node.claim(attached=True)
        self.device = device
        self.is_removable = removable
        self.has_tray = has_tray

    def medium(self) -> BlockNode:
        """The node of the medium that is in the drive."""
        if self.node is None:
            raise QemuError("No medium found", errno.ENOMEDIUM)
        return self.node

    # --- what holds requests up

    def wait_ns(self, *, is_write: bool) -> int:
        """How long the next request has to wait; whoever makes one waits so long before."""
        if self.node is None:
            return 0
        own = self.throttle.wait_ns(is_write=is_write) if self.throttle is not None else 0
        return max(own, self.node.wait_ns(is_write=is_write))

    def account(self, size: int, *, is_write: bool) -> None:
        """A request of so many bytes goes through."""
        if self.throttle is not None:
            self.throttle.account(size, is_write=is_write)
        if self.node is not None:
            self.node.account(size, is_write=is_write)

    def begin_read(self, offset: int, size: int) -> None:
        """These bytes are about to be read."""
        self.account(size, is_write=False)
        if self.copies_on_read and self.node is not None:
            from blockdev.explicit_filter import fetch

            fetch(self.node, offset, size)

    # --- requests

    def read(self, offset: int, size: int) -> bytes:
        """A guest's read."""
        start = self._clock_ns()
        self.begin_read(offset, size)
        data = self.medium().read(offset, size)
        self.stats.rd_bytes += size
        self.stats.rd_operations += 1
        self.stats.rd_total_ns += self.stats.count_latency("read", self._since(start))
        return data

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        """A guest's write; through to the disk when the write cache is off."""
        start = self._clock_ns()
        self.account(sum(map(len, buffers)), is_write=True)
        self.medium().write(offset, buffers)
        if not self.write_cache:
            self.medium().flush()
        self.stats.wr_bytes += sum(map(len, buffers))
        self.stats.wr_operations += 1
        self.stats.wr_total_ns += self.stats.count_latency("write", self._since(start))

    def flush(self) -> None:
        """A guest's barrier."""
        start = self._clock_ns()
        self.medium().flush()
        self.stats.flush_operations += 1
        self.stats.flush_total_ns += self.stats.count_latency("flush", self._since(start))

    def _since(self, start: int) -> int:
        now = self.stats.last_access_ns = self._clock_ns()
        return now - start
