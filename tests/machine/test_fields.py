"""Each kind of field: its bytes by hand, a round trip, and what a stream cut short does."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter, StreamError
from machine.vmstate import fields
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import (
    Bitmap,
    Bool,
    Buffer,
    Count,
    Field,
    Int8,
    Int16,
    Int32,
    Int32Equal,
    Int32LessEqual,
    Int64,
    Queue,
    SizedBuffer,
    Struct,
    Temporary,
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
    UnusedBuffer,
    Validate,
    VersionedStruct,
)
from machine.vmstate.integers import Equal
from machine.vmstate.vmdesc import Pairs, to_json
from tests.machine.machines import Bytes, Collecting
from tests.machine.test_description import Thing, load, save


def line(level=0):
    return Thing(level=level)


LINE = VMStateDescription(name="line", fields=(UInt8("level"),))
WIRE = VMStateDescription(
    name="wire", version_id=3, fields=(UInt8("level"), UInt8("more", since_version=3))
)


def _split(tmp):
    tmp.low, tmp.high = tmp.parent.x & 0xFF, tmp.parent.x >> 8


def _join(tmp, version_id):
    tmp.parent.x = tmp.high << 8 | tmp.low


HALVES = VMStateDescription(
    name="halves",
    fields=(UInt8("low"), UInt8("high")),
    pre_save=_split,
    post_load=_join,
)


class Row:
    """A field with values that it can have, one of them with its bytes.

    `device` makes a device out of a value, `blank` the device that the stream is loaded into:
    it has what isn't in the stream.
    """

    def __init__(self, field, example, data, values, *, device=None, blank=None, before=()):
        self.fields = (*before, *(field if isinstance(field, tuple) else (field,)))
        self.example = example
        self.data = bytes.fromhex(data)
        self.values = values
        self.device = device or (lambda value: Thing(x=value))
        self.blank = blank or (lambda value: Thing(x=None))

    @property
    def description(self):
        return VMStateDescription(name="row", version_id=2, fields=self.fields)


def whole(bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


def same(value):
    return Thing(x=value)


U8, U16, U64 = whole(8, False), whole(16, False), whole(64, False)
COUNTED_BY = {
    Int32: st.lists(U8, max_size=9),
    UInt32: st.lists(U8, max_size=9),
    UInt16: st.lists(U8, max_size=9),
    UInt8: st.lists(U8, max_size=9),
}


def counted(value):
    return Thing(n=len(value), x=list(value))


def room(value):
    """A device with just enough room, and other things in it."""
    return Thing(n=0, x=[0] * len(value))


def lines_of(value):
    return Thing(n=len(value), x=[line(level) for level in value])


def pointers(value):
    return Thing(x=[None if level is None else line(level) for level in value])


ROWS = {
    "int8": Row(Int8("x"), -2, "fe", whole(8, True)),
    "int16": Row(Int16("x"), -2, "fffe", whole(16, True)),
    "int32": Row(Int32("x"), -2, "fffffffe", whole(32, True)),
    "int64": Row(Int64("x"), -2, "fffffffffffffffe", whole(64, True)),
    "uint8": Row(UInt8("x"), 0xFE, "fe", U8),
    "uint16": Row(UInt16("x"), 0x1234, "1234", U16),
    "uint32": Row(UInt32("x"), 0x12345678, "12345678", whole(32, False)),
    "uint64": Row(UInt64("x"), 0xFEDCBA9876543210, "fedcba9876543210", U64),
    "int16 array": Row(
        Int16("x", count=3), [1, -2, 3], "0001fffe0003",
        st.lists(whole(16, True), min_size=3, max_size=3),
    ),
    "int64 array": Row(
        Int64("x", count=2), [1, -2], "0000000000000001fffffffffffffffe",
        st.lists(whole(64, True), min_size=2, max_size=2),
    ),
    "part of an array": Row(
        UInt32Part("x[5]", "x", start=1, count=2), [5, 6], "0000000500000006",
        st.lists(whole(32, False), min_size=2, max_size=2),
        device=lambda value: Thing(x=[1, *value, 1]),
        blank=lambda value: Thing(x=[1, 0, 0, 1]),
    ),
    "bool": Row(Bool("x"), True, "01", st.booleans()),
    "timer": Row(
        Timer("x"), 1000, "00000000000003e8", st.none() | st.integers(0, (1 << 63) - 1)
    ),
    "timer that doesn't run": Row(Timer("x"), None, "ffffffffffffffff", st.none()),
    "int32 equal": Row(Int32Equal("x"), -2, "fffffffe", whole(32, True), blank=same),
    "uint8 equal": Row(UInt8Equal("x"), 0xFE, "fe", U8, blank=same),
    "uint16 equal": Row(UInt16Equal("x"), 0x1234, "1234", U16, blank=same),
    "uint32 equal": Row(UInt32Equal("x"), 9, "00000009", whole(32, False), blank=same),
    "uint64 equal": Row(UInt64Equal("x"), 9, "0000000000000009", U64, blank=same),
    "int32 le": Row(
        Int32LessEqual("x"),
        7,
        "00000007",
        st.integers(0, (1 << 31) - 1),
        blank=lambda value: Thing(x=min(value + 5, (1 << 31) - 1)),
    ),
    "buffer": Row(Buffer("x", 3), b"abc", "616263", st.binary(min_size=3, max_size=3)),
    "part of a buffer": Row(
        Buffer("x", 2, start=1),
        b"bc",
        "6263",
        st.binary(min_size=2, max_size=2),
        device=lambda value: Thing(x=b"." + value + b".."),
        blank=lambda value: Thing(x=b".--.."),
    ),
    "array of buffers": Row(
        Buffer("x", 2, count=2),
        [b"ab", b"cd"],
        "61626364",
        st.lists(st.binary(min_size=2, max_size=2), min_size=2, max_size=2),
    ),
    "sized buffer": Row(
        SizedBuffer("x", size_field="n", limit=9),
        b"ab",
        "00000002 6162",
        st.binary(max_size=9),
        before=(UInt32("n"),),
        device=lambda value: Thing(n=len(value), x=value),
        blank=lambda value: Thing(n=0, x=b""),
    ),
    "sized buffer with a multiplier and a start": Row(
        SizedBuffer("x", size_field="n", limit=20, multiplier=2, start=1),
        b"abcd",
        "02 61626364",
        st.binary(max_size=9).map(lambda data: data[: len(data) // 2 * 2]),
        before=(UInt8("n"),),
        device=lambda value: Thing(n=len(value) // 2, x=bytearray(b"." + value + b".")),
        blank=lambda value: Thing(n=0, x=bytearray(b"." + b"-" * len(value) + b".")),
    ),
    "unused buffer": Row(
        UnusedBuffer(2), None, "0000", st.none(), device=lambda _: Thing(), blank=lambda _: Thing()
    ),
    "bitmap": Row(
        Bitmap("x", size_field="n", limit=128),
        1 | 1 << 65,
        "0000000000000001 0000000000000002",
        whole(70, False),
        device=lambda value: Thing(n=70, x=value),
        blank=lambda value: Thing(n=70, x=0),
    ),
    "array": Row(
        UInt16("x", count=3), [1, 2, 3], "000100020003", st.lists(U16, min_size=3, max_size=3)
    ),
    "array of parts": Row(
        Struct("x", LINE, count=2),
        [7, 8],
        "0708",
        st.lists(U8, min_size=2, max_size=2),
        device=lambda value: Thing(x=[line(level) for level in value]),
        blank=lambda value: Thing(x=[line(), line()]),
    ),
    "array of pointers": Row(
        Struct("x", LINE, count=3, pointers=True),
        [7, None, 8],
        "073008",
        st.lists(st.none() | U8, min_size=3, max_size=3),
        device=pointers,
        blank=lambda value: pointers([None if level is None else 0 for level in value]),
    ),
    "array of pointers to numbers": Row(
        UInt16("x", count=3, pointers=True),
        [None, 1, None],
        "30000130",
        st.lists(st.none() | U16, min_size=3, max_size=3),
        blank=lambda value: Thing(x=[None if number is None else 0 for number in value]),
    ),
    "counted array of parts": Row(
        Struct("x", LINE, count=Count("n", UInt8)),
        [7, 8],
        "020708",
        st.lists(U8, max_size=9),
        before=(UInt8("n"),),
        device=lines_of,
        blank=lambda value: Thing(n=0, x=[line() for _ in value]),
    ),
    "array made anew": Row(
        Struct("x", LINE, count=Count("n", UInt8, limit=9), make=line),
        [7, 8],
        "020708",
        st.lists(U8, max_size=9),
        before=(UInt8("n"),),
        device=lines_of,
        blank=lambda value: Thing(n=3, x=[line(77)] * 3),
    ),
    "counted with a multiplier": Row(
        UInt8("x", count=Count("n", UInt8, multiplier=2)),
        [7, 8],
        "010708",
        st.lists(U8, max_size=9).map(lambda numbers: numbers * 2),
        before=(UInt8("n"),),
        device=lambda value: Thing(n=len(value) // 2, x=value),
        blank=room,
    ),
    "part": Row(
        Struct("x", LINE),
        7,
        "07",
        U8,
        device=lambda value: Thing(x=line(value)),
        blank=lambda value: Thing(x=line()),
    ),
    "part of an older version": Row(
        VersionedStruct("x", WIRE, 2),
        7,
        "07",
        U8,
        device=lambda value: Thing(x=Thing(level=value, more=1)),
        blank=lambda value: Thing(x=Thing(level=0, more=1)),
    ),
    "temporary": Row(
        Temporary(HALVES, lambda device: Thing(parent=device)), 0x1234, "3412", U16
    ),
    "queue": Row(
        Queue("x", LINE, line, limit=9),
        [7, 8],
        "0107010800",
        st.lists(U8, max_size=9),
        device=lambda value: Thing(x=[line(level) for level in value]),
        blank=lambda value: Thing(x=[line(77)]),
    ),
    "member of a part": Row(
        UInt8("x.y"),
        7,
        "07",
        U8,
        device=lambda value: Thing(x=Thing(y=value)),
        blank=lambda value: Thing(x=Thing(y=0)),
    ),
} | {
    f"counted by {kind.type_name}": Row(
        UInt8("x", count=Count("n", kind)),
        [7, 8],
        (2).to_bytes(kind.size, "big").hex() + "0708",
        values,
        before=(kind("n"),),
        device=counted,
        blank=room,
    )
    for kind, values in COUNTED_BY.items()
}  # fmt: skip
FOOTER = b"\x7e"  # what follows tells that there is no subsection
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def test_every_kind_of_field_has_a_row():
    used = {type(field) for row in ROWS.values() for field in row.fields}
    kinds = {getattr(fields, name) for name in fields.__all__}
    kinds = {kind for kind in kinds if issubclass(kind, Field)}
    assert kinds - used == {Field, Validate}


@rows
def test_its_bytes(row):
    assert save(row.description, row.device(row.example))[0] == row.data
    device = row.blank(row.example)
    load(row.description, row.data + FOOTER, device).apply(device)
    assert device == row.device(row.example)


@rows
@settings(max_examples=30)
@given(data=st.data())
def test_it_comes_back_as_it_went(row, data):
    value = data.draw(row.values)
    description = row.description
    stream, written = save(description, row.device(value))
    device = row.blank(value)
    # Behind an element a 05 may be the mark of a subsection, whose name is then looked for.
    file = QEMUFileReader(Bytes(stream + FOOTER + bytes(256)))
    description.load(file, device, 2, pytest.fail).apply(device)
    assert file.get_buffer(len(FOOTER)) == FOOTER
    assert device == row.device(value)
    to_json(written)


@rows
def test_cut_short_it_is_refused_and_the_device_stays(row):
    for size in range(len(row.data)):
        device, reports = row.blank(row.example), []
        with pytest.raises(StreamError) as refused:
            load(row.description, row.data[:size], device, reports=reports)
        # What is compared is compared before anybody asks whether all of it came.
        is_compared = isinstance(row.fields[-1], Equal)
        assert refused.value.errno_value == (errno.EINVAL if is_compared else errno.EIO)
        assert reports[-1].startswith("Failed to load row:")
        assert device == row.blank(row.example)


# --- what is refused

REFUSED = {
    "int32 equal": (Int32Equal("x"), -2, "00000001", ["fffffffe != 1"]),
    "uint8 equal": (UInt8Equal("x"), 0xA, "0b", ["a != b"]),
    "uint16 equal": (UInt16Equal("x"), 0x100, "00ff", ["100 != ff"]),
    "uint32 equal": (UInt32Equal("x"), 0, "ffffffff", ["0 != ffffffff"]),
    "uint64 equal": (UInt64Equal("x"), 0, "8000000000000000", ["0 != 8000000000000000"]),
    "hint": (UInt8Equal("x", hint="Turn it off."), 1, "02", ["1 != 2", "Turn it off."]),
    "greater": (Int32LessEqual("x"), 7, "00000008", [
        "Invalid value 8 expecting positive value <= 7"]),
    "negative": (Int32LessEqual("x"), 7, "ffffffff", [
        "Invalid value -1 expecting positive value <= 7"]),
    "null pointer": (UInt8("x", count=1, pointers=True), [None], "31", [
        "vmstate: get_nullptr expected VMS_NULLPTR_MARKER"]),
    "queue": (Queue("x", LINE, line, limit=1), [], "0107010800", []),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_that_cannot_be_is_refused_in_qemus_words(name):
    field, own, data, lines = REFUSED[name]
    device, reports = Thing(x=own), []
    description = VMStateDescription(name="row", fields=(field,))
    with pytest.raises(StreamError) as refused:
        load(description, bytes.fromhex(data), device, reports=reports)
    assert refused.value.errno_value == errno.EINVAL
    assert reports == [*lines, "Failed to load row:x"]
    assert device == Thing(x=own)


def limited(field, kind=UInt32):
    return VMStateDescription(name="row", fields=(kind("n"), field))


@pytest.mark.parametrize(
    "description",
    [
        limited(UInt8("x", count=Count("n", UInt32))),
        limited(UInt8("x", count=Count("n", UInt32, limit=2))),
        limited(Struct("x", LINE, count=Count("n", UInt32, limit=2), make=line)),
        limited(SizedBuffer("x", size_field="n", limit=2)),
        limited(SizedBuffer("x", size_field="n", limit=2), Int32),
        limited(Bitmap("x", size_field="n", limit=2)),
    ],
)
def test_a_number_past_its_limit_is_refused_before_anything_is_sized_by_it(description):
    device, reports = Thing(n=0, x=[0, 0]), []
    with pytest.raises(StreamError):
        load(description, b"\xff" * 4 + bytes(1000), device, reports=reports)
    assert reports == ["Failed to load row:x"]


def test_a_negative_number_of_elements_is_none():
    device = Thing(n=0, x=[5])
    description = limited(UInt8("x", count=Count("n", Int32)), Int32)
    load(description, b"\xff" * 4, device).apply(device)
    assert device == Thing(n=-1, x=[5])


def test_a_counted_array_leaves_the_room_behind_it_alone():
    device = Thing(n=0, x=[5, 6, 7])
    description = limited(UInt8("x", count=Count("n", UInt8)), UInt8)
    load(description, b"\x02\x01\x02", device).apply(device)
    assert device == Thing(n=2, x=[1, 2, 7])
    assert save(description, device)[0] == b"\x02\x01\x02"


def test_a_claim_takes_no_room_and_refuses_what_breaks_it():
    description = VMStateDescription(
        name="row",
        fields=(UInt8("x"), Validate("x is small", lambda row, version: row.x < 10), UInt8("y")),
    )
    device = Thing(x=9, y=3)
    data, written = save(description, device)
    assert data == b"\x09\x03"
    assert [field["name"] for field in written["fields"]] == ["x", "y"]
    load(description, b"\x05\x04", device).apply(device)
    assert device == Thing(x=5, y=4)
    reports = []
    with pytest.raises(StreamError) as refused:
        load(description, b"\x0a\x04", device, reports=reports)
    assert refused.value.errno_value == errno.EPERM
    assert reports == ["Input validation failed: row/x is small"]
    assert device == Thing(x=5, y=4)


# --- whether a field is there


def test_a_test_decides_alone_and_sees_what_was_read_before():
    description = VMStateDescription(
        name="row",
        version_id=3,
        fields=(
            UInt8("x"),
            UInt8("y", since_version=3, exists=lambda row, version: row.x == 1),
            UInt8("z", exists=lambda row, version: version > 1 and row.fixed),
        ),
    )
    device = Thing(x=1, y=2, z=3, fixed=True)
    assert save(description, device)[0] == b"\x01\x02\x03"
    assert save(description, Thing(x=0, y=2, z=3, fixed=False))[0] == b"\x00"
    blank = Thing(x=0, y=0, z=9, fixed=True)
    load(description, b"\x01\x05", blank, version=1).apply(blank)
    assert blank == Thing(x=1, y=5, z=9, fixed=True)


# --- the description


def entries(field, device):
    return save(VMStateDescription(name="row", fields=(field,)), device)[1]["fields"]


def test_an_array_that_a_test_decides_on_is_described_one_by_one():
    always = {"exists": lambda row, version: True}
    assert entries(UInt8("x", count=2, **always), Thing(x=[1, 2])) == [
        {"name": "x", "index": 0, "type": "uint8", "size": 1},
        {"name": "x", "index": 1, "type": "uint8", "size": 1},
    ]


def test_an_array_of_one_is_described_like_a_single_one_and_an_empty_one_not_at_all():
    assert entries(UInt8("x", count=1), Thing(x=[1])) == [{"name": "x", "type": "uint8", "size": 1}]
    assert entries(UInt8("x", count=Count("n", UInt8)), Thing(n=0, x=[1])) == []


def test_what_has_its_description_inside_and_what_around_it():
    inside = {
        "vmsd_name": "line",
        "version": 1,
        "fields": [{"name": "level", "type": "uint8", "size": 1}],
    }
    assert entries(Struct("x", LINE), Thing(x=line())) == [
        {"name": "x", "type": "struct", "struct": inside, "size": 1}
    ]
    assert entries(VersionedStruct("x", LINE, 1), Thing(x=line())) == [
        {"name": "x", "type": "vstruct", **inside, "size": 1}
    ]
    assert entries(Temporary(LINE, lambda device: line()), Thing()) == [
        {"name": "tmp", "type": "tmp", **inside, "size": 1}
    ]
    queue = Queue("x", LINE, line, limit=9)
    assert entries(queue, Thing(x=[])) == [{"name": "x", "type": "qtailq", "size": 1}]
    assert entries(queue, Thing(x=[line()])) == [
        {"name": "x", "type": "qtailq", **inside, "size": 3}
    ]
    (twice,) = entries(queue, Thing(x=[line(), line()]))
    assert isinstance(twice, Pairs)
    shown = to_json(inside)[1:-1]
    assert to_json(twice) == f'{{"name": "x", "type": "qtailq", {shown}, {shown}, "size": 5}}'


# --- old streams and hooks


def test_an_old_style_loader_reads_what_is_older_than_the_fields():
    def load_old(file, device, version_id):
        assert version_id == 2
        return {"x": file.get_be16() + device.offset}

    description = VMStateDescription(
        name="row",
        version_id=4,
        minimum_version_id=3,
        minimum_version_id_old=2,
        load_state_old=load_old,
        fields=(UInt8("x"),),
        post_load=lambda device, version: setattr(device, "x", -1),
    )
    device = Thing(x=0, offset=100)
    load(description, b"\x00\x05", device, version=2).apply(device)
    assert device.x == 105
    with pytest.raises(StreamError) as refused:
        load(description, b"\x00", device, version=2)
    assert refused.value.errno_value == errno.EIO
    reports = []
    with pytest.raises(StreamError):
        load(description, b"\x00\x05", device, version=1, reports=reports)
    assert reports == ["row: incoming version_id 1 is too old for local minimum version_id  3"]
    assert device.x == 105


def test_the_device_is_prepared_once_the_record_is_good():
    description = VMStateDescription(
        name="row",
        version_id=2,
        minimum_version_id=1,
        fields=(UInt8("x"), UInt8("y", since_version=2)),
        pre_load=lambda device: setattr(device, "y", 99),
    )
    device = Thing(x=1, y=2)
    with pytest.raises(StreamError):
        load(description, b"", device)
    assert device == Thing(x=1, y=2)
    load(description, b"\x07", device, version=1).apply(device)
    assert device == Thing(x=7, y=99)


def test_unused_room_is_skipped_in_pieces():
    description = VMStateDescription(name="row", fields=(UnusedBuffer(1 << 20),))
    data, written = save(description, Thing())
    assert data == bytes(1 << 20)
    assert written["fields"][0]["size"] == 1 << 20
    sizes = []

    class Watched(QEMUFileReader):
        def get_buffer(self, size):
            sizes.append(size)
            return super().get_buffer(size)

    description.load(Watched(Bytes(data + FOOTER)), Thing(), 1, pytest.fail)
    assert (max(sizes), sum(sizes)) == (1024, 1 << 20)


def test_a_buffer_may_change_once_it_is_saved():
    device = Thing(x=bytearray(b"a" * 9000))
    channel = Collecting()
    file = QEMUFileWriter(channel)
    VMStateDescription(name="row", fields=(Buffer("x", 9000),)).save(file, device)
    device.x[:] = b"b" * 9000
    file.flush()
    assert channel.data == b"a" * 9000
