"""``throttle-group``: limits that several disks share."""

from __future__ import annotations

from blockdev.errors import QemuError
from blockdev.throttle import Throttle
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    INT,
    Property,
)
from machine.schema import Member, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.machine import Machine


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


def _complete_throttle(machine: Machine, made: QomObject) -> _Group:
    given = dict(made.values["limits"] or {})
    limits = {name: given.get(name, 1 if name.endswith("-length") else 0) for name in _LIMIT_NAMES}
    for name in _LIMIT_NAMES:
        if made.values[f"x-{name}"] is not None:
            limits[name] = made.values[f"x-{name}"]
        made.values[f"x-{name}"] = limits[name]
    made.values["limits"] = limits
    return _Group(machine, made.id, limits)


class _Group:
    """What the object does its work with: limits that nodes find by its name."""

    def __init__(self, machine: Machine, name: str, limits: dict[str, int]) -> None:
        self._groups = machine.drives.throttle_groups
        self._name = name
        self._groups[name] = Throttle(name, limits)

    def close(self) -> None:
        self._groups.pop(self._name, None)


TYPES = (ObjectType("throttle-group", _THROTTLE, complete=_complete_throttle),)
