"""What all fields have in common: when they are there, how often, and how they reach the device.

A field's name is the stream's and the device's attribute at once; one with dots in it
(``env.regs``) is an attribute of a part.  In Python every attribute is a pointer, so what QEMU
declares as one needs no words here, except for arrays in which some pointers are null.
"""

from __future__ import annotations

import errno

from machine.migration.qemufile import StreamError
from machine.vmstate.vmdesc import Pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
    from machine.vmstate.vmdesc import Entry, Json

    Report = Callable[[str], None]  # takes a line for the user
    Exists = Callable[[Any, int], bool]  # given the device and the stream's version

NULL_POINTER = ord("0")  # stands where an element is missing


class Foreseen:
    """A device as loading will leave it: what has been read so far, and behind it the device.

    It has the device's attributes, to be looked at only.
    """

    def __init__(self, device: Any, values: dict[str, Any]) -> None:
        self._device = device
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            return getattr(self._device, name)


def fetch(device: Any, name: str) -> Any:
    """An attribute of the device, or of a part of it."""
    if "." not in name:
        return getattr(device, name)
    if isinstance(device, Foreseen) and name in device._values:
        return device._values[name]
    for part in name.split("."):
        device = getattr(device, part)
    return device


def store(device: Any, name: str, value: Any) -> None:
    """Set an attribute of the device, or of a part of it."""
    path, _, last = name.rpartition(".")
    setattr(fetch(device, path) if path else device, last, value)


class Count:
    """How many elements an array has, where another member of the device says so.

    Args:
        name: of that member, which comes before the array if the stream has it at all.
        type: its kind, one of the integers: it tells how much it may be.
        multiplier: elements for each one counted.
        limit: more elements are refused; None goes by what the device has room for.
    """

    __slots__ = ("limit", "multiplier", "name", "type")

    def __init__(
        self, name: str, type: type[Field], *, multiplier: int = 1, limit: int | None = None
    ) -> None:
        self.name = name
        self.type = type
        self.multiplier = multiplier
        self.limit = limit

    def of(self, device: Any) -> int:
        number: int = fetch(device, self.name)
        return max(0, number) * self.multiplier


class Field:
    """One member of a description.

    Attributes:
        type_name: what the JSON description calls the type.
        has_value: the device has something that belongs here.
        needs_local: reading looks at what the device has.
        must_exist: a stream in which it isn't there is refused.
        name: the stream's name of it, and the device's attribute.
        count: how many elements an array has; None: not an array.
        since_version: streams of an older version haven't got it.
        exists: decides alone whether a stream has it, whatever the version.
        pointers: elements of the array may be None; those take one byte.
    """

    type_name = ""
    has_value = True
    needs_local = False
    must_exist = False

    __slots__ = ("count", "exists", "name", "pointers", "since_version")

    def __init__(
        self,
        name: str,
        *,
        count: int | Count | None = None,
        since_version: int = 0,
        exists: Exists | None = None,
        pointers: bool = False,
    ) -> None:
        assert count is not None or not pointers
        self.name = name
        self.count = count
        self.since_version = since_version
        self.exists = exists
        self.pointers = pointers

    # --- what a kind of field defines

    def put(self, file: QEMUFileWriter, value: Any, device: Any) -> list[Entry]:
        """Write one element.  Returns what the description says about its inside."""
        raise NotImplementedError

    def get(self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report) -> Any:
        """Read one element; past the end it is made of zeros.

        Args:
            file: where to read.
            foreseen: the device with the fields before this one.
            local: what the device has here, if `needs_local`.
            report: takes a line before StreamError.

        Raises:
            StreamError: the value can't be right.
        """
        raise NotImplementedError

    def local_of(self, foreseen: Foreseen) -> Any:
        """What the device has here, where reading looks at it."""
        return fetch(foreseen, self.name) if self.needs_local or self.pointers else None

    def apply(self, device: Any, value: Any) -> None:
        """Give the device what was read."""
        if not self.has_value:
            return
        if isinstance(self.count, Count):
            # Only the counted part is in the stream; the room behind it stays as it is.
            elements = list(fetch(device, self.name))
            elements[: len(value)] = value
            value = elements
        store(device, self.name, value)

    @property
    def is_uniform(self) -> bool:
        """Whether all elements of an array look alike, so that one description does for all."""
        return self.exists is None

    # --- what is the same for all

    def is_present(self, device: Any, version_id: int) -> bool:
        """Whether a stream of this version has the field."""
        if self.exists:
            return self.exists(device, version_id)
        return self.since_version <= version_id

    def save(self, file: QEMUFileWriter, device: Any, shown_name: str) -> list[Json]:
        """Write all elements.  Returns their descriptions, one if they are all alike."""
        elements = self._elements_of(device)
        entries: list[Json] = []
        for index, element in enumerate(elements):
            entry: list[Entry] = [("name", shown_name)]
            if len(elements) > 1:
                is_uniform = self.is_uniform
                entry.append(("array_len", len(elements)) if is_uniform else ("index", index))
            entry.append(("type", self.type_name))
            before = file.transferred
            if self.pointers and element is None:
                file.put_byte(NULL_POINTER)
                if self.type_name == "struct":
                    entry.append(("struct", {}))
            else:
                entry += self.put(file, element, device)
            entry.append(("size", file.transferred - before))
            if index == 0 or entry[1][0] == "index":
                known = dict(entry)
                entries.append(known if len(known) == len(entry) else Pairs(entry))
        return entries

    def load(self, file: QEMUFileReader, foreseen: Foreseen, report: Report) -> Any:
        """Read all elements: the value, or for an array the list of them.

        Raises:
            StreamError: a value can't be right, or the stream ended.
        """
        local = self.local_of(foreseen)
        if self.count is None:
            return self._load_element(file, foreseen, local, report)
        count = self._checked_count(foreseen)
        if local is None:
            local = [None] * count
        return [self._load_element(file, foreseen, local[index], report) for index in range(count)]

    def _elements_of(self, device: Any) -> list[Any]:
        if self.count is None:
            return [fetch(device, self.name) if self.has_value else None]
        count = self.count.of(device) if isinstance(self.count, Count) else self.count
        if not self.has_value:
            return [None] * count
        elements: list[Any] = fetch(device, self.name)
        assert len(elements) >= count, f"{self.name}: {len(elements)} of {count} elements"
        return elements[:count]

    def _checked_count(self, foreseen: Foreseen) -> int:
        if not isinstance(self.count, Count):
            return self.count or 0
        count = self.count.of(foreseen)
        limit = self.count.limit
        if limit is None:
            limit = len(fetch(foreseen, self.name))
        if count > limit:
            raise StreamError(errno.EINVAL)
        return count

    def _load_element(
        self, file: QEMUFileReader, foreseen: Foreseen, local: Any, report: Report
    ) -> Any:
        if self.pointers and local is None:
            # The stream doesn't tell: it is the device that knows which elements are missing.
            if file.get_byte() != NULL_POINTER:
                report("vmstate: get_nullptr expected VMS_NULLPTR_MARKER")
                raise StreamError(file.error or errno.EINVAL)
            value = None
        else:
            value = self.get(file, foreseen, local, report)
        if file.error:
            raise StreamError(file.error)
        return value


class Validate(Field):
    """A claim about the fields before it, which takes no room: a stream must not break it."""

    has_value = False
    must_exist = True
    __slots__ = ()

    def __init__(self, name: str, is_valid: Exists) -> None:
        super().__init__(name, count=0, exists=is_valid)
