"""Jobs of a whole machine: they go on while it runs and while it doesn't, and end with it."""

import time

import pytest

from blockdev.qcow2.create import create_image
from hmp.monitor import Monitor
from machine.machine import Machine

SIZE = 32 << 20


@pytest.fixture
def machine(tmp_path):
    machine = Machine()
    create_image(str(tmp_path / "d0"), SIZE)
    machine.drives.add({"if": "none", "id": "d0", "file": str(tmp_path / "d0")})
    machine.drives.backend("d0").write(0, [b"d" * SIZE])
    yield machine
    machine.close()


def say(machine, line):
    """The answer to a line; the loop turns between the steps of one that lasts."""
    said = []
    for step in Monitor(machine, said.append).execute(line):
        if step is not None and hasattr(step, "is_awake"):
            machine.loop.run_until(lambda step=step: step.is_awake)
    return "".join(said)


def turn(machine, predicate, seconds=20):
    deadline = time.monotonic() + seconds
    machine.loop.call_at(time.monotonic_ns() + seconds * 10**9, lambda: None)
    machine.loop.run_until(lambda: predicate() or time.monotonic() > deadline)
    assert predicate()


def test_a_job_goes_on_when_the_machine_stops_and_runs(machine, tmp_path):
    machine.cont()
    said = say(machine, f"drive_mirror d0 {tmp_path}/copy")
    assert said.startswith("Formatting ")
    assert machine.job_names() == ["mirror d0 (0%)"] or len(machine.jobs) == 1
    machine.stop()
    turn(machine, lambda: next(iter(machine.jobs)).is_ready)
    machine.cont()
    assert machine.job_names() == ["mirror d0 (ready)"]
    assert say(machine, "block_job_complete d0") == ""
    turn(machine, lambda: not len(machine.jobs))
    assert machine.drives.backend("d0").node.filename == f"{tmp_path}/copy"
    assert machine.drives.backend("d0").read(0, SIZE) == b"d" * SIZE


def test_events_tell_the_life_of_a_job(machine, tmp_path):
    events = []
    machine.events.listen(lambda event: events.append((event.name, event.data)))
    say(machine, f"drive_backup d0 {tmp_path}/copy")
    turn(machine, lambda: not len(machine.jobs))
    states = [data["status"] for name, data in events if name == "JOB_STATUS_CHANGE"]
    # QEMU holds the job up for a moment while it puts a node over the disk.
    states = [state for state in dict.fromkeys(states) if state != "paused"]
    assert states == ["created", "running", "waiting", "pending", "concluded", "null"]
    told = {"type": "backup", "device": "d0", "len": SIZE, "offset": SIZE, "speed": 0}
    assert ("BLOCK_JOB_COMPLETED", told) in events


def test_the_end_of_the_program_is_the_end_of_its_jobs(machine, tmp_path):
    say(machine, f"drive_mirror d0 {tmp_path}/copy")
    say(machine, "block_job_set_speed d0 1")
    events = []
    machine.events.listen(lambda event: events.append(event.name))
    machine.close()
    assert "BLOCK_JOB_CANCELLED" in events or "BLOCK_JOB_COMPLETED" in events
    assert not machine.graph.nodes


def test_a_slow_job_keeps_nobody_waiting(machine, tmp_path):
    say(machine, f"snapshot_blkdev d0 {tmp_path}/top")
    say(machine, "block_stream d0 1M")
    start = time.monotonic()
    machine.loop.run_ready()
    assert say(machine, "info block-jobs") == (
        f"Streaming device d0: Completed 524288 of {SIZE} bytes, speed limit 1048576 bytes/s\n"
    )
    assert time.monotonic() - start < 0.4
    say(machine, "block_job_set_speed d0 0")
    turn(machine, lambda: not len(machine.jobs))
    assert machine.drives.backend("d0").node.backing is None


def test_a_limited_drive_makes_qemu_io_wait(machine):
    say(machine, "block_set_io_throttle d0 0 0 1000000 0 0 0")
    start = time.monotonic()
    for _ in range(3):
        say(machine, 'qemu-io d0 "write 0 200k"')
    assert 0.2 < time.monotonic() - start < 5
    say(machine, "block_set_io_throttle d0 0 0 0 0 0 0")
    assert "throttling" not in say(machine, "info block d0")


def test_the_bar_forgets_a_snapshot_that_the_disk_left(machine, tmp_path):
    say(machine, f"drive_mirror d0 {tmp_path}/copy")
    turn(machine, lambda: next(iter(machine.jobs)).is_ready)
    assert say(machine, "savevm a") == ""
    assert machine.head.is_there
    machine.drives.backend("d0").write(0, [b"x"])
    assert machine.head.clusters_changed == 1
    say(machine, f"snapshot_blkdev d0 {tmp_path}/top")
    say(machine, "block_job_cancel d0")
    turn(machine, lambda: not len(machine.jobs))
    assert machine.head.is_there
    say(machine, f"drive_mirror -f d0 {tmp_path}/other")
    turn(machine, lambda: next(iter(machine.jobs)).is_ready)
    say(machine, "block_job_complete d0")
    turn(machine, lambda: not len(machine.jobs))
    assert not machine.head.is_there
