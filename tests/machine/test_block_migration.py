"""Disks that go along with a migration, to the real program, from it, and while they change."""

import errno
import os
import subprocess
import time

import pytest

from blockdev.backend import Backend
from blockdev.graph import Graph
from blockdev.node import CacheMode
from machine.migration.block import DATA, EOS, PIECE_SIZE, PROGRESS, ZERO, BlockState, UnsentPieces
from machine.migration.qemufile import QEMUFileReader, StreamError
from machine.runstate import RunState
from tests.machine.machines import MIB, Bytes, Collecting, Dripping, SavedMachine
from tests.machine.reference import RealMonitor, incoming
from tests.machine.test_stream import be64
from tests.session import PLAIN, Session

SIZE = 3 * MIB + 512  # the last piece is a short one


@pytest.fixture
def graph():
    graph = Graph(pytest.fail)
    yield graph
    graph.close()


@pytest.fixture
def drive(graph, qemu_img, tmp_path):
    """Makes drives of their own images; they have the same names on both sides."""

    def make(name="d0", *, side="ours", backing=None, size=SIZE):
        path = tmp_path / f"{side}-{name}.qcow2"
        command = [qemu_img, "create", "-q", "-f", "qcow2"]
        if backing is not None:
            command += ["-b", str(backing), "-F", "qcow2"]
        subprocess.run([*command, path, str(size)], check=True)
        node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
        return Backend(name, node)

    return make


def machine_with(*backends, zero_blocks=False, block=True, shared=False):
    machine = SavedMachine(0)
    state = BlockState(backends, lambda: zero_blocks)
    machine.registry.register_live("block", 1, state, section_id=1)
    machine.registry.set_params(block=block, shared=shared)
    return machine


def content(backend):
    return backend.node.read(0, backend.node.size)


def records(stream):
    """How many records with data there are, and how many without."""
    places = [be64(piece * PIECE_SIZE | DATA) + b"\2d0" for piece in range(4)]
    zeros = [be64(piece * PIECE_SIZE | DATA | ZERO) + b"\2d0" for piece in range(4)]
    return [sum(map(stream.count, each)) for each in (places, zeros)]


def test_pieces_are_taken_one_by_one_until_none_is_left():
    unsent = UnsentPieces(SIZE)
    assert unsent.take() is None
    unsent.mark(MIB - 1, 2)
    unsent.mark(SIZE - 1, 1)
    left = []
    while (offset := unsent.take()) is not None:
        left.append((offset, unsent.count))
    assert left == [(0, 2), (MIB, 1), (3 * MIB, 0)]


def test_without_disks_the_stream_is_as_ever(drive):
    assert machine_with(drive(), block=False).save() == SavedMachine(0).save()


def test_disks_go_along_once_for_each_time_that_is_asked_for(drive):
    machine = machine_with(drive())
    assert records(machine.save()) == [4, 0]
    assert machine.save() == SavedMachine(0).save()


def test_a_disk_goes_along_and_arrives(drive):
    source, target = drive(), drive(side="theirs")
    source.node.write(MIB - 7, [os.urandom(MIB)])
    source.node.write(SIZE - 5, [b"12345"])
    target.node.write(0, [b"x" * MIB])
    stream = machine_with(source).save()
    machine_with(target).load(stream)
    assert content(target) == content(source)
    assert records(stream) == [4, 0]


def test_zeros_go_out_as_such_where_that_is_asked_for(drive):
    source, target = drive(), drive(side="theirs")
    source.node.write(MIB, [b"data"])
    target.node.write(0, [b"x" * SIZE])
    stream = machine_with(source, zero_blocks=True).save()
    assert records(stream) == [1, 3]
    machine_with(target).load(stream)
    assert content(target) == content(source)


def test_only_the_overlay_goes_out_where_the_rest_is_shared(drive, graph):
    base = drive("base", size=3 * MIB)
    base.node.write(0, [b"b" * 3 * MIB])
    path = base.node.filename
    base.node.flush()
    graph.remove(base.node)
    source, target = (drive(side=side, backing=path, size=3 * MIB) for side in ("ours", "theirs"))
    source.node.write(MIB + 10, [b"overlay"])
    stream = machine_with(source, shared=True).save()
    assert records(stream) == [1, 0]
    machine_with(target).load(stream)
    assert content(target) == content(source)


def test_what_is_written_meanwhile_goes_out_again(drive):
    source, target = drive(), drive(side="theirs")
    source.node.write(0, [os.urandom(SIZE)])
    machine = machine_with(source)
    channel = Collecting()
    file, saver = machine.saver(channel)
    machine.global_state.store(RunState.RUNNING)
    saver.begin()
    assert saver.iterate()
    source.node.write(2 * MIB - 1, [b"ab"])  # two pieces
    source.node.write_zeroes(0, 100)
    assert saver.pending() == 3 * PIECE_SIZE
    for _ in saver.complete():
        pass
    saver.cleanup()
    file.flush()
    assert records(bytes(channel.data)) == [7, 0]
    machine_with(target).load(bytes(channel.data))
    assert content(target) == content(source)
    assert source.node.dirty_bitmaps == []


def test_read_only_and_empty_drives_stay_behind(drive, graph):
    source = drive()
    node = graph.open_image(
        source.node.filename, driver="qcow2", read_only=True, cache=CacheMode(), locking=False
    )
    stream = machine_with(Backend("d0", node), Backend("empty", None)).save()
    assert records(stream) == [0, 0]


# --- with the real program


def test_the_real_program_takes_our_disks(qemu, qemu_img, drive, tmp_path):
    # It would write a last piece that is a short one past the end, and fail.
    source = drive(size=3 * MIB)
    source.node.write(MIB - 7, [os.urandom(MIB)])
    source.node.write(3 * MIB - 5, [b"12345"])
    target = tmp_path / "target.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", target, "3M"], check=True)
    folder = tmp_path / "streams"
    folder.mkdir()
    # It writes only to disks that a device uses; what a pc misses of itself it doesn't ask for.
    options = ["-M", "pc", "-accel", "tcg", "-drive", f"if=virtio,id=d0,format=qcow2,file={target}"]
    stream = machine_with(source).save().replace(b"\4none", b"\x0dpc-i440fx-7.2", 1)
    arrival = incoming(qemu, folder, stream, options)
    assert (arrival.reports, arrival.status) == ([], 0)
    raw = tmp_path / "raw"
    subprocess.run([qemu_img, "convert", "-O", "raw", target, raw], check=True)
    assert raw.read_bytes() == content(source)


@pytest.mark.parametrize("zero_blocks", [False, True])
def test_we_take_the_real_programs_disks(qemu, graph, drive, tmp_path, zero_blocks):
    source, target = drive(side="theirs"), drive()
    source.node.write(MIB - 7, [os.urandom(MIB)])
    expected = content(source)
    graph.remove(source.node)
    target.node.write(0, [b"x" * SIZE])
    out = tmp_path / "out"
    option = f"if=none,id=d0,format=qcow2,file={source.node.filename}"
    with RealMonitor([qemu, "-M", "none", "-S", "-drive", option]) as monitor:
        if zero_blocks:
            assert monitor.ask("migrate_set_capability zero-blocks on") == []
        assert monitor.ask(f'migrate -b "exec:cat > {out}"') == [""]
    stream = out.read_bytes()
    machine = machine_with(target)
    machine.load(stream)
    assert machine.reports == []
    assert content(target) == expected
    assert records(stream) == ([2, 2] if zero_blocks else [4, 0])


def test_our_program_takes_the_real_programs_disks(qemu, hmp, qemu_img, tmp_path):
    for name in ("theirs", "ours"):
        command = [qemu_img, "create", "-q", "-f", "qcow2", f"{name}.qcow2", str(SIZE)]
        subprocess.run(command, cwd=tmp_path, check=True)
    drive = "if=none,id=d0,format=qcow2,file="
    with RealMonitor(
        [qemu, "-M", "none", "-S", "-drive", f"{drive}{tmp_path}/theirs.qcow2"]
    ) as real:
        assert real.ask('qemu-io d0 "write -q -P 7 1M 64k"') == []
        assert real.ask(f'migrate -b "exec:cat > {tmp_path}/out"') == [""]
    options = ["-S", "-drive", f"{drive}ours.qcow2", "-incoming", "exec:cat out"]
    session = Session([hmp, *PLAIN, *options], tmp_path)
    deadline = time.monotonic() + 20
    while session("info status") == "VM status: paused (inmigrate)\n":
        assert time.monotonic() < deadline
    assert session.quit() == 0
    command = [qemu_img, "compare", "-q", "theirs.qcow2", "ours.qcow2"]
    subprocess.run(command, cwd=tmp_path, check=True)


# --- what is refused


def load(backend, data, channel=Bytes):
    reports = []
    state = BlockState([backend])
    file = QEMUFileReader(channel(data))
    for _ in state.load(file, 1, reports.append):
        pass
    return reports


PIECE = be64(MIB | DATA) + b"\2d0" + b"p" * PIECE_SIZE

REFUSED = {
    "unknown drive": (be64(DATA) + b"\2d1" + bytes(PIECE_SIZE),
        ["Error unknown block device d1"], errno.EINVAL),
    "nothing known": (be64(0), ["Unknown block migration flags: 0x0"], errno.EINVAL),
    "unknown flags": (be64(0x110), ["Unknown block migration flags: 0x110"], errno.EINVAL),
    "past the end": (be64(4 * MIB | DATA | ZERO) + b"\2d0", [], errno.EIO),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_record_that_cannot_be_is_refused(name, drive):
    data, words, errno_value = REFUSED[name]
    backend, reports = drive(), []
    state = BlockState([backend])
    with pytest.raises(StreamError) as refused:
        list(state.load(QEMUFileReader(Bytes(data)), 1, reports.append))
    assert refused.value.errno_value == errno_value
    assert reports == words


def test_a_piece_cut_short_changes_nothing(drive):
    backend = drive()
    for size in (*range(12), MIB, len(PIECE) - 1):
        with pytest.raises(StreamError) as refused:
            load(backend, PIECE[:size])
        assert refused.value.errno_value in (errno.EIO, errno.EINVAL)
        assert not any(content(backend))


def test_pieces_may_come_in_drops(drive):
    backend = drive()
    load(backend, PIECE + be64(50 << 9 | PROGRESS) + be64(EOS), lambda data: Dripping(data, 70_001))
    assert content(backend)[MIB : 2 * MIB] == b"p" * MIB
