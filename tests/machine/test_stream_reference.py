"""What the real QEMU 7.2 takes and says, beside what we do."""

import os
import random
import subprocess

import pytest

from machine.migration.qemufile import StreamError
from machine.runstate import RunState
from tests.machine.machines import DIALECTS, MIB, PLAIN_OPTIONS, Bytes, Endless, SavedMachine
from tests.machine.reference import RealMonitor, incoming, outgoing
from tests.machine.test_stream import CASES, START, be64, part, ram_start
from tests.machine.test_xbzrle import encode

OPTIONS = {"modern": [], "plain": PLAIN_OPTIONS}
MACHINES = {"modern": "none", "plain": "none,suppress-vmdesc=on"}


def lines(reports):
    """A report with line breaks in it is several lines on stderr."""
    return [line for report in reports for line in report.split("\n")]


def outcome(machine, channel):
    machine.reports.clear()
    try:
        machine.load(channel)
    except StreamError as failure:
        return lines(machine.reports), failure
    return lines(machine.reports), None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_qemu_loads_what_we_save(qemu, tmp_path, dialect):
    machine = SavedMachine(16 * MIB, DIALECTS[dialect])
    for offset in (0, 5 * MIB - 3, 16 * MIB - 100_000):
        machine.ram.write(offset, os.urandom(100_000))
    arrival = incoming(
        qemu, tmp_path, machine.save(), ["-m", "16", *OPTIONS[dialect]], memory_size=16 * MIB
    )
    no_description = ["Expected vmdescription section, but got 0"]
    assert arrival.reports == ([] if dialect == "modern" else no_description)
    assert (arrival.status, arrival.run_state) == (0, "paused")
    assert arrival.memory == machine.content()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_we_load_what_qemu_saves(qemu, tmp_path, dialect):
    content = tmp_path / "content"
    data = os.urandom(3 * MIB) + bytes(2 * MIB) + os.urandom(MIB - 5)
    content.write_bytes(data)
    loader = f"loader,file={content},addr={0x123000},force-raw=on"
    stream = outgoing(
        qemu,
        tmp_path,
        ["-m", "16", "-device", loader, *OPTIONS[dialect]],
        machine=MACHINES[dialect],
        run=True,
    )
    machine = SavedMachine(16 * MIB, DIALECTS[dialect])
    machine.load(stream)
    assert machine.reports == []
    assert machine.content() == (bytes(0x123000) + data).ljust(16 * MIB, b"\0")
    assert machine.global_state.received == (dialect == "modern")
    assert machine.clock.now_ns() > 0
    assert machine.clock.cpu_ticks > 0


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [0, 16])
def test_a_fresh_machines_stream_is_qemus_byte_for_byte(qemu, tmp_path, dialect, size):
    options = [*(["-m", str(size)] if size else []), *OPTIONS[dialect]]
    theirs = outgoing(qemu, tmp_path, options, machine=MACHINES[dialect])
    machine = SavedMachine(size * MIB, DIALECTS[dialect])
    ours = machine.save(state=RunState.PRELAUNCH)
    if not size:
        # A migration skips the PART that it doesn't need; savevm always has one.
        footer = b"" if dialect == "plain" else b"\x7e\0\0\0\2"
        empty = b"\2\0\0\0\2" + be64(0x10) + footer
        assert ours.count(empty) == 1
        ours = ours.replace(empty, b"")
    assert ours == theirs


@pytest.mark.parametrize("name", CASES)
def test_qemu_takes_or_refuses_a_stream_in_the_same_words(qemu, tmp_path, name):
    stream, reports, errno_value = CASES[name]
    arrival = incoming(qemu, tmp_path, stream, ["-m", "1"])
    failed = [f"load of migration failed: {os.strerror(errno_value)}"] if errno_value else []
    assert arrival.reports == lines(reports) + failed
    assert arrival.status == bool(errno_value)


def test_qemu_makes_the_same_of_changed_pages(qemu, tmp_path):
    old, new = os.urandom(4096), bytearray(4096)
    new[:] = old
    new[10:20] = bytes(byte ^ 0xFF for byte in old[10:20])
    new[4000:] = bytes(byte ^ 1 for byte in old[4000:])
    runs = encode(old, new)
    change = b"\x01" + len(runs).to_bytes(2, "big") + runs
    page = be64(0x3000 | 8) + b"\3ram" + old
    stream = START + ram_start() + part(page, be64(0x3000 | 0x60), change) + b"\0\6\0\0\0\0"
    machine = SavedMachine(MIB)
    machine.load(stream)
    assert machine.content() == bytes(0x3000) + new + bytes(MIB - 0x4000)
    arrival = incoming(qemu, tmp_path, stream, ["-m", "1"], memory_size=MIB)
    assert arrival.memory == machine.content()


def test_cut_streams_arrive_as_in_qemu(qemu, tmp_path):
    stream = SavedMachine(MIB).save()
    end = stream.rindex(b"\6\0\0\1\xe6")
    for size in (*random.Random(1).sample(range(1, 80), 12), *range(end - 300, end + 8, 29)):
        arrival = incoming(qemu, tmp_path, stream[:size], ["-m", "1"])
        reports, failure = outcome(SavedMachine(MIB), Bytes(stream[:size]))
        failed = [f"load of migration failed: {failure}"] if failure else []
        if reports and reports[0].startswith("Can't find block"):
            # QEMU prints what its memory happened to hold behind the part of the name that came.
            assert arrival.reports[0].startswith(reports.pop(0))
            del arrival.reports[0]
        assert arrival.reports == reports + failed


def test_cut_and_altered_snapshots_load_as_in_qemu(qemu, qemu_img, tmp_path):
    """Every byte cut off, and every byte outside the pages altered, each loaded by both."""
    image = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    command = [qemu, "-M", "none", "-m", "1", "-S", "-drive", f"if=none,file={image}"]
    with RealMonitor(command) as monitor:
        assert monitor.ask("savevm a") == []
    # Another process: one that saved frees its machine's name when a stream has an empty one.
    with RealMonitor(command) as monitor, open(image, "r+b", buffering=0) as file:
        start = image.read_bytes().index(b"QEVM")
        size = image.read_bytes().index(b'{"page_size"') + 486 - start
        file.seek(start)
        stream = file.read(size)
        records = range(stream.index(b"\3ram\0", 60) + 50, stream.rindex(b"\3\0\0\0\2") - 50)
        machine = SavedMachine(MIB)
        chance = random.Random(2)

        def compare(altered):
            file.seek(start)
            file.write(altered + bytes(size - len(altered)))
            real = monitor.ask("loadvm a")
            reports, failure = outcome(machine, Endless(altered))
            if failure:
                reports.append(f"Error: Error -{failure.errno_value} while loading VM state")
            assert lines(real) == reports, altered[:60]

        for position in range(1, size):
            if position not in records:
                compare(stream[:position])
        for position in range(size - 486):
            if position in records and position % 50:
                continue
            for value in (*chance.sample(range(256), 3), stream[position] ^ 1):
                altered = bytearray(stream)
                altered[position] = value
                # A command of a migration (8) is not for snapshots, and QEMU ends when a
                # name is too long for the host's memory.
                is_type = stream[position] < 5 and value == 8
                if value != stream[position] and not is_type and position not in (9, 10):
                    compare(bytes(altered))


def test_a_full_disk_ends_savevm_in_the_same_words(qemu, qemu_img, tmp_path):
    image = tmp_path / "disk.qcow2"
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    content = tmp_path / "content"
    content.write_bytes(os.urandom(4 * MIB))
    loader = f"loader,file={content},addr=0,force-raw=on"
    limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 2048; exec "$@"', "sh", qemu]
    drive = ["-drive", f"if=none,file={image}"]
    with RealMonitor([*limited, "-M", "none", "-m", "4", "-device", loader, *drive]) as monitor:
        assert monitor.ask("savevm a") == [
            "failed to save SaveStateEntry with id(name): 2(ram): -5",
            "Error: Error while writing VM state: Input/output error",
        ]
