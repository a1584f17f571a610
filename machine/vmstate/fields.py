"""The kinds of fields a device's state consists of, and how each looks in the stream.

A field says what one element is; `VMStateDescription` takes care of arrays, versions and names.
"""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Record, VMStateDescription


class Field:
    """One member of a description.

    Attributes:
        type_name: what the JSON description calls the type.
        name: the stream's name of it, and the device's attribute.
        count: how many elements a fixed array has; None: not an array.
        since_version: streams of an older version haven't got it.
    """

    type_name = ""

    __slots__ = ("count", "name", "since_version")

    def __init__(self, name: str, *, count: int | None = None, since_version: int = 0) -> None:
        self.name = name
        self.count = count
        self.since_version = since_version

    @property
    def has_value(self) -> bool:
        """Whether the device has something that belongs here."""
        return True

    def put(self, file: QEMUFileWriter, value: Any) -> None:
        """Write one element."""
        raise NotImplementedError

    def get(self, file: QEMUFileReader, record: Record) -> Any:
        """Read one element; past the end it is made of zeros.

        Args:
            file: where to read.
            record: the fields before this one.

        Raises:
            StreamError: the value can't be right.
        """
        raise NotImplementedError


class Integer(Field):
    """A number of `size` bytes, big endian."""

    size = 0
    signed = False

    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: int) -> None:
        file.put_buffer(value.to_bytes(self.size, "big", signed=self.signed))

    def get(self, file: QEMUFileReader, record: Record) -> int:
        data = file.get_buffer(self.size).ljust(self.size, b"\0")
        return int.from_bytes(data, "big", signed=self.signed)


class Int8(Integer):
    """Signed, 1 byte."""

    type_name = "int8"
    size = 1
    signed = True
    __slots__ = ()


class Int16(Integer):
    """Signed, 2 bytes."""

    type_name = "int16"
    size = 2
    signed = True
    __slots__ = ()


class Int32(Integer):
    """Signed, 4 bytes."""

    type_name = "int32"
    size = 4
    signed = True
    __slots__ = ()


class Int64(Integer):
    """Signed, 8 bytes."""

    type_name = "int64"
    size = 8
    signed = True
    __slots__ = ()


class UInt8(Integer):
    """Unsigned, 1 byte."""

    type_name = "uint8"
    size = 1
    __slots__ = ()


class UInt16(Integer):
    """Unsigned, 2 bytes."""

    type_name = "uint16"
    size = 2
    __slots__ = ()


class UInt32(Integer):
    """Unsigned, 4 bytes."""

    type_name = "uint32"
    size = 4
    __slots__ = ()


class UInt64(Integer):
    """Unsigned, 8 bytes."""

    type_name = "uint64"
    size = 8
    __slots__ = ()


class Bool(Field):
    """One byte; anything but 0 is true."""

    type_name = "bool"
    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: bool) -> None:
        file.put_byte(value)

    def get(self, file: QEMUFileReader, record: Record) -> bool:
        return file.get_byte() != 0


class Buffer(Field):
    """`size` bytes as they are."""

    type_name = "buffer"
    __slots__ = ("size",)

    def __init__(self, name: str, size: int, *, since_version: int = 0) -> None:
        super().__init__(name, since_version=since_version)
        self.size = size

    def put(self, file: QEMUFileWriter, value: bytes) -> None:
        assert len(value) == self.size
        file.put_buffer(value)

    def get(self, file: QEMUFileReader, record: Record) -> bytes:
        return file.get_buffer(self.size)


class SizedBuffer(Field):
    """As many bytes as an earlier field says, up to `limit`."""

    type_name = "buffer"
    __slots__ = ("limit", "size_field")

    def __init__(self, name: str, *, size_field: str, limit: int) -> None:
        super().__init__(name)
        self.size_field = size_field
        self.limit = limit

    def put(self, file: QEMUFileWriter, value: bytes) -> None:
        file.put_buffer(value)

    def get(self, file: QEMUFileReader, record: Record) -> bytes:
        size: int = record.values[self.size_field]
        if size > self.limit:
            raise StreamError(errno.EIO)  # as if the stream ended in it
        return file.get_buffer(size)


class UnusedBuffer(Field):
    """Room that something had in older versions: written as zeros, skipped when read."""

    type_name = "unused_buffer"
    __slots__ = ("size",)

    def __init__(self, size: int, *, since_version: int = 0) -> None:
        super().__init__("unused", since_version=since_version)
        self.size = size

    @property
    def has_value(self) -> bool:
        return False

    def put(self, file: QEMUFileWriter, value: Any) -> None:
        file.put_buffer(bytes(self.size))

    def get(self, file: QEMUFileReader, record: Record) -> None:
        file.get_buffer(self.size)


class Struct(Field):
    """A part of a device, with a description of its own."""

    type_name = "struct"
    __slots__ = ("description",)

    def __init__(
        self,
        name: str,
        description: VMStateDescription,
        *,
        count: int | None = None,
        since_version: int = 0,
    ) -> None:
        super().__init__(name, count=count, since_version=since_version)
        self.description = description
