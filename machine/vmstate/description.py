"""VMStateDescription: a device's state as data; saving, loading and describing come from it."""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.fields import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.fields import Field

    Report = Callable[[str], None]  # takes a line for the user
    Json = dict[str, "Json"] | list["Json"] | str | int

SUBSECTION = 0x05


class Record:
    """What a stream says about a device, read and checked, before the device has seen it.

    Attributes:
        description: what was read by.
        version_id: the stream's version of it.
        values: by name; fields that this version hasn't got are absent.  Numbers, bytes, and
            records for structs; lists of them for arrays.
        subsections: those the stream had, in its order.
    """

    __slots__ = ("description", "subsections", "values", "version_id")

    def __init__(self, description: VMStateDescription, version_id: int) -> None:
        self.description = description
        self.version_id = version_id
        self.values: dict[str, Any] = {}
        self.subsections: list[Record] = []

    def apply(self, device: Any) -> None:
        """Give the device what was read."""
        for name, value in self.values.items():
            if isinstance(value, Record):
                value.apply(getattr(device, name))
            elif isinstance(value, list) and value and isinstance(value[0], Record):
                for element, part in zip(value, getattr(device, name), strict=True):
                    element.apply(part)
            else:
                setattr(device, name, value)
        for subsection in self.subsections:
            subsection.apply(device)
        if self.description.post_load:
            self.description.post_load(device, self.version_id)


class VMStateDescription:
    """QEMU's VMStateDescription.

    Args:
        name: the section's name; a subsection's begins with its parent's and ``/``.
        version_id: what is written, and the newest that is read.
        minimum_version_id: the oldest that is read.
        fields: in the order of the stream.
        subsections: descriptions of the same device, written only when `needed`.
        needed: whether this section or subsection is to be written, given the device.
        pre_save: brings the device's attributes up to date before they are written.
        check: looks at what was read; reports and raises StreamError if it can't be.  Given the
            device (to compare, not to change), the record and where to report.
        post_load: given the device, which has all values now, and the stream's version.
        unmigratable: a machine with such a device can't be saved at all.
    """

    __slots__ = (
        "check",
        "fields",
        "minimum_version_id",
        "name",
        "needed",
        "post_load",
        "pre_save",
        "subsections",
        "unmigratable",
        "version_id",
    )

    def __init__(
        self,
        *,
        name: str,
        version_id: int = 1,
        minimum_version_id: int = 1,
        fields: tuple[Field, ...] = (),
        subsections: tuple[VMStateDescription, ...] = (),
        needed: Callable[[Any], bool] | None = None,
        pre_save: Callable[[Any], None] | None = None,
        check: Callable[[Any, Record, Report], None] | None = None,
        post_load: Callable[[Any, int], None] | None = None,
        unmigratable: bool = False,
    ) -> None:
        self.name = name
        self.version_id = version_id
        self.minimum_version_id = minimum_version_id
        self.fields = fields
        self.subsections = subsections
        self.needed = needed
        self.pre_save = pre_save
        self.check = check
        self.post_load = post_load
        self.unmigratable = unmigratable

    def is_needed(self, device: Any) -> bool:
        return self.needed is None or self.needed(device)

    # --- saving

    def save(self, file: QEMUFileWriter, device: Any) -> dict[str, Json]:
        """Write the device's state, and return the description of what was written.

        Source of its shape: what QEMU 7.2 appends to its own streams.
        """
        if self.pre_save:
            self.pre_save(device)
        fields: list[Json] = []
        for field, name in zip(self.fields, self._unique_names(), strict=True):
            if field.since_version <= self.version_id:
                fields += self._save_field(file, device, field, name)
        written: dict[str, Json] = {
            "vmsd_name": self.name,
            "version": self.version_id,
            "fields": fields,
        }
        subsections: list[Json] = []
        for subsection in self.subsections:
            if subsection.is_needed(device):
                file.put_byte(SUBSECTION)
                file.put_counted_string(subsection.name.encode())
                file.put_be32(subsection.version_id)
                subsections.append(subsection.save(file, device))
        if subsections:
            written["subsections"] = subsections
        return written

    def _save_field(self, file: QEMUFileWriter, device: Any, field: Field, name: str) -> list[Json]:
        """Write a field; an entry for each element, or one for all if they are all alike."""
        value: Any = getattr(device, field.name) if field.has_value else None
        elements: list[Any] = [value] if field.count is None else value
        assert field.count is None or len(elements) == field.count
        entries: list[Json] = []
        for index, element in enumerate(elements):
            entry: dict[str, Json] = {"name": name}
            if len(elements) > 1:
                if _has_fixed_size(field):
                    entry["array_len"] = len(elements)
                else:
                    entry["index"] = index
            entry["type"] = field.type_name
            before = file.transferred
            if isinstance(field, Struct):
                entry["struct"] = field.description.save(file, element)
            else:
                field.put(file, element)
            entry["size"] = file.transferred - before
            if index == 0 or "index" in entry:
                entries.append(entry)
        return entries

    def _unique_names(self) -> list[str]:
        """The fields' names; those that come several times get a number in brackets."""
        names = [field.name for field in self.fields]
        return [
            f"{name}[{names[:index].count(name)}]" if names.count(name) > 1 else name
            for index, name in enumerate(names)
        ]

    # --- loading

    def load(self, file: QEMUFileReader, device: Any, version_id: int, report: Report) -> Record:
        """Read the state of a device, which stays as it is.

        Raises:
            StreamError: after `report` got what QEMU says.
            StreamStalled: the rest hasn't come yet.
        """
        if version_id > self.version_id:
            report(
                f"{self.name}: incoming version_id {version_id} is too new for local version_id "
                f"{self.version_id}"
            )
            raise StreamError(errno.EINVAL)
        if version_id < self.minimum_version_id:
            report(
                f"{self.name}: incoming version_id {version_id} is too old for local minimum "
                f"version_id  {self.minimum_version_id}"
            )
            raise StreamError(errno.EINVAL)
        record = Record(self, version_id)
        for field in self.fields:
            if field.since_version <= version_id:
                self._load_field(file, device, field, record, report)
        self._load_subsections(file, device, record, report)
        if self.check:
            self.check(device, record, report)
        return record

    def _load_field(
        self, file: QEMUFileReader, device: Any, field: Field, record: Record, report: Report
    ) -> None:
        parts: Any = getattr(device, field.name) if isinstance(field, Struct) else None
        elements: list[Any] = []
        try:
            for index in range(1 if field.count is None else field.count):
                if isinstance(field, Struct):
                    part = parts if field.count is None else parts[index]
                    version = field.description.version_id
                    elements.append(field.description.load(file, part, version, report))
                else:
                    elements.append(field.get(file, record))
                if file.error:
                    raise StreamError(file.error)
        except StreamError:
            report(f"Failed to load {self.name}:{field.name}")
            raise
        if field.has_value:
            record.values[field.name] = elements[0] if field.count is None else elements

    def _load_subsections(
        self, file: QEMUFileReader, device: Any, record: Record, report: Report
    ) -> None:
        own = self.name.encode()
        while file.peek_byte() == SUBSECTION:
            size = file.peek_byte(1)
            if size <= len(own):
                return  # whatever it is, it isn't ours
            full_name = file.peek_buffer(size, 2)
            if len(full_name) < size or not full_name.startswith(own):
                return
            name = full_name.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            known = next((each for each in self.subsections if each.name == name), None)
            if known is None:
                raise StreamError(errno.ENOENT)
            file.skip(2 + size)
            # QEMU keeps this version in one byte.
            version_id = file.get_be32() & 0xFF
            record.subsections.append(known.load(file, device, version_id, report))


def _has_fixed_size(field: Field) -> bool:
    """Whether all elements of an array take the same room, so that one stands for all."""
    if not isinstance(field, Struct):
        return True
    description = field.description
    return not description.subsections and all(map(_has_fixed_size, description.fields))


def to_json(value: Json) -> str:
    """JSON as QEMU spaces it.  Names are ours, so nothing in them wants escaping."""
    if isinstance(value, dict):
        return "{" + ", ".join([f'"{key}": {to_json(item)}' for key, item in value.items()]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, str):
        assert value.isascii()
        assert value.isprintable()
        assert not {'"', "\\"} & set(value)
        return f'"{value}"'
    return str(value)
