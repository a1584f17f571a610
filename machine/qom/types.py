"""All types of objects there are."""

from __future__ import annotations

from machine.qom import filters, host, memory, secrets, threads, throttling
from machine.qom.object_type import ObjectType

TYPES: dict[str, ObjectType] = {
    type.name: type
    for room in (filters, host, memory, secrets, threads, throttling)
    for type in room.TYPES
}
