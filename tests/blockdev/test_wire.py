import pytest

from blockdev.wire import Record, wire


class Point(Record):
    x: int = wire("u16")
    y: int = wire("u32", default=7)
    z: int = wire("u64", default=0)


def test_a_record_packs_its_fields_big_endian_in_order() -> None:
    assert Point(x=1, y=2, z=3).pack() == bytes.fromhex("0001 00000002 0000000000000003")
    assert Point.SIZE == 14


def test_unpacking_gives_back_what_was_packed() -> None:
    point = Point.unpack(b"--" + Point(x=5).pack(), 2)
    assert (point.x, point.y, point.z) == (5, 7, 0)


def test_a_part_of_a_record_can_be_packed_alone() -> None:
    assert Point(x=1, y=2, z=3).pack("y", "y") == bytes.fromhex("00000002")
    assert Point.offset_of("z") == 6


def test_replace_changes_a_copy() -> None:
    point = Point(x=1)
    assert point.replace(x=9).x == 9
    assert point.x == 1


def test_a_missing_or_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="x is missing"):
        Point(y=1)  # type: ignore[call-arg]  # what the test is about
    with pytest.raises(TypeError, match="no field w"):
        Point(x=1, w=2)  # type: ignore[call-arg]  # what the test is about
