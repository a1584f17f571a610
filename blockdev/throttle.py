"""How much may go through a drive in a second: QEMU's I/O throttling.

Each limit is a leaky bucket. What goes through fills the buckets, which leak at the speed that
is allowed; while one is too full, what comes next waits.
"""

from __future__ import annotations

import time

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SECOND_NS = 1_000_000_000
MAX_VALUE = 1_000_000_000_000_000
# Unit and direction of each bucket, as QEMU names them.
BUCKETS = ("bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write")
# In which order QEMU shows limits, and how it calls the buckets then.
_SHOWN = ("bps", "bps_rd", "bps_wr"), ("iops", "iops_rd", "iops_wr")


class Bucket:
    """One limit.

    Attributes:
        average: units a second; 0 for no limit.
        most: units a second in a burst; 0: just a tenth of a second's worth at once.
        length: seconds that a burst may last.
    """

    __slots__ = ("average", "burst_level", "length", "level", "most")

    def __init__(self, average: int = 0, most: int = 0, length: int = 1) -> None:
        self.average = average
        self.most = most
        self.length = length
        self.level = 0.0
        self.burst_level = 0.0

    def leak(self, elapsed_ns: int) -> None:
        """Time has passed."""
        self.level = max(0.0, self.level - self.average * elapsed_ns / _SECOND_NS)
        if self.length > 1:
            self.burst_level = max(0.0, self.burst_level - self.most * elapsed_ns / _SECOND_NS)

    def fill(self, units: float) -> None:
        """So much went through."""
        self.level += units
        if self.length > 1:
            self.burst_level += units

    def wait_ns(self) -> int:
        """How long until something may go through."""
        if not self.average:
            return 0
        size = self.most * self.length if self.most else self.average / 10
        extra = self.level - size
        if extra > 0:
            return int(extra * _SECOND_NS / self.average)
        if self.length > 1:
            extra = self.burst_level - self.most / 10
            if extra > 0:
                return int(extra * _SECOND_NS / self.most)
        return 0


class Throttle:
    """Limits that one or several drives share.

    Args:
        group: its name.
        limits: by QEMU's names (``bps-total``, ``iops-read-max`` ...); what isn't there is 0.
        now_ns: the clock that it goes by.

    Raises:
        QemuError: the limits can't be.
    """

    def __init__(
        self,
        group: str,
        limits: Mapping[str, int],
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.group = group
        self._now_ns = now_ns
        self._then_ns = now_ns()
        self.set_limits(limits)

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Other limits, from now on.

        Raises:
            QemuError: they can't be.
        """
        check_limits(limits)
        self.limits = dict(limits)
        self.buckets = {
            name: Bucket(
                limits.get(name, 0),
                limits.get(f"{name}-max", 0),
                limits.get(f"{name}-max-length", 1) or 1,
            )
            for name in BUCKETS
        }
        self._operation_size = limits.get("iops-size", 0)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return any(bucket.average for bucket in self.buckets.values())

    def wait_ns(self, *, is_write: bool) -> int:
        """How long the next operation has to wait."""
        self._leak()
        return max(bucket.wait_ns() for bucket in self._of(is_write))

    def account(self, size: int, *, is_write: bool) -> None:
        """An operation of so many bytes went through."""
        self._leak()
        operations = 1.0
        if self._operation_size and size > self._operation_size:
            operations = size / self._operation_size
        *of_bytes, total, own = self._of(is_write)
        for bucket in of_bytes:
            bucket.fill(size)
        for bucket in (total, own):
            bucket.fill(operations)

    def close(self) -> None:
        """Nothing is held."""

    def _of(self, is_write: bool) -> list[Bucket]:
        direction = "write" if is_write else "read"
        return [
            self.buckets[f"{unit}-{what}"]
            for unit in ("bps", "iops")
            for what in ("total", direction)
        ]

    def _leak(self) -> None:
        now = self._now_ns()
        elapsed, self._then_ns = now - self._then_ns, now
        for bucket in self.buckets.values():
            bucket.leak(elapsed)

    def shown_limits(self) -> dict[str, int]:
        """The limits that there are, by QMP's names for them."""
        shown = {}
        for name, limit in self.limits.items():
            unit, _, rest = name.partition("-")
            direction, _, kind = rest.partition("-")
            short = {"total": "", "read": "_rd", "write": "_wr"}.get(direction, f"_{direction}")
            key = unit + short + (f"_{kind.replace('-', '_')}" if kind else "")
            if limit or not kind:
                shown[key] = limit
        return shown

    def describe(self) -> str:
        """What ``info block`` shows."""
        words = []
        for index, names in enumerate(_SHOWN):
            buckets = list(self.buckets.values())[3 * index : 3 * index + 3]
            pairs = list(zip(names, buckets, strict=True))
            words += [f"{name}={bucket.average}" for name, bucket in pairs]
            prefix = names[0]
            for name, bucket in pairs:
                words.append(f"{prefix}{name[len(prefix) :]}_max={bucket.most}")
        words.append(f"iops_size={self._operation_size}")
        return " ".join([*words, f"group={self.group}"])


def check_limits(limits: Mapping[str, int]) -> None:
    """See that limits fit each other.

    Raises:
        QemuError: QEMU's words, first fault first.
    """
    for unit in ("bps", "iops"):
        for rest in ("", "-max"):
            total = limits.get(f"{unit}-total{rest}", 0)
            if total and (
                limits.get(f"{unit}-read{rest}", 0) or limits.get(f"{unit}-write{rest}", 0)
            ):
                raise QemuError(
                    "bps/iops/max total values and read/write values cannot be used at the same "
                    "time"
                )
    if limits.get("iops-size", 0) and not any(
        limits.get(f"iops-{what}", 0) for what in ("total", "read", "write")
    ):
        raise QemuError("iops size requires an iops value to be set")
    for name in BUCKETS:
        average, most = limits.get(name, 0), limits.get(f"{name}-max", 0)
        if not (0 <= average <= MAX_VALUE and 0 <= most <= MAX_VALUE):
            raise QemuError(f"bps/iops/max values must be within [0, {MAX_VALUE}]")
        length = limits.get(f"{name}-max-length", 1)
        if not length:
            raise QemuError("the burst length cannot be 0")
        if length > 1 and not most:
            raise QemuError("burst length set without burst rate")
        if most and not average:
            raise QemuError("bps_max/iops_max require corresponding bps/iops values")
        if most and most < average:
            raise QemuError("bps_max/iops_max cannot be lower than bps/iops")
