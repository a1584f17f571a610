"""``throttle-group``: limits that several disks share."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    INT,
    Property,
)
from machine.schema import Member, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


_BUCKETS = [f"{unit}-{what}" for unit in ("bps", "iops") for what in ("total", "read", "write")]
_LIMIT_NAMES = (
    [f"iops-{what}{rest}" for what in ("total",) for rest in ("", "-max", "-max-length")]
    + [f"iops-{what}{rest}" for what in ("read", "write") for rest in ("", "-max", "-max-length")]
    + [
        f"bps-{what}{rest}"
        for what in ("total", "read", "write")
        for rest in ("", "-max", "-max-length")
    ]
    + ["iops-size"]
)


def _no_negative(_: QomObject, value: int) -> None:
    if value < 0:
        raise QemuError("Property values cannot be negative")


_THROTTLE = (
    Property("limits", Struct(*(Member(name, INT) for name in _LIMIT_NAMES)), "ThrottleLimits"),
    *(Property(f"x-{name}", INT, "int", check=_no_negative) for name in _LIMIT_NAMES),
)


def _complete_throttle(_: Machine, made: QomObject) -> None:
    given = dict(made.values["limits"] or {})
    limits = {name: given.get(name, 1 if name.endswith("-length") else 0) for name in _LIMIT_NAMES}
    for name in _LIMIT_NAMES:
        if made.values[f"x-{name}"] is not None:
            limits[name] = made.values[f"x-{name}"]
        made.values[f"x-{name}"] = limits[name]
    made.values["limits"] = limits
    for unit in ("bps", "iops"):
        for rest in ("", "-max"):
            if limits[f"{unit}-total{rest}"] and (
                limits[f"{unit}-read{rest}"] or limits[f"{unit}-write{rest}"]
            ):
                raise QemuError(
                    "bps/iops/max total values and read/write values cannot be used at the same "
                    "time"
                )
    if any(limits[f"{name}-max"] and not limits[name] for name in _BUCKETS):
        raise QemuError("bps_max/iops_max require corresponding bps/iops values")


TYPES = (ObjectType("throttle-group", _THROTTLE, complete=_complete_throttle),)
