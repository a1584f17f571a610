import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.migration.xbzrle import apply_runs

PAGE = bytes(range(256)) * 16


def length(number):
    return bytes([number]) if number < 0x80 else bytes([0x80 | number & 0x7F, number >> 7])


def encode(old, new):
    """The runs that make one page of another, as short as they can be."""
    runs = bytearray()
    position = 0
    while position < len(new):
        start = position
        while position < len(new) and old[position] == new[position]:
            position += 1
        if position == len(new):
            break
        runs += length(position - start)
        start = position
        while position < len(new) and old[position] != new[position]:
            position += 1
        runs += length(position - start) + new[start:position]
    return bytes(runs)


@given(st.dictionaries(st.integers(0, 4095), st.integers(0, 255), max_size=40))
def test_runs_make_the_new_page_of_the_old_one(changes):
    new = bytearray(PAGE)
    for position, value in changes.items():
        new[position] = value
    assert apply_runs(PAGE, encode(PAGE, bytes(new))) == new


def test_a_page_that_changed_everywhere_is_one_run():
    new = bytes(255 - byte for byte in PAGE)
    assert len(encode(PAGE, new)) == 1 + 2 + 4096
    assert apply_runs(PAGE, encode(PAGE, new)) == new


@pytest.mark.parametrize(
    "runs",
    [
        b"\0",  # no second number
        b"\0\0x",  # nothing new
        b"\0\2x",  # less than it says
        b"\1\1x\0\1y",  # nothing kept in between
        length(4095) + b"\2xy",  # past the page
        b"\x80\x80\1x",  # a number of three bytes
    ],
    ids=["one number", "empty run", "cut run", "no gap", "past the page", "long number"],
)
def test_runs_that_make_no_sense_are_refused(runs):
    assert apply_runs(PAGE, runs) is None
