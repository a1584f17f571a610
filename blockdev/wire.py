"""Big-endian records whose fields are declared once: packing and unpacking both come from them.

    class SnapshotHeader(Record):
        l1_table_offset: int = wire("u64")
        l1_size: int = wire("u32")

``SnapshotHeader.SIZE`` is the length in bytes, ``unpack(data)`` reads one, ``pack()`` writes it.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_arguments):
        """Tell type checkers that fields make the constructor; nothing to do at run time."""
        return lambda decorated: decorated


_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}


class _Wire:
    def __init__(self, kind: str, default: int | None) -> None:
        self.code = _CODES[kind]
        self.default = default


def wire(kind: str, *, default: int | None = None) -> Any:
    """Declare a field of a `Record`; `kind` is u8, u16, u32, u64 or i64."""
    return _Wire(kind, default)


@dataclass_transform(kw_only_default=True, field_specifiers=(wire,))
class Record:
    """A fixed-length big-endian record; fields in the order of their declaration, no padding."""

    SIZE: ClassVar[int]
    _layout: ClassVar[struct.Struct]
    _fields: ClassVar[dict[str, _Wire]]

    def __init_subclass__(cls) -> None:
        cls._fields = {n: value for n, value in cls.__dict__.items() if isinstance(value, _Wire)}
        for name in cls._fields:
            delattr(cls, name)
        cls._layout = struct.Struct(">" + "".join(field.code for field in cls._fields.values()))
        cls.SIZE = cls._layout.size

    if not TYPE_CHECKING:

        def __init__(self, **values):
            for name, field in self._fields.items():
                value = values.pop(name, field.default)
                if value is None:
                    raise TypeError(f"{type(self).__name__}: {name} is missing")
                setattr(self, name, value)
            if values:
                raise TypeError(f"{type(self).__name__}: no field {', '.join(values)}")

    @classmethod
    def unpack(cls, data: bytes, offset: int = 0) -> Self:
        """Read a record of `SIZE` bytes at `offset`; struct.error if there are fewer."""
        return cls(**dict(zip(cls._fields, cls._layout.unpack_from(data, offset), strict=True)))

    @classmethod
    def values(cls, data: bytes, offset: int = 0) -> tuple[int, ...]:
        """The fields of a record at `offset` in their order, for reading very many of them."""
        return cls._layout.unpack_from(data, offset)

    @classmethod
    def pack_values(cls, *values: int) -> bytes:
        """The bytes of a record with these fields in their order, for very many of them."""
        return cls._layout.pack(*values)

    @classmethod
    def offset_of(cls, name: str) -> int:
        """Bytes from the start of the record to the field `name`."""
        names = list(cls._fields)
        codes = (cls._fields[n].code for n in names[: names.index(name)])
        return struct.calcsize(">" + "".join(codes))

    def pack(self, first: str | None = None, last: str | None = None) -> bytes:
        """The record's bytes, or only those of the fields `first` to `last`, both included."""
        data = self._layout.pack(*(getattr(self, name) for name in self._fields))
        start = 0 if first is None else self.offset_of(first)
        end = len(data)
        if last is not None:
            end = self.offset_of(last) + struct.calcsize(">" + self._fields[last].code)
        return data[start:end]

    def replace(self, **changes: int) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{n: changes.get(n, getattr(self, n)) for n in self._fields})
