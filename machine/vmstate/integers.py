"""Numbers: integers and truth values, those that are only compared, and timers."""

from __future__ import annotations

import errno
import struct

from machine.migration.qemufile import StreamError
from machine.vmstate.field import Field, fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.field import Foreseen, Report
    from machine.vmstate.vmdesc import Entry, Json

_LETTERS = {1: "b", 2: "h", 4: "i", 8: "q"}  # of the struct module, for the signed ones


class Integer(Field):
    """A number of `size` bytes, big endian."""

    size = 0
    signed = False

    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: int, device: Any) -> list[Entry]:
        file.put_buffer(value.to_bytes(self.size, "big", signed=self.signed))
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> int:
        data = file.get_buffer(self.size).ljust(self.size, b"\0")
        return int.from_bytes(data, "big", signed=self.signed)

    # Arrays at once: a step for each element takes long where there are thousands.

    def save(self, file: QEMUFileWriter, device: Any, shown_name: str) -> list[Json]:
        if self.count is None or self.pointers or not self.is_uniform:
            return super().save(file, device, shown_name)
        elements = self._elements_of(device)
        if len(elements) < 2:
            return super().save(file, device, shown_name)
        file.put_buffer(struct.pack(self._format(len(elements)), *elements))
        return [
            {
                "name": shown_name,
                "array_len": len(elements),
                "type": self.type_name,
                "size": self.size,
            }
        ]

    def load(self, file: QEMUFileReader, foreseen: Foreseen, report: Report) -> Any:
        if self.count is None or self.pointers or self.needs_local:
            return super().load(file, foreseen, report)
        count = self._checked_count(foreseen)
        data = file.get_buffer(count * self.size)
        if file.error:
            raise StreamError(file.error)
        return list(struct.unpack(self._format(count), data))

    def _format(self, count: int) -> str:
        letter = _LETTERS[self.size]
        return f">{count}{letter if self.signed else letter.upper()}"


class Int8(Integer):
    """Signed, 1 byte."""

    type_name, size, signed = "int8", 1, True
    __slots__ = ()


class Int16(Integer):
    """Signed, 2 bytes."""

    type_name, size, signed = "int16", 2, True
    __slots__ = ()


class Int32(Integer):
    """Signed, 4 bytes."""

    type_name, size, signed = "int32", 4, True
    __slots__ = ()


class Int64(Integer):
    """Signed, 8 bytes."""

    type_name, size, signed = "int64", 8, True
    __slots__ = ()


class UInt8(Integer):
    """Unsigned, 1 byte."""

    type_name, size = "uint8", 1
    __slots__ = ()


class UInt16(Integer):
    """Unsigned, 2 bytes."""

    type_name, size = "uint16", 2
    __slots__ = ()


class UInt32(Integer):
    """Unsigned, 4 bytes."""

    type_name, size = "uint32", 4
    __slots__ = ()


class UInt64(Integer):
    """Unsigned, 8 bytes."""

    type_name, size = "uint64", 8
    __slots__ = ()


class UInt32Part(UInt32):
    """Elements of a list that the device has whole.

    Args:
        attribute: the device's list; its others stay as they are.
        start: the first one's index.
        count: how many.
    """

    __slots__ = ("attribute", "start")

    def __init__(self, name: str, attribute: str, *, start: int, count: int) -> None:
        super().__init__(name, count=count)
        self.attribute = attribute
        self.start = start

    def _elements_of(self, device: Any) -> list[Any]:
        end = self.start + self._checked_count(device)
        part: list[Any] = fetch(device, self.attribute)[self.start : end]
        return part

    def apply(self, device: Any, value: list[int]) -> None:
        fetch(device, self.attribute)[self.start : self.start + len(value)] = value


class Bool(Field):
    """One byte; anything but 0 is true."""

    type_name = "bool"
    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: bool, device: Any) -> list[Entry]:
        file.put_byte(bool(value))
        return []

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> bool:
        return file.get_byte() != 0


class Timer(Field):
    """When a timer is due, in its clock's units (ns); None if it isn't running."""

    type_name = "timer"
    __slots__ = ()

    def put(self, file: QEMUFileWriter, value: int | None, device: Any) -> list[Entry]:
        file.put_be64((-1 if value is None else value) & _ALL_ONES)
        return []

    def get(
        self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report
    ) -> int | None:
        due = file.get_be64()
        return None if due == _ALL_ONES else due


_ALL_ONES = (1 << 64) - 1


# --- numbers that the device has already


class Equal(Integer):
    """A number that must be the device's own; it isn't changed.

    Args:
        hint: a line about what is wrong if it isn't.
    """

    needs_local = True
    __slots__ = ("hint",)

    def __init__(self, name: str, *, since_version: int = 0, hint: str = "") -> None:
        super().__init__(name, since_version=since_version)
        self.hint = hint

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: int, report: Report) -> int:
        value = super().get(file, foreseen, local, report)
        if value != local:
            mask = (1 << 8 * self.size) - 1
            report(f"{local & mask:x} != {value & mask:x}")
            if self.hint:
                report(self.hint)
            raise StreamError(errno.EINVAL)
        return value

    def apply(self, device: Any, value: int) -> None:
        """The device has it."""


class Int32Equal(Equal):
    """Signed, 4 bytes."""

    type_name, size, signed = "int32 equal", 4, True
    __slots__ = ()


class UInt8Equal(Equal):
    """Unsigned, 1 byte."""

    type_name, size = "uint8 equal", 1
    __slots__ = ()


class UInt16Equal(Equal):
    """Unsigned, 2 bytes."""

    type_name, size = "uint16 equal", 2
    __slots__ = ()


class UInt32Equal(Equal):
    """Unsigned, 4 bytes."""

    type_name, size = "uint32 equal", 4
    __slots__ = ()


class UInt64Equal(Equal):
    """Unsigned, 8 bytes; QEMU 7.2 has no `u` in its name."""

    type_name, size = "int64 equal", 8
    __slots__ = ()


class Int32LessEqual(Integer):
    """A number from 0 up to the device's own; the device takes it.

    QEMU 0.15 calls it `int32 equal` too.
    """

    type_name, size, signed = "int32 le", 4, True
    needs_local = True
    __slots__ = ()

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: int, report: Report) -> int:
        value = super().get(file, foreseen, local, report)
        if not 0 <= value <= local:
            report(f"Invalid value {value} expecting positive value <= {local}")
            raise StreamError(errno.EINVAL)
        return value
