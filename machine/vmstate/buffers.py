"""Runs of bytes: whole, a part of a longer one, as long as another field says, or none at all."""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.field import Field, fetch, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.field import Count, Exists, Foreseen, Report
    from machine.vmstate.vmdesc import Entry

SKIPPED_AT_ONCE = 1024  # bytes


class Buffer(Field):
    """`size` bytes as they are.

    Args:
        start: they are those from here on of a longer attribute, whose others stay as they are;
            None: they are all of it.
    """

    type_name = "buffer"
    __slots__ = ("size", "start")

    def __init__(
        self,
        name: str,
        size: int,
        *,
        start: int | None = None,
        count: int | Count | None = None,
        since_version: int = 0,
        exists: Exists | None = None,
    ) -> None:
        super().__init__(name, count=count, since_version=since_version, exists=exists)
        assert start is None or count is None
        self.size = size
        self.start = start

    def put(self, file: QEMUFileWriter, value: bytes, device: Any) -> list[Entry]:
        _put_part(file, value, self.size, self.start)
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> bytes:
        return file.get_buffer(self.size)

    def apply(self, device: Any, value: Any) -> None:
        if self.start is None:
            super().apply(device, value)
        else:
            _store_part(device, self.name, value, self.start)


class SizedBuffer(Field):
    """As many bytes as another field says, up to `limit`.

    Args:
        size_field: the name of that field, which comes before this one if the stream has it.
        multiplier: bytes for each one that it counts.
        start: as for `Buffer`.
    """

    type_name = "buffer"
    __slots__ = ("limit", "multiplier", "size_field", "start")

    def __init__(
        self,
        name: str,
        *,
        size_field: str,
        limit: int,
        multiplier: int = 1,
        start: int | None = None,
        since_version: int = 0,
        exists: Exists | None = None,
    ) -> None:
        super().__init__(name, since_version=since_version, exists=exists)
        self.size_field = size_field
        self.limit = limit
        self.multiplier = multiplier
        self.start = start

    def put(self, file: QEMUFileWriter, value: bytes, device: Any) -> list[Entry]:
        size = fetch(device, self.size_field) * self.multiplier
        _put_part(file, value, size, self.start)
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> bytes:
        size: int = fetch(foreseen, self.size_field) * self.multiplier
        if not 0 <= size <= self.limit:
            raise StreamError(errno.EIO)  # as if the stream ended in it
        return file.get_buffer(size)

    def apply(self, device: Any, value: bytes) -> None:
        if self.start is None:
            super().apply(device, value)
        else:
            _store_part(device, self.name, value, self.start)


class UnusedBuffer(Field):
    """Room that something had in older versions: written as zeros, skipped when read."""

    type_name = "unused_buffer"
    has_value = False
    __slots__ = ("size",)

    def __init__(
        self,
        size: int,
        *,
        count: int | Count | None = None,
        since_version: int = 0,
        exists: Exists | None = None,
    ) -> None:
        super().__init__("unused", count=count, since_version=since_version, exists=exists)
        self.size = size

    def put(self, file: QEMUFileWriter, value: Any, device: Any) -> list[Entry]:
        for left in range(self.size, 0, -SKIPPED_AT_ONCE):
            file.put_buffer(bytes(min(left, SKIPPED_AT_ONCE)))
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> None:
        for left in range(self.size, 0, -SKIPPED_AT_ONCE):
            file.get_buffer(min(left, SKIPPED_AT_ONCE))
            if file.error:
                break


class Bitmap(Field):
    """Bits, the first one the lowest: an int, of as many bits as another member says.

    Args:
        size_field: the name of that member.
        limit: more bits are refused.
    """

    type_name = "bitmap"
    __slots__ = ("limit", "size_field")

    def __init__(
        self,
        name: str,
        *,
        size_field: str,
        limit: int,
        since_version: int = 0,
    ) -> None:
        super().__init__(name, since_version=since_version)
        self.size_field = size_field
        self.limit = limit

    def put(self, file: QEMUFileWriter, value: int, device: Any) -> list[Entry]:
        for shift in range(0, fetch(device, self.size_field), 64):
            file.put_be64(value >> shift & (1 << 64) - 1)
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> int:
        size: int = fetch(foreseen, self.size_field)
        if size > self.limit:
            raise StreamError(errno.EIO)
        value = 0
        for shift in range(0, size, 64):
            value |= file.get_be64() << shift
        return value


def _put_part(file: QEMUFileWriter, value: bytes, size: int, start: int | None) -> None:
    part = value if start is None else value[start : start + size]
    assert len(part) == size
    # A copy of what may change: long buffers are only noted until they are flushed.
    file.put_buffer(part if isinstance(part, bytes) else bytes(part))


def _store_part(device: Any, name: str, value: bytes, start: int) -> None:
    whole = fetch(device, name)
    end = start + len(value)
    store(device, name, type(whole)(whole[:start] + value + whole[end:]))
