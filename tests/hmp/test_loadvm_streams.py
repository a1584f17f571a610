"""Streams of all kinds as snapshots of one image: both programs say and do the same at `loadvm`."""

import subprocess

import pytest

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.snapshot import Snapshot
from tests.machine.test_stream import CASES, EOF, START, be32, be64, command, full, timer
from tests.session import PLAIN, Session

ICOUNT = b"\5\x0ctimer/icount" + be32(1) + be64(5) + be64(6)

# Devices as older versions saved them, with subsections, and as newer ones would.
DEVICES = {
    "timer of version 1": full(b"timer", bytes(16), version=1),
    "timer of version 0": full(b"timer", bytes(16), version=0),
    "timer of version 3": full(b"timer", bytes(24), version=3),
    "timer with a subsection": full(b"timer", bytes(24) + ICOUNT, version=2),
    "timer with an unknown one": full(
        b"timer", bytes(24) + ICOUNT.replace(b"icount", b"ocount"), version=2
    ),
    "timer with a newer one": full(
        b"timer", bytes(24) + ICOUNT.replace(be32(1), be32(2)), version=2
    ),
    "timer twice": timer() + timer(),
}
# QEMU reads a quarter of a gigabyte for a name of that length; we don't.
LIMITED = {"long name"}
# QEMU ends itself over a return path here, and for good remembers any word of postcopy.
DEADLY = {
    name
    for name, (stream, _, _) in CASES.items()
    if any(stream.startswith(START + command(number)[:3]) for number in (1, 3, 4, 5, 6))
}
STREAMS = {
    name: stream for name, (stream, _, _) in CASES.items() if name not in LIMITED | DEADLY
} | {name: START + stream + EOF for name, stream in DEVICES.items()}


@pytest.fixture(scope="module")
def programs(hmp, qemu, qemu_img, tmp_path_factory):
    """Both programs at their prompts, over copies of one image."""
    sessions = []
    for program in (hmp, qemu):
        folder = tmp_path_factory.mktemp("loadvm")
        command = [qemu_img, "create", "-q", "-f", "qcow2", "disk.qcow2", "1M"]
        subprocess.run(command, cwd=folder, check=True)
        graph = Graph(pytest.fail)
        node = graph.open_image(
            f"{folder}/disk.qcow2", driver="qcow2", read_only=False, cache=CacheMode()
        )
        for name, stream in STREAMS.items():
            area = node.open_vmstate()
            area.write([stream])
            snapshot = Snapshot(name=name, date_sec=0, vm_state_size=len(stream))
            node.snapshot_create(snapshot, area)
        graph.close()
        drive = ["-m", "1", "-drive", "if=none,format=qcow2,file=disk.qcow2"]
        sessions.append(Session([program, *PLAIN, *drive], folder))
    yield sessions
    assert [session.quit() for session in sessions] == [0, 0]


@pytest.mark.parametrize("name", STREAMS)
def test_loadvm_says_what_qemu_says(name, programs):
    ours, theirs = [[session(f'loadvm "{name}"'), session("info status")] for session in programs]
    assert ours == theirs


def test_a_newer_version_is_refused_with_the_numbers(programs):
    answer = programs[0]('loadvm "timer of version 3"')
    assert answer.splitlines() == [
        "savevm: unsupported version 3 for 'timer' v2",
        "Error: Error -22 while loading VM state",
    ]
