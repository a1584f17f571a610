"""VMStateDescription: a device's state as data; saving, loading and describing come from it."""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.field import Foreseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.field import Field
    from machine.vmstate.field import Report as Report
    from machine.vmstate.vmdesc import Json

    OldLoader = Callable[[QEMUFileReader, Any, int], dict[str, Any]]

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

    __slots__ = ("_fields", "description", "is_old", "subsections", "values", "version_id")

    def __init__(self, description: VMStateDescription, version_id: int) -> None:
        self.description = description
        self.version_id = version_id
        self.values: dict[str, Any] = {}
        self.subsections: list[Record] = []
        self.is_old = False
        self._fields: list[tuple[Field, Any]] = []

    def add(self, field: Field, value: Any) -> None:
        """Keep what was read of a field; of several with one name, all."""
        self._fields.append((field, value))
        if field.has_value:
            self.values[field.name] = value

    def apply(self, device: Any) -> None:
        """Give the device what was read."""
        description = self.description
        if self.is_old:
            for name, value in self.values.items():
                setattr(device, name, value)
            return
        if description.pre_load:
            description.pre_load(device)
        for field, value in self._fields:
            field.apply(device, value)
        for subsection in self.subsections:
            subsection.apply(device)
        if description.post_load:
            description.post_load(device, self.version_id)


class VMStateDescription:
    """QEMU's VMStateDescription.

    Args:
        name: the section's name; a subsection's begins with its parent's and ``/``.
        version_id: what is written, and the newest that is read.
        minimum_version_id: the oldest that is read by the fields.
        minimum_version_id_old: the oldest that `load_state_old` reads.
        load_state_old: reads what is older than the fields know: given the file, the device (to
            look at) and the version, it returns the device's new attributes by name.
        fields: in the order of the stream.
        subsections: descriptions of the same device, written only when `needed`.
        needed: whether this section or subsection is to be written, given the device.
        pre_save: brings the device's attributes up to date before they are written.
        pre_load: prepares the device, once the record is good and before it has any value of it.
        check: looks at what was read; reports and raises StreamError if it can't be.  Given the
            device (to compare, not to change), the record and where to report.
        post_load: given the device, which has all values now, and the stream's version.
        unmigratable: a machine with such a device can't be saved at all.
    """

    __slots__ = (
        "check",
        "fields",
        "load_state_old",
        "minimum_version_id",
        "minimum_version_id_old",
        "name",
        "needed",
        "post_load",
        "pre_load",
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
        minimum_version_id_old: int = 0,
        load_state_old: OldLoader | None = None,
        fields: tuple[Field, ...] = (),
        subsections: tuple[VMStateDescription, ...] = (),
        needed: Callable[[Any], bool] | None = None,
        pre_save: Callable[[Any], None] | None = None,
        pre_load: Callable[[Any], None] | None = None,
        check: Callable[[Any, Record, Report], None] | None = None,
        post_load: Callable[[Any, int], None] | None = None,
        unmigratable: bool = False,
    ) -> None:
        self.name = name
        self.version_id = version_id
        self.minimum_version_id = minimum_version_id
        self.minimum_version_id_old = minimum_version_id_old
        self.load_state_old = load_state_old
        self.fields = fields
        self.subsections = subsections
        self.needed = needed
        self.pre_save = pre_save
        self.pre_load = pre_load
        self.check = check
        self.post_load = post_load
        self.unmigratable = unmigratable

    def is_needed(self, device: Any) -> bool:
        return self.needed is None or self.needed(device)

    # --- saving

    def save(
        self, file: QEMUFileWriter, device: Any, version_id: int | None = None
    ) -> dict[str, Json]:
        """Write the device's state, and return the description of what was written.

        Args:
            version_id: an older version to write it as.

        Source of the description's shape: what QEMU 7.2 appends to its own streams.
        """
        if version_id is None:
            version_id = self.version_id
        if self.pre_save:
            self.pre_save(device)
        fields: list[Json] = []
        for field, name in zip(self.fields, self._unique_names(), strict=True):
            if field.is_present(device, version_id):
                fields += field.save(file, device, name)
            else:
                assert not field.must_exist, f"{self.name}/{field.name}"
        written: dict[str, Json] = {
            "vmsd_name": self.name,
            "version": version_id,
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

    def _unique_names(self) -> list[str]:
        """The fields' names; those that come several times get a number in brackets."""
        names = [field.name for field in self.fields]
        if len(set(names)) == len(names):
            return names
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
        record = Record(self, version_id)
        if version_id < self.minimum_version_id:
            self._load_old(file, device, record, report)
            return record
        foreseen = Foreseen(device, record.values)
        for field in self.fields:
            if field.is_present(foreseen, version_id):
                try:
                    value = field.load(file, foreseen, report)
                except StreamError:
                    report(f"Failed to load {self.name}:{field.name}")
                    raise
                record.add(field, value)
            elif field.must_exist:
                report(f"Input validation failed: {self.name}/{field.name}")
                raise StreamError(errno.EPERM)
        self._load_subsections(file, device, record, report)
        if self.check:
            self.check(device, record, report)
        return record

    def _load_old(self, file: QEMUFileReader, device: Any, record: Record, report: Report) -> None:
        """Read a version that the fields don't know."""
        version_id = record.version_id
        if self.load_state_old is None or version_id < self.minimum_version_id_old:
            report(
                f"{self.name}: incoming version_id {version_id} is too old for local minimum "
                f"version_id  {self.minimum_version_id}"
            )
            raise StreamError(errno.EINVAL)
        record.is_old = True
        record.values = self.load_state_old(file, device, version_id)
        if file.error:
            raise StreamError(file.error)

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
