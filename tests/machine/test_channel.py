"""What a stream goes through: real pipes, sockets, files and processes."""

import os
import signal
import socket
import time

import pytest

from blockdev.errors import QemuError
from machine.loop import MainLoop
from machine.migration.channel import open_file, run_command, use_descriptor
from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter
from tests.machine.machines import MIB, SavedMachine


@pytest.fixture
def loop():
    made = MainLoop()
    yield made
    made.close()


def drive(loop, steps):
    """Let a task run to its end; what it returned."""
    results = []

    def work():
        results.append((yield from steps))

    task = loop.spawn(work())
    loop.run_until(lambda: task.is_done)
    return results[0]


def drain(loop, file, channel):
    while file.has_pending:
        drive(loop, loop.writable(channel.output_fd))
        file.put_notify()


def test_a_file_keeps_what_is_written_and_gives_it_back(tmp_path):
    path = str(tmp_path / "state")
    machine = SavedMachine(3 * MIB)
    machine.ram.write(5000, os.urandom(100_000))
    channel = open_file(path, "wb")
    file = machine.save(channel)
    file.close()
    assert file.error == 0
    assert os.path.getsize(path) == file.transferred
    target = SavedMachine(3 * MIB)
    target.load(open_file(path, "rb"))
    assert target.content() == machine.content()


@pytest.mark.parametrize("mode", ["", "x", "rw", "r+b", "wbb", "b", "a"])
def test_a_bad_mode_is_refused(mode, tmp_path):
    path = tmp_path / "state"
    with pytest.raises(QemuError, match="Argument validity check failed"):
        open_file(str(path), mode)
    assert not path.exists()


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path):
    with pytest.raises(QemuError, match="No such file or directory"):
        open_file(str(tmp_path / "nothing"), "rb")


def test_a_full_disk_is_an_error_with_its_reason():
    channel = open_file("/dev/full", "wb")
    file = QEMUFileWriter(channel)
    file.put_buffer(b"x" * 10)
    file.close()
    assert file.error_reason == "Unable to write to file: No space left on device"


def test_a_command_reads_what_is_written_and_is_waited_for(loop, tmp_path):
    path = tmp_path / "copy"
    channel = run_command(f"cat > {path}; sleep 0.1; echo done >> {path}")
    file = QEMUFileWriter(channel)
    data = os.urandom(3 * MIB)
    file.put_buffer(data)
    file.flush()
    assert file.is_blocked  # a pipe holds less than that
    drain(loop, file, channel)
    file.close()
    drive(loop, channel.ended(loop))
    assert path.read_bytes() == data + b"done\n"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_commands_output_is_read_piece_by_piece(loop):
    channel = run_command("printf abc; sleep 0.2; printf def")
    reader = QEMUFileReader(channel)
    drive(loop, loop.readable(channel.input_fd))
    assert reader.fill(1, 100) == 3
    assert reader.get_buffer(3) == b"abc"
    with pytest.raises(BlockingIOError):
        channel.read(1)
    drive(loop, loop.readable(channel.input_fd))
    assert reader.get_buffer(3) == b"def"
    drive(loop, channel.ended(loop))
    assert channel.read(10) == b""
    channel.close()


def test_a_command_that_does_not_read_is_a_broken_pipe(loop):
    channel = run_command("exec true")
    drive(loop, channel.ended(loop))
    file = QEMUFileWriter(channel)
    file.put_byte(1)
    file.flush()
    assert file.error_reason == "Unable to write to command: Broken pipe"
    channel.close()


def test_a_command_takes_the_signals_that_this_process_blocks_or_ignores(loop, tmp_path):
    blocked = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        channel = run_command("grep -E '^Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    drive(loop, channel.ended(loop))
    lines = channel.read(1000).decode().split()
    masks = dict(zip(lines[::2], (int(mask, 16) for mask in lines[1::2]), strict=True))
    assert masks["SigBlk:"] == 0
    assert not masks["SigIgn:"] & (1 << (signal.SIGPIPE - 1))
    channel.close()


def test_a_command_has_only_its_own_ends_of_the_pipes(loop):
    channel = run_command("ls -l /proc/self/fd")
    pipes = [os.readlink(f"/proc/self/fd/{fd}") for fd in (channel.input_fd, channel.output_fd)]
    drive(loop, channel.ended(loop))
    listed = channel.read(4000).decode()
    assert [listed.count(pipe) for pipe in pipes] == [1, 1]
    channel.close()


def test_a_socket_is_one_descriptor_for_both_ways(loop):
    ours, theirs = socket.socketpair()
    channel = use_descriptor(ours.detach())
    assert (channel.kind, channel.input_fd) == ("socket", channel.output_fd)
    theirs.sendall(b"abc")
    assert channel.read(10) == b"abc"
    assert channel.writev([b"d", b"ef"]) == 3
    assert theirs.recv(10) == b"def"
    theirs.close()
    assert channel.read(10) == b""
    with pytest.raises(QemuError, match="Unable to write to socket: Broken pipe"):
        channel.writev([b"x"])
    channel.close()


def test_what_there_is_no_room_for_waits_in_order(loop):
    reading, writing = os.pipe()
    channel = use_descriptor(writing)
    file = QEMUFileWriter(channel)
    expected = b""
    for number in range(200):
        piece = bytes([number]) * (4096 + number)
        file.put_buffer(piece)
        file.put_be16(number)
        expected += piece + number.to_bytes(2, "big")
    file.flush()
    assert file.is_blocked
    got = b""
    while len(got) < len(expected):
        got += os.read(reading, 50_001)
        file.put_notify()
    assert got == expected
    assert not file.has_pending
    os.close(reading)
    channel.close()


def test_a_page_that_changes_while_it_waits_comes_again():
    """A vectored write takes the guest's own page: the log has it if it changed meanwhile."""
    reading, writing = os.pipe()
    channel = use_descriptor(writing)
    source, target = SavedMachine(2 * MIB), SavedMachine(2 * MIB)
    source.ram.write(0, os.urandom(2 * MIB))
    file, saver = source.saver(channel)
    got = b""
    deadline = time.monotonic() + 20

    def empty():
        nonlocal got
        while file.has_pending:
            assert time.monotonic() < deadline
            got += os.read(reading, 1 << 20)
            file.put_notify()

    saver.begin()
    saver.iterate()
    assert file.is_blocked
    source.ram.write(MIB - 100, os.urandom(MIB))
    source.global_state.runstate = b"running".ljust(100, b"\0")
    for _ in saver.complete():
        empty()
    empty()
    saver.cleanup()
    os.set_blocking(reading, False)
    try:
        got += os.read(reading, 1 << 20)
    except BlockingIOError:
        pass
    target.load(got)
    assert target.content() == source.content()
    os.close(reading)
    channel.close()
