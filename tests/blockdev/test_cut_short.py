"""Every operation, with its n-th write or barrier failing, or the process killed behind it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.snapshot import Snapshot, find_by_name
from tests.blockdev.faults import FailingFile, RecordingFile, watch

CLUSTER = 1 << 16
SIZE = 4 << 20


def reopen(path: Path) -> tuple[Graph, BlockNode]:
    graph = Graph(print)
    return graph, graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())


def content(node: BlockNode) -> bytes:
    return node.read(0, SIZE)


def create(node: BlockNode) -> None:
    area = node.open_vmstate()
    try:
        area.write([b"state" * 40_000])
        snapshot = Snapshot(name="new", date_sec=1, vm_state_size=200_000)
        node.snapshot_create(snapshot, area)
    except QemuError:
        area.abandon()
        raise


def goto(node: BlockNode) -> None:
    node.snapshot_goto("old")


def delete(node: BlockNode) -> None:
    node.snapshot_delete("2", "older")


def write(node: BlockNode) -> None:
    node.write(CLUSTER // 2, [b"w" * (3 * CLUSTER)])
    node.write(3 << 20, [b"v" * 10])
    node.write_back()


OPERATIONS = [create, goto, delete, write]


@pytest.fixture
def image(make_image: Callable[..., Path]) -> Path:
    """A disk with two snapshots; it has changed after each."""
    path = make_image(size="4M")
    graph, node = reopen(path)
    for name in ("old", "older"):
        node.write(0, [name.encode().ljust(6 * CLUSTER, b".")])
        node.snapshot_create(Snapshot(name=name, date_sec=1), None)
    node.write(CLUSTER, [b"now" * 30_000])
    graph.close()
    return path


def snapshots_of(path: Path) -> dict[str, bytes]:
    """The content of each snapshot as the real tool reads it."""
    listing = subprocess.run(
        ["qemu-img", "snapshot", "-l", str(path)], capture_output=True, text=True, check=True
    )
    found = {}
    for name in [line.split()[1] for line in listing.stdout.splitlines()[2:]]:
        raw = path.with_suffix(".raw")
        command = ["qemu-img", "convert", "-l", f"snapshot.name={name}", "-O", "raw"]
        subprocess.run([*command, str(path), str(raw)], check=True)
        found[name] = raw.read_bytes()
    return found


def kept_by(operation: Callable[[BlockNode], None]) -> set[str]:
    """The snapshots that must be there whatever happens."""
    return {"old"} if operation is delete else {"old", "older"}


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_failing_write_leaves_the_image_usable(
    operation: Callable[[BlockNode], None], torn: bool, image: Path, check: Callable[..., int]
) -> None:
    before = snapshots_of(image)
    failures = 0
    for n in range(1, 200):
        copy = image.with_name("copy.qcow2")
        shutil.copy(image, copy)
        graph, node = reopen(copy)
        was = content(node)
        watched = watch(node, FailingFile, n, torn=torn)
        try:
            operation(node)
        except QemuError:
            failures += 1
        assert isinstance(watched, FailingFile)
        if watched.left > 0:
            assert failures, "the operation wrote nothing that could fail"
            watched.left = -1
            graph.close()
            break
        # What failed waits in memory and is written the next time: the node goes on.
        after = content(node)
        if operation is create:
            assert after == was
        if operation is goto:
            assert after in (was, before["old"])
        node.write(2 << 20, [b"on and on" * 1000])
        graph.close()
        assert check(copy) in (0, 3), f"write {n}"
        found = snapshots_of(copy)
        assert {name: found.get(name) for name in kept_by(operation)} == {
            name: before[name] for name in kept_by(operation)
        }
    else:
        pytest.fail("the operation never got through")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_kill_at_any_write_loses_no_snapshot(
    operation: Callable[[BlockNode], None], image: Path, check: Callable[..., int]
) -> None:
    before = snapshots_of(image)
    copy = image.with_name("copy.qcow2")
    shutil.copy(image, copy)
    graph, node = reopen(copy)
    was = content(node)
    watched = watch(node, RecordingFile)
    operation(node)
    now = content(node)
    graph.close()
    assert isinstance(watched, RecordingFile)
    writes = [entry for entry in watched.log if entry is not None]
    assert len(writes) > 3
    for done in range(len(writes) + 1):
        shutil.copy(image, copy)
        with copy.open("r+b") as file:
            for offset, data in writes[:done]:
                file.seek(offset)
                file.write(data)
        subprocess.run(
            ["qemu-img", "check", "-q", "-r", "leaks", str(copy)], check=False, capture_output=True
        )
        graph, node = reopen(copy)
        if operation is not write:
            assert content(node) in (was, now), f"after write {done}"
        # Writing over everything must not reach what a snapshot holds.
        node.write(0, [b"#" * SIZE])
        graph.close()
        found = snapshots_of(copy)
        for name in kept_by(operation):
            assert found.get(name) == before[name], f"after write {done}"


def test_deleting_finds_a_snapshot_by_id_and_name(image: Path) -> None:
    graph, node = reopen(image)
    with pytest.raises(QemuError, match="snapshot not found"):
        node.snapshot_delete("1", "older")
    assert find_by_name(node.snapshots(), "older") is not None
    graph.close()
