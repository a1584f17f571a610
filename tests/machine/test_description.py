import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.migration.qemufile import (
    QEMUFileReader,
    QEMUFileWriter,
    StreamError,
    StreamStalled,
)
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import (
    Bool,
    Buffer,
    Int8,
    Int16,
    Int32,
    Int64,
    SizedBuffer,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UnusedBuffer,
)
from machine.vmstate.vmdesc import to_json
from tests.machine.machines import Bytes, Collecting, Dripping
from tests.machine.reference import outgoing


class Thing:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __eq__(self, other):
        return self.__dict__ == other.__dict__

    def __repr__(self):
        return f"Thing({self.__dict__})"


def save(description, device):
    channel = Collecting()
    file = QEMUFileWriter(channel)
    written = description.save(file, device)
    file.flush()
    return bytes(channel.data), written


def load(description, data, device, version=None, reports=None, channel=Bytes):
    reports = [] if reports is None else reports
    version = description.version_id if version is None else version
    return description.load(QEMUFileReader(channel(data)), device, version, reports.append)


LINE = VMStateDescription(name="line", fields=(UInt8("level"), Bool("masked")))
CHIP = VMStateDescription(
    name="chip",
    version_id=3,
    minimum_version_id=1,
    fields=(
        Int8("a"),
        Int16("b"),
        Int32("c"),
        Int64("d", since_version=2),
        UInt16("e", count=3),
        UnusedBuffer(2),
        UInt64("f", since_version=3),
        Buffer("bytes", 5),
        Struct("line", LINE),
        Struct("lines", LINE, count=2),
        UnusedBuffer(1),
    ),
    subsections=(
        VMStateDescription(
            name="chip/odd",
            version_id=2,
            fields=(UInt32("a_odd"),),
            needed=lambda chip: chip.a % 2 == 1,
        ),
    ),
)


def chip(**changes):
    state = {
        "a": -1,
        "b": -2,
        "c": -3,
        "d": -4,
        "e": [5, 6, 7],
        "f": (1 << 64) - 8,
        "bytes": b"bytes",
        "line": Thing(level=9, masked=True),
        "lines": [Thing(level=10, masked=False), Thing(level=11, masked=True)],
        "a_odd": 12,
    }
    return Thing(**(state | changes))


CHIP_BYTES = bytes.fromhex(
    "ff fffe fffffffd fffffffffffffffc 000500060007 0000 fffffffffffffff8 6279746573"
    "0901 0a00 0b01 00"
)
ODD_BYTES = bytes.fromhex("05 08 636869702f6f6464 00000002 0000000c")


def test_fields_follow_each_other_without_gaps():
    assert save(CHIP, chip())[0] == CHIP_BYTES + ODD_BYTES


def test_a_subsection_is_written_only_when_it_is_needed():
    data, written = save(CHIP, chip(a=-2))
    assert len(data) == len(CHIP_BYTES)
    assert "subsections" not in written


def test_the_description_has_qemus_shape():
    _, written = save(CHIP, chip())
    line = {
        "vmsd_name": "line",
        "version": 1,
        "fields": [
            {"name": "level", "type": "uint8", "size": 1},
            {"name": "masked", "type": "bool", "size": 1},
        ],
    }
    assert written == {
        "vmsd_name": "chip",
        "version": 3,
        "fields": [
            {"name": "a", "type": "int8", "size": 1},
            {"name": "b", "type": "int16", "size": 2},
            {"name": "c", "type": "int32", "size": 4},
            {"name": "d", "type": "int64", "size": 8},
            {"name": "e", "array_len": 3, "type": "uint16", "size": 2},
            {"name": "unused[0]", "type": "unused_buffer", "size": 2},
            {"name": "f", "type": "uint64", "size": 8},
            {"name": "bytes", "type": "buffer", "size": 5},
            {"name": "line", "type": "struct", "struct": line, "size": 2},
            {"name": "lines", "array_len": 2, "type": "struct", "struct": line, "size": 2},
            {"name": "unused[1]", "type": "unused_buffer", "size": 1},
        ],
        "subsections": [
            {
                "vmsd_name": "chip/odd",
                "version": 2,
                "fields": [{"name": "a_odd", "type": "uint32", "size": 4}],
            }
        ],
    }
    assert to_json(written) == json.dumps(written)


def key_orders(value):
    """In which orders the keys of all objects inside a JSON value come."""
    if isinstance(value, list):
        return {order for item in value for order in key_orders(item)}
    if isinstance(value, dict):
        inner = {order for item in value.values() for order in key_orders(item)}
        return {tuple(value)} | inner
    return set()


def test_the_keys_come_in_the_order_of_a_real_qemu(qemu, tmp_path):
    stream = outgoing(qemu, tmp_path, ["-accel", "tcg", "-m", "1"], machine="isapc")
    text = stream[stream.rindex(b'{"page_size"') :]
    real = json.loads(text)
    assert to_json(real).encode() == text
    board = VMStateDescription(name="board", fields=(Struct("chips", CHIP, count=2),))
    for description, device in ((board, Thing(chips=[chip(), chip()])), (CHIP, chip())):
        assert key_orders(save(description, device)[1]) <= key_orders(real["devices"])


def test_elements_that_may_differ_are_described_one_by_one():
    description = VMStateDescription(name="board", fields=(Struct("chips", CHIP, count=2),))
    _, written = save(description, Thing(chips=[chip(), chip(a=-2)]))
    first, second = written["fields"]
    assert (first["index"], second["index"]) == (0, 1)
    assert first["size"] == len(CHIP_BYTES + ODD_BYTES)
    assert second["size"] == len(CHIP_BYTES)
    assert list(first) == ["name", "index", "type", "struct", "size"]


def blank():
    return chip(
        a=0, b=0, c=0, d=44, e=[0, 0, 0], f=66, bytes=b"", a_odd=77,
        line=Thing(level=0, masked=False),
        lines=[Thing(level=0, masked=False), Thing(level=0, masked=False)],
    )  # fmt: skip


def test_loading_gives_back_what_was_saved():
    device = blank()
    load(CHIP, CHIP_BYTES + ODD_BYTES, device).apply(device)
    assert device == chip()


def test_a_device_stays_as_it_is_until_the_record_is_applied():
    device = blank()
    load(CHIP, CHIP_BYTES + ODD_BYTES, device)
    assert device == blank()


@pytest.mark.parametrize("size", range(len(CHIP_BYTES)))
def test_a_record_cut_short_leaves_the_device_alone_and_names_the_field(size):
    device, reports = blank(), []
    with pytest.raises(StreamError) as refused:
        load(CHIP, CHIP_BYTES[:size], device, reports=reports)
    assert refused.value.errno_value == errno.EIO
    assert reports[-1].startswith("Failed to load chip:")
    assert device == blank()


def test_a_failure_in_a_part_names_the_part_and_then_the_whole():
    reports = []
    with pytest.raises(StreamError):
        load(CHIP, CHIP_BYTES[:-2], blank(), reports=reports)
    assert reports == ["Failed to load line:masked", "Failed to load chip:lines"]


def test_an_older_stream_lacks_the_newer_fields():
    data = CHIP_BYTES[:7] + CHIP_BYTES[15:23] + CHIP_BYTES[31:]
    device = blank()
    load(CHIP, data + ODD_BYTES, device, version=1).apply(device)
    assert device == chip(d=44, f=66)


@pytest.mark.parametrize(
    ("version", "report"),
    [
        (4, "chip: incoming version_id 4 is too new for local version_id 3"),
        (0, "chip: incoming version_id 0 is too old for local minimum version_id  1"),
    ],
)
def test_versions_out_of_range_are_refused(version, report):
    reports = []
    with pytest.raises(StreamError) as refused:
        load(CHIP, CHIP_BYTES, blank(), version=version, reports=reports)
    assert (refused.value.errno_value, reports) == (errno.EINVAL, [report])


def subsection(name, version=2):
    return bytes([5, len(name)]) + name + version.to_bytes(4, "big") + b"\0\0\0\x0c"


@pytest.mark.parametrize("name", [b"chip", b"other/x", b"chi", b""])
def test_what_is_not_called_like_the_device_is_left_for_whoever_comes_next(name):
    reader = QEMUFileReader(Bytes(CHIP_BYTES + subsection(name)))
    CHIP.load(reader, blank(), 3, [].append)
    assert reader.get_buffer(2) == bytes([5, len(name)])


@pytest.mark.parametrize("name", [b"chip/new", b"chipset", b"chip/"])
def test_an_unknown_subsection_of_the_device_is_refused(name):
    with pytest.raises(StreamError) as refused:
        load(CHIP, CHIP_BYTES + subsection(name), blank())
    assert refused.value.errno_value == errno.ENOENT


def test_a_subsections_version_is_checked_by_its_lowest_byte():
    device = blank()
    load(CHIP, CHIP_BYTES + subsection(b"chip/odd", 0x102), device).apply(device)
    assert device.a_odd == 12
    reports = []
    with pytest.raises(StreamError):
        load(CHIP, CHIP_BYTES + subsection(b"chip/odd", 3), blank(), reports=reports)
    assert reports == ["chip/odd: incoming version_id 3 is too new for local version_id 2"]


def test_hooks_run_before_saving_after_reading_and_after_loading():
    calls = []

    def check(device, record, report):
        calls.append(("check", device.x, record.values["x"]))
        if record.values["x"] > 100:
            report("too much")
            raise StreamError(errno.ERANGE)

    description = VMStateDescription(
        name="hooked",
        version_id=2,
        fields=(UInt8("x"),),
        pre_save=lambda device: calls.append("pre_save"),
        check=check,
        post_load=lambda device, version: calls.append(("post_load", device.x, version)),
    )
    device = Thing(x=7)
    assert save(description, device)[0] == b"\x07"
    load(description, b"\x09", device, version=1).apply(device)
    assert calls == ["pre_save", ("check", 7, 9), ("post_load", 9, 1)]
    reports = []
    with pytest.raises(StreamError):
        load(description, b"\xff", device, reports=reports)
    assert (device.x, reports) == (9, ["too much"])


def test_any_nonzero_byte_is_true():
    device = Thing(level=0, masked=False)
    load(LINE, b"\x01\x80", device).apply(device)
    assert device.masked is True


def test_a_length_past_the_limit_is_refused_before_anything_is_read_by_it():
    description = VMStateDescription(
        name="sized",
        fields=(UInt32("size"), SizedBuffer("data", size_field="size", limit=100)),
    )
    device = Thing(size=0, data=b"")
    load(description, b"\0\0\0\x64" + b"x" * 100, device).apply(device)
    assert device.data == b"x" * 100
    assert save(description, device)[0] == b"\0\0\0\x64" + b"x" * 100
    reports = []
    with pytest.raises(StreamError):
        load(description, b"\xff\xff\xff\xff" + b"x" * 200, device, reports=reports)
    assert reports == ["Failed to load sized:data"]


def integers(bits, signed):
    low = -(1 << bits - 1) if signed else 0
    return st.integers(low, low + (1 << bits) - 1)


lines = st.builds(Thing, level=integers(8, False), masked=st.booleans())
chips = st.builds(
    Thing,
    a=integers(8, True),
    b=integers(16, True),
    c=integers(32, True),
    d=integers(64, True),
    e=st.lists(integers(16, False), min_size=3, max_size=3),
    f=integers(64, False),
    bytes=st.binary(min_size=5, max_size=5),
    line=lines,
    lines=st.lists(lines, min_size=2, max_size=2),
    a_odd=integers(32, False),
)


@given(chips)
def test_any_state_survives_the_way_out_and_in(device):
    data, written = save(CHIP, device)
    loaded = blank()
    record = load(CHIP, data + b"\x7e", loaded)
    record.apply(loaded)
    if device.a % 2 == 0:
        device.a_odd = 77
    assert loaded == device
    assert save(CHIP, loaded)[0] == data
    sizes = sum(f["size"] * f.get("array_len", 1) for f in written["fields"])
    assert sizes == len(CHIP_BYTES)


def test_loading_may_be_repeated_from_the_mark():
    reader = QEMUFileReader(Dripping(CHIP_BYTES + ODD_BYTES + b"\x7e", 1))
    stalls = 0
    while True:
        reader.mark()
        try:
            record = CHIP.load(reader, blank(), 3, pytest.fail)
            break
        except StreamStalled:
            stalls += 1
            reader.rewind()
    device = blank()
    record.apply(device)
    assert device == chip()
    assert stalls == len(CHIP_BYTES + ODD_BYTES) + 1
