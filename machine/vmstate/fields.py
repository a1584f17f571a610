"""All kinds of fields a device's state consists of, to be imported from here.

Numbers are in `integers`, runs of bytes in `buffers`, parts with descriptions of their own in
`structs`; what all have in common, arrays too, is in `field`.
"""

from machine.vmstate.buffers import Bitmap, Buffer, SizedBuffer, UnusedBuffer
from machine.vmstate.field import Count, Field, Foreseen, Validate
from machine.vmstate.integers import (
    Bool,
    Int8,
    Int16,
    Int32,
    Int32Equal,
    Int32LessEqual,
    Int64,
    Timer,
    UInt8,
    UInt8Equal,
    UInt16,
    UInt16Equal,
    UInt32,
    UInt32Equal,
    UInt32Part,
    UInt64,
    UInt64Equal,
)
from machine.vmstate.structs import Queue, Struct, Temporary, VersionedStruct

__all__ = [
    "Bitmap",
    "Bool",
    "Buffer",
    "Count",
    "Field",
    "Foreseen",
    "Int8",
    "Int16",
    "Int32",
    "Int32Equal",
    "Int32LessEqual",
    "Int64",
    "Queue",
    "SizedBuffer",
    "Struct",
    "Temporary",
    "Timer",
    "UInt8",
    "UInt8Equal",
    "UInt16",
    "UInt16Equal",
    "UInt32",
    "UInt32Equal",
    "UInt32Part",
    "UInt64",
    "UInt64Equal",
    "UnusedBuffer",
    "Validate",
    "VersionedStruct",
]
