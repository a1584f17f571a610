"""Limits of drives: how long requests wait, on a clock that the test moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.backend import Backend
from blockdev.errors import QemuError
from blockdev.explicit_filter import ThrottleNode
from blockdev.null import NullNode
from blockdev.throttle import Throttle, check_limits

SECOND = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def spend(throttle, clock, operations, *, is_write=True):
    """Do operations of these sizes, each as early as it may be; how many seconds that takes."""
    for size in operations:
        clock.now += throttle.wait_ns(is_write=is_write)
        throttle.account(size, is_write=is_write)
    return clock.now / SECOND


@given(
    speed=st.integers(1000, 10_000_000),
    sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=40),
)
def test_over_time_no_more_goes_through_than_is_allowed(speed, sizes):
    clock = Clock()
    throttle = Throttle("g", {"bps-total": speed}, clock)
    seconds = spend(throttle, clock, sizes)
    # The last request may begin when those before it are paid for, but for a tenth of a second.
    paid = sum(sizes[:-1])
    assert seconds == pytest.approx(max(0, paid / speed - 0.1), rel=0.01, abs=0.11)


@pytest.mark.parametrize("is_write", [False, True])
def test_reads_and_writes_have_limits_of_their_own(is_write):
    clock = Clock()
    throttle = Throttle("g", {"iops-write": 10}, clock)
    seconds = spend(throttle, clock, [4096] * 21, is_write=is_write)
    assert seconds == (pytest.approx(1.9, abs=0.11) if is_write else 0)


def test_a_burst_goes_through_at_once():
    clock = Clock()
    limits = {"bps-total": 1000, "bps-total-max": 5000}
    assert spend(Throttle("g", limits, clock), clock, [1000] * 5) == 0
    assert spend(Throttle("g", limits, clock), clock, [1000] * 10) == pytest.approx(4, abs=0.1)


def test_large_operations_count_for_several():
    clock = Clock()
    throttle = Throttle("g", {"iops-total": 10, "iops-size": 1000}, clock)
    assert spend(throttle, clock, [10_000, 0]) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (
            {"bps-total": 1, "bps-read": 1},
            "bps/iops/max total values and read/write values cannot be used at the same time",
        ),
        ({"iops-size": 1}, "iops size requires an iops value to be set"),
        ({"bps-read": -1}, "bps/iops/max values must be within [0, 1000000000000000]"),
        ({"bps-read-max": 1}, "bps_max/iops_max require corresponding bps/iops values"),
        ({"bps-read": 2, "bps-read-max": 1}, "bps_max/iops_max cannot be lower than bps/iops"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits, text):
    with pytest.raises(QemuError) as caught:
        check_limits(limits)
    assert str(caught.value) == text


def test_drives_of_one_group_share_its_limits():
    clock = Clock()
    group = Throttle("g", {"bps-write": 1000}, clock)
    nodes = [ThrottleNode(name, NullNode("null", "null-co"), group) for name in ("a", "b")]
    drives = [Backend(node.node_name, node) for node in nodes]
    drives[0].write(0, [bytes(1100)])
    assert drives[1].wait_ns(is_write=True) == SECOND
    assert drives[1].wait_ns(is_write=False) == 0


def test_a_limit_that_is_lifted_holds_nobody_up():
    clock = Clock()
    throttle = Throttle("g", {"bps-total": 1}, clock)
    throttle.account(1 << 20, is_write=True)
    assert throttle.wait_ns(is_write=True) > 0
    throttle.set_limits({})
    assert throttle.wait_ns(is_write=True) == 0
