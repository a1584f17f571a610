"""What is foretold is what then happens."""

import contextlib
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockdev.errors import QemuError
from blockdev.node import BlockNode
from blockdev.qcow2.create import create_image
from blockdev.qcow2.survey import Survey
from blockdev.raw import FileNode
from machine import snapshot
from machine.assembly import build
from machine.machine import Machine
from machine.rehearsal import Effect, Pages, rehearse_delete, rehearse_load, rehearse_save

MIB = 1 << 20
TAGS = ("a", "b", "1")


def run(steps: object) -> None:
    for _ in steps:  # type: ignore[attr-defined]
        pass


def make_machine(folder: Path, disks: list[tuple[int, int]], ram: int) -> Machine:
    machine = Machine(ram_size=ram)
    for number, (size, cluster_size) in enumerate(disks):
        path = folder / f"d{number}.qcow2"
        create_image(str(path), size, cluster_size=cluster_size)
        machine.drives.add({"if": "none", "id": f"d{number}", "file": str(path)})
    build(machine)
    return machine


def clusters_in_use(node: BlockNode) -> int:
    assert node.file
    survey = Survey(node.file)
    return sum(1 for cluster in range(len(survey.counts.tally)) if survey.counts.tally.get(cluster))


def measures(node: BlockNode) -> tuple[int, int]:
    """What was written to an image's file, and the barriers."""
    assert isinstance(node.file, FileNode)
    return node.file.bytes_written, node.file.barriers


steps = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.sampled_from(TAGS)),
        st.tuples(st.just("load"), st.sampled_from(TAGS)),
        st.tuples(st.just("delete"), st.sampled_from(TAGS)),
        st.tuples(st.just("write"), st.integers(0, MIB - 1), st.integers(1, 200_000)),
        st.tuples(st.just("touch"), st.integers(0, 255), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    disks=st.lists(
        st.tuples(st.sampled_from([MIB, 2 * MIB, 70 * MIB]), st.sampled_from([4096, 65536])),
        min_size=1,
        max_size=3,
    ),
    story=steps,
)
def test_the_deed_is_as_foretold(
    disks: list[tuple[int, int]], story: list[tuple[object, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        machine = make_machine(Path(name), disks, MIB)
        for step in story:
            match step:
                case ("write", int(offset), int(size)):
                    for backend in machine.drives.backends:
                        backend.write(offset, [b"x" * min(size, MIB - offset)])
                    machine.settle()
                case ("touch", int(page), int(value)):
                    machine.memory.write(page * 4096, bytes([value]))
                case ("save", str(tag)):
                    save_as_foretold(machine, tag)
                case ("load", str(tag)):
                    load_as_foretold(machine, tag)
                case ("delete", str(tag)):
                    plan = snapshot.plan_delete(machine, tag)
                    foretold = rehearse_delete(machine, plan)
                    happens(machine, foretold, lambda plan=plan: snapshot.delete(machine, plan))
        machine.close()


def save_as_foretold(machine: Machine, tag: str) -> None:
    plan = snapshot.plan_save(machine, tag)
    foretold = rehearse_save(machine, plan)
    pages = Pages(machine.memory)
    assert pages.total == 256
    assert pages.zero == sum(
        machine.memory.read(page * 4096, 4096) == bytes(4096) for page in range(256)
    )
    happens(machine, foretold, lambda: run(snapshot.save(machine, plan)))
    for effect in foretold:
        made = effect.disk.node.snapshots()[-1]
        assert effect.snapshot
        assert (made.id, made.name) == (effect.snapshot.id, tag)
        assert made.vm_state_size == effect.state_bytes


def load_as_foretold(machine: Machine, tag: str) -> None:
    if any(
        tag not in {each.name for each in disk.node.snapshots()} for disk in snapshot.disks(machine)
    ):
        return
    plan = snapshot.plan_load(machine, tag)
    foretold = rehearse_load(machine, plan)
    happens(machine, foretold, lambda: run(snapshot.load(machine, plan)))


def happens(machine: Machine, foretold: list[Effect], deed: object) -> None:
    files = [effect.disk.node.file for effect in foretold]
    sizes = [os.stat(file.filename).st_size for file in files if file]
    before = [clusters_in_use(effect.disk.node) for effect in foretold]
    written = [measures(effect.disk.node) for effect in foretold]
    # A disk may go to another snapshot than the state's, when the tag is an ID too.
    with contextlib.suppress(QemuError):
        deed()  # type: ignore[operator]
    for effect, file, size in zip(foretold, files, sizes, strict=True):
        assert file
        assert os.stat(file.filename).st_size == size + effect.growth
    for effect, (size, barriers) in zip(foretold, written, strict=True):
        assert measures(effect.disk.node) == (
            size + effect.bytes_written,
            barriers + effect.barriers,
        )
    for effect, clusters in zip(foretold, before, strict=True):
        assert clusters_in_use(effect.disk.node) == clusters + effect.clusters_taken
