from hypothesis import given
from hypothesis import strategies as st

from blockdev.dirty_bitmap import DirtyBitmap

GRANULARITY = 64
WRITES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 400)), max_size=12)


@given(st.integers(0, 1500), WRITES)
def test_each_piece_that_was_touched_counts_once(size: int, writes: list[tuple[int, int]]) -> None:
    """Also beyond the end: the disk may have grown."""
    bitmap = DirtyBitmap(size, GRANULARITY)
    touched: set[int] = set()
    for offset, length in writes:
        bitmap.mark(offset, length)
        touched.update(byte // GRANULARITY for byte in range(offset, offset + length))
        assert bitmap.count == len(touched)


def test_a_write_of_nothing_touches_nothing() -> None:
    bitmap = DirtyBitmap(1 << 20, GRANULARITY)
    bitmap.mark(100, 0)
    assert bitmap.count == 0
