from hypothesis import given
from hypothesis import strategies as st

from machine.migration.qemufile import QEMUFileWriter
from machine.migration.rate_limit import WINDOW_NS, RateLimit
from tests.machine.machines import Collecting

MS = 1_000_000


class Clock:
    def __init__(self):
        self.ns = 5_000_000_000

    def __call__(self):
        return self.ns


def test_without_a_limit_anything_may_leave():
    limit = RateLimit()
    limit.count(1 << 60)
    assert limit.room is None
    assert not limit.is_reached


def test_a_windows_share_is_a_tenth_of_a_second():
    clock = Clock()
    limit = RateLimit(1000, clock)
    assert limit.room == 100
    limit.count(60)
    assert limit.room == 40
    limit.count(40)
    assert limit.is_reached
    clock.ns = limit.next_window_ns - 1
    assert limit.is_reached
    clock.ns += 1
    assert limit.room == 100


def test_what_left_too_early_is_taken_off_later_windows():
    clock = Clock()
    limit = RateLimit(1000, clock)
    limit.count(250)
    clock.ns += WINDOW_NS
    assert limit.is_reached
    clock.ns += WINDOW_NS
    assert limit.room == 50
    clock.ns += WINDOW_NS
    assert limit.room == 100


def test_unused_room_is_not_saved_up():
    clock = Clock()
    limit = RateLimit(1000, clock)
    clock.ns += 100 * WINDOW_NS
    assert limit.room == 100


def test_another_limit_counts_from_now_on():
    limit = RateLimit(1000, Clock())
    limit.count(150)
    assert limit.is_reached
    limit.bytes_per_second = 2000
    assert limit.room == 50
    limit.bytes_per_second = 0
    assert not limit.is_reached


@given(
    rate=st.integers(10**4, 10**9),
    sizes=st.lists(st.integers(1, 10**5), min_size=1, max_size=60),
    steps=st.integers(10, 350),
)
def test_no_more_leaves_than_the_rate_allows(rate, sizes, steps):
    clock = Clock()
    limit = RateLimit(rate, clock)
    start, sent = clock.ns, 0
    for size in sizes:
        while limit.is_reached:
            clock.ns += steps * MS
        limit.count(size)
        sent += size
        elapsed = (clock.ns - start) / 1e9
        # The present window's share, and one piece that began while there was room.
        assert sent <= rate * elapsed + rate / 10 + max(sizes)


def test_a_file_asks_its_limit_and_counts_what_was_put():
    clock = Clock()
    file = QEMUFileWriter(Collecting(), RateLimit(10_000, clock))
    file.put_buffer(b"x" * 999)
    assert not file.rate_limit_reached()
    file.put_vector([b"x" * 500, b"x" * 501], 1001)
    assert file.rate_limit_reached()  # in the buffer or not
    file.flush()
    clock.ns += 2 * WINDOW_NS
    assert not file.rate_limit_reached()
