"""How far the machine has gone since a snapshot."""

from pathlib import Path

from blockdev.qcow2.create import create_image
from machine.assembly import build
from machine.machine import Machine
from machine.snapshot import delete, load, plan_delete, plan_load, plan_save, save


def make_machine(folder: Path) -> Machine:
    disk = folder / "disk.qcow2"
    create_image(str(disk), 4 << 20)
    machine = Machine(ram_size=1 << 20)
    machine.drives.add({"if": "none", "id": "d0", "file": str(disk)})
    build(machine)
    return machine


def run(steps: object) -> None:
    for _ in steps:  # type: ignore[attr-defined]
        pass


def test_what_is_written_counts_once_and_goes_with_the_next_snapshot(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    disk = machine.drives.backends[0]
    assert machine.head is None
    run(save(machine, plan_save(machine, "a")))
    assert machine.head
    assert (machine.head.tag, machine.head.is_there) == ("a", True)
    assert (machine.head.pages_changed, machine.head.clusters_changed) == (0, 0)
    for _ in range(2):
        machine.memory.write(4095, b"xy")
        disk.write(65535, [b"xy"])
    assert (machine.head.pages_changed, machine.head.clusters_changed) == (2, 2)
    run(save(machine, plan_save(machine, "b")))
    assert (machine.head.pages_changed, machine.head.clusters_changed) == (0, 0)
    run(load(machine, plan_load(machine, "a")))
    assert machine.head.tag == "a"
    assert (machine.head.pages_changed, machine.head.clusters_changed) == (0, 0)
    delete(machine, plan_delete(machine, "a"))
    assert not machine.head.is_there
    machine.close()


def test_nothing_is_looked_at_twice_after_many_snapshots(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    for number in range(5):
        run(save(machine, plan_save(machine, f"t{number}")))
    assert [len(block.dirty_bitmaps) for block in machine.memory.blocks] == [1]
    node = machine.drives.backends[0].node
    assert node
    assert len(node.dirty_bitmaps) == 1
    machine.close()


def test_discards_and_zeros_are_changes(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    node = machine.drives.backends[0].node
    assert node
    run(save(machine, plan_save(machine, "a")))
    assert machine.head
    node.write_zeroes(0, 65536)
    node.discard(65536, 65536)
    assert machine.head.clusters_changed == 2
    machine.close()
