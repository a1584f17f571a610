"""Event loops: ``iothread`` and ``main-loop``."""

from __future__ import annotations

from blockdev.errors import QemuError
from machine.qom.object_type import ObjectType, QomObject
from machine.qom.property import (
    INT,
    Property,
)
from machine.schema import Integer, List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.machine import Machine


_INT64_MAX = (1 << 63) - 1


def _range(name: str) -> Callable[[QomObject, Any], None]:
    def check(_: QomObject, value: int) -> None:
        if value < 0:
            raise QemuError(f"{name} value must be in range [0, {_INT64_MAX}]")

    return check


def _count(name: str, default: int) -> Property:
    return Property(name, INT, "int", default=default, check=_range(name))


_EVENT_LOOP = (
    _count("aio-max-batch", 0),
    _count("thread-pool-min", 0),
    _count("thread-pool-max", 64),
)


def _complete_loop(_: Machine, made: QomObject) -> None:
    low, high = made.values["thread-pool-min"], made.values["thread-pool-max"]
    if not high or low > high:
        raise QemuError("bad thread-pool-min/thread-pool-max values")


def _complete_main_loop(machine: Machine, made: QomObject) -> None:
    if len(machine.objects.of_type("main-loop")) > 1:
        raise QemuError("only one main-loop instance allowed")
    _complete_loop(machine, made)


TYPES = (
    ObjectType(
        "iothread",
        _EVENT_LOOP,
        (_count("poll-max-ns", 32768), _count("poll-grow", 0), _count("poll-shrink", 0)),
        complete=_complete_loop,
    ),
    ObjectType("main-loop", _EVENT_LOOP, complete=_complete_main_loop),
    ObjectType(
        "thread-context",
        (
            Property("cpu-affinity", List(Integer(16, is_signed=False)), "int", default=[]),
            Property("node-affinity", List(Integer(16, is_signed=False)), "int", default=[]),
        ),
    ),
)
