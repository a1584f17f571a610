import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.errors import QemuError
from machine.migration.qemufile import (
    FIRST_CAPACITY,
    FLUSH_SIZE,
    QEMUFileReader,
    QEMUFileWriter,
    StreamStalled,
)
from tests.machine.machines import Bytes, Collecting, Dripping, Endless, Failing


def test_numbers_are_big_endian():
    channel = Collecting()
    file = QEMUFileWriter(channel)
    file.put_byte(0x12)
    file.put_be16(0x3456)
    file.put_be32(0x789ABCDE)
    file.put_be64(0x0102030405060708)
    file.put_counted_string(b"ram")
    assert file.transferred == 19
    assert channel.data == b""
    file.flush()
    assert channel.data == bytes.fromhex("12 3456 789abcde 0102030405060708 03 72616d")


def test_long_buffers_reach_the_channel_without_being_copied():
    class Keeping(Collecting):
        def writev(self, buffers):
            self.buffers = list(buffers)
            return sum(map(len, buffers))

    channel = Keeping()
    file = QEMUFileWriter(channel)
    page = memoryview(b"p" * 5000)
    file.put_byte(1)
    file.put_buffer(page)
    file.put_byte(2)
    file.flush()
    assert channel.buffers == [b"\1", page, b"\2"]
    assert channel.buffers[1] is page


def test_what_is_put_leaves_by_itself_once_it_is_much():
    channel = Collecting()
    file = QEMUFileWriter(channel)
    for _ in range(FLUSH_SIZE // 4):
        file.put_be32(7)
    assert len(channel.data) == FLUSH_SIZE
    file.put_buffer(b"x" * FLUSH_SIZE)
    assert len(channel.data) == 2 * FLUSH_SIZE


@pytest.mark.parametrize(
    "failure",
    [OSError(errno.ENOSPC, "full"), BrokenPipeError(), QemuError("no", errno.ENOMEDIUM)],
    ids=["full disk", "closed pipe", "node"],
)
def test_the_first_write_error_stays_and_nothing_more_is_written(failure):
    channel = Failing(10, failure)
    file = QEMUFileWriter(channel)
    file.put_buffer(b"x" * 8000)
    assert file.error == 0
    file.flush()
    assert file.error == errno.EIO
    written = len(channel.data)
    file.put_buffer(b"y" * (2 << 20))
    file.close()
    assert len(channel.data) == written
    assert file.error == errno.EIO
    assert channel.is_closed


def test_what_is_in_the_buffer_can_be_taken_back():
    channel = Collecting()
    file = QEMUFileWriter(channel)
    file.put_be32(1)
    file.flush()
    begin = file.tell()
    file.put_counted_string(b"half")
    assert (begin, file.tell()) == (4, 9)
    file.seek(begin + 1)
    assert file.tell() == 5
    file.put_be16(7)
    for offset in (3, 8):  # what has left, and what isn't there
        with pytest.raises(AssertionError):
            file.seek(offset)
    file.close()
    assert channel.data == bytes.fromhex("00000001 04 0007")


def test_a_channel_that_was_full_gets_the_rest_when_that_is_notified():
    class Full(Collecting):
        room = 0

        def writev(self, buffers):
            data = b"".join(buffers)[: self.room]
            self.data += data
            self.room -= len(data)
            return len(data)

    channel = Full()
    file = QEMUFileWriter(channel)
    page = bytes(range(256)) * 16
    file.put_vector([b"head", memoryview(page)], 4 + len(page))
    for room in (0, 2, 5, len(page)):
        channel.room = room
        file.put_notify()
        assert file.is_blocked == (room < len(page))
        assert file.rate_limit_reached() == file.is_blocked
    assert channel.data == b"head" + page
    assert not file.has_pending


def test_closing_writes_the_rest():
    channel = Collecting()
    file = QEMUFileWriter(channel)
    file.put_byte(9)
    file.close()
    assert (channel.data, channel.is_closed, file.error) == (b"\x09", True, 0)


def test_a_failing_close_is_an_error_too():
    class Slamming(Collecting):
        def close(self):
            raise BrokenPipeError

    file = QEMUFileWriter(Slamming())
    file.close()
    assert file.error == errno.EIO


# --- the way in


def test_peeking_leaves_the_bytes_where_they_are():
    file = QEMUFileReader(Bytes(b"abcdef"))
    assert file.peek_byte() == ord("a")
    assert file.peek_byte(2) == ord("c")
    assert file.peek_buffer(3, 1) == b"bcd"
    file.skip(2)
    assert file.get_buffer(2) == b"cd"
    assert file.error == 0


def test_a_number_cut_off_has_zeros_for_what_is_missing():
    file = QEMUFileReader(Bytes(b"\x12\x34\x56"))
    assert file.get_be64() == 0x1234560000000000
    assert file.error == errno.EIO
    assert file.get_be32() == 0
    assert file.get_byte() == 0
    assert file.get_buffer(5) == b""


def test_reading_to_the_very_end_is_no_error_and_peeking_past_it_is():
    file = QEMUFileReader(Bytes(b"abc"))
    assert file.get_buffer(3) == b"abc"
    assert file.error == 0
    assert file.peek_byte() == 0
    assert file.error == errno.EIO


def test_after_an_error_what_was_read_before_is_still_there():
    file = QEMUFileReader(Bytes(b"abc"))
    assert file.peek_buffer(10) == b"abc"
    assert file.error == errno.EIO
    assert file.get_be16() == 0x6162
    assert file.get_byte() == ord("c")


def test_a_channel_that_fails_is_an_error_of_the_stream():
    class Broken(Bytes):
        def read(self, size):
            raise ConnectionResetError

    file = QEMUFileReader(Broken(b""))
    assert file.get_be32() == 0
    assert file.error == errno.EIO


def test_a_channel_may_fill_the_buffer_itself():
    file = QEMUFileReader(Endless(b"ab"))
    assert file.get_buffer(5) == b"ab\0\0\0"
    assert file.error == 0


def test_a_step_is_repeated_from_its_mark_when_the_channel_had_too_little():
    file = QEMUFileReader(Dripping(b"abcdefgh", 3))
    read = []
    for _ in range(9):
        file.mark()
        try:
            read.append(file.get_buffer(2) + file.get_buffer(2))
        except StreamStalled:
            file.rewind()
        if len(read) == 2:
            break
    assert read == [b"abcd", b"efgh"]


def test_what_is_wanted_is_not_waited_for():
    file = QEMUFileReader(Dripping(b"abcdefgh", 3))
    with pytest.raises(StreamStalled):
        file.fill(1, 100)
    assert file.fill(1, 100) == 3
    assert file.fill(3, 100) == 6
    assert file.fill(7, 100) == 8
    assert file.fill(8, 100) == 8  # there is no more, but no more was needed
    assert file.error == 0


def test_a_mark_holds_on_to_more_than_the_buffer_held_at_first():
    data = bytes(range(256)) * 1024
    file = QEMUFileReader(Bytes(data))
    file.get_buffer(1000)
    file.mark()
    mark = file.tell()
    assert mark == 1000
    size = 3 * FIRST_CAPACITY
    assert file.get_buffer(size) == data[1000 : 1000 + size]
    assert file.tell() == 1000 + size
    file.seek(mark)
    assert file.get_buffer(size) == data[1000 : 1000 + size]


numbers = st.one_of(
    st.tuples(st.just("byte"), st.integers(0, 0xFF)),
    st.tuples(st.just("be16"), st.integers(0, 0xFFFF)),
    st.tuples(st.just("be32"), st.integers(0, 0xFFFFFFFF)),
    st.tuples(st.just("be64"), st.integers(0, 0xFFFFFFFFFFFFFFFF)),
    st.tuples(st.just("counted_string"), st.binary(max_size=255)),
    st.tuples(st.just("buffer"), st.binary(max_size=9000)),
)


@given(st.lists(numbers, max_size=30), st.integers(1, 5000), st.booleans())
def test_what_was_put_is_got_whatever_the_pieces(items, size, marks):
    channel = Collecting()
    writer = QEMUFileWriter(channel)
    for kind, value in items:
        getattr(writer, f"put_{kind}")(value)
    writer.flush()
    assert len(channel.data) == writer.transferred
    reader = QEMUFileReader(Dripping(channel.data, size))
    reader.mark()
    for kind, value in items:
        get = getattr(reader, f"get_{kind}")
        arguments = (len(value),) if kind == "buffer" else ()
        while True:
            if marks:
                reader.mark()
            start = reader.tell()
            try:
                got = get(*arguments)
                break
            except StreamStalled:
                # Without a mark of its own it is at the very beginning, so nothing was forgotten.
                reader.seek(start)
        assert got == value
    assert reader.error == 0
