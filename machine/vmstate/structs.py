"""Parts of a device with descriptions of their own: structs, queues of them, and makeshift ones."""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.field import Count, Field, fetch, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.description import Record, VMStateDescription
    from machine.vmstate.field import Exists, Foreseen, Report
    from machine.vmstate.vmdesc import Entry


class Struct(Field):
    """A part of a device, with a description of its own.

    Args:
        make: for arrays that are made anew by loading: gives one element.
    """

    type_name = "struct"
    needs_local = True
    __slots__ = ("description", "make")

    def __init__(
        self,
        name: str,
        description: VMStateDescription,
        *,
        count: int | Count | None = None,
        since_version: int = 0,
        exists: Exists | None = None,
        pointers: bool = False,
        make: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(
            name, count=count, since_version=since_version, exists=exists, pointers=pointers
        )
        self.description = description
        self.make = make

    @property
    def version_id(self) -> int:
        """Of the part's description; nothing in the stream tells it."""
        return self.description.version_id

    @property
    def is_uniform(self) -> bool:
        description = self.description
        return (
            self.exists is None
            and not description.subsections
            and all(field.is_uniform for field in description.fields)
        )

    def put(self, file: QEMUFileWriter, value: Any, device: Any) -> list[Entry]:
        return [("struct", self.description.save(file, value, self.version_id))]

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> Record:
        part = self.make() if self.make else local
        return self.description.load(file, part, self.version_id, report)

    def local_of(self, foreseen: Foreseen) -> Any:
        return None if self.make else super().local_of(foreseen)

    def apply(self, device: Any, value: Any) -> None:
        if self.make:
            assert self.count is not None
            parts = [self.make() for _ in value]
            store(device, self.name, parts)
        else:
            parts = fetch(device, self.name)
        if self.count is None:
            value.apply(parts)
        else:
            for record, part in zip(value, parts, strict=False):
                if record is not None:
                    record.apply(part)


class VersionedStruct(Struct):
    """A part that is saved as in an older version of its description."""

    type_name = "vstruct"
    __slots__ = ("version",)

    def __init__(
        self,
        name: str,
        description: VMStateDescription,
        version: int,
        *,
        since_version: int = 0,
        exists: Exists | None = None,
    ) -> None:
        super().__init__(name, description, since_version=since_version, exists=exists)
        self.version = version

    @property
    def version_id(self) -> int:
        return self.version

    @property
    def is_uniform(self) -> bool:
        return self.exists is None

    def put(self, file: QEMUFileWriter, value: Any, device: Any) -> list[Entry]:
        return list(self.description.save(file, value, self.version_id).items())


class Temporary(Field):
    """A part that exists only while it is saved or loaded, to put a device's state otherwise.

    Args:
        make: gives the part for a device.  The description's hooks carry the state: `pre_save`
            from the device into the part, `post_load` from the part into the device.
    """

    type_name = "tmp"
    has_value = False
    __slots__ = ("description", "make")

    def __init__(
        self,
        description: VMStateDescription,
        make: Callable[[Any], Any],
        *,
        since_version: int = 0,
        exists: Exists | None = None,
    ) -> None:
        super().__init__("tmp", since_version=since_version, exists=exists)
        self.description = description
        self.make = make

    def put(self, file: QEMUFileWriter, value: Any, device: Any) -> list[Entry]:
        return list(self.description.save(file, self.make(device)).items())

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> Record:
        version_id = self.description.version_id
        return self.description.load(file, self.make(foreseen), version_id, report)

    def apply(self, device: Any, value: Record) -> None:
        value.apply(self.make(device))


class Queue(Field):
    """A list of parts of any length (QTAILQ): before each a byte 1, behind the last one a 0.

    Args:
        make: gives a part to load.
        limit: more parts are refused.
    """

    type_name = "qtailq"
    __slots__ = ("description", "limit", "make")

    def __init__(
        self,
        name: str,
        description: VMStateDescription,
        make: Callable[[], Any],
        *,
        limit: int,
        since_version: int = 0,
    ) -> None:
        super().__init__(name, since_version=since_version)
        self.description = description
        self.make = make
        self.limit = limit

    def put(self, file: QEMUFileWriter, value: list[Any], device: Any) -> list[Entry]:
        inside: list[Entry] = []
        for part in value:
            file.put_byte(1)
            inside += self.description.save(file, part).items()
        file.put_byte(0)
        return inside

    def get(
        self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report
    ) -> list[Record]:
        records: list[Record] = []
        version_id = self.description.version_id
        while file.get_byte():
            if len(records) == self.limit:
                raise StreamError(errno.EINVAL)
            records.append(self.description.load(file, self.make(), version_id, report))
        return records

    def apply(self, device: Any, value: list[Record]) -> None:
        parts = [self.make() for _ in value]
        for record, part in zip(value, parts, strict=True):
            record.apply(part)
        store(device, self.name, parts)
