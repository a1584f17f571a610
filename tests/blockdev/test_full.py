"""Every operation on a disk that is full: for its n-th write there is no room, for each n."""

import errno
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from tests.blockdev.faults import FullFile, NoRoomOnce, watch
from tests.crash.campaign import Workshop, fast_folder
from tests.crash.judge import Contents, Expectation, content_faults, contents, soundness
from tests.crash.layout import Disk, Layout
from tests.crash.operations import SMALLEST, USUAL, WIDE, Case, cases
from tests.crash.steps import Resize

OPERATIONS = (
    "snapshot create with machine state",
    "snapshot create after writes",
    "snapshot goto after writes",
    "snapshot goto with machine state",
    "snapshot goto, larger disk",
    "snapshot delete, shared",
    "snapshot replaced by its namesake",
    "first write: new L2 table",
    "copy-on-write, copied L2 table",
    "write zeroes, unmap",
    "resize",
    "new refcount block",
    "refcount blocks in a row",
    "refcount table growth",
)
CASES = [
    case
    for case in cases([USUAL, SMALLEST])
    if case.operation.startswith(OPERATIONS)
    if case.geometry is not WIDE
    or case.start.name in ("table nearly full", "L1 table of 10 regions")
]


@pytest.fixture(scope="module")
def workshop(qemu_img: str, qemu_io: str) -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory(prefix="full-", dir=fast_folder()) as folder:
        yield Workshop(Path(folder))


class Play:
    """A case on a fresh copy of its image.

    Attributes:
        models: what may be in the image, from the last promise that it kept to the step that fails.
    """

    def __init__(self, case: Case, workshop: Workshop) -> None:
        data, self.now = workshop.start(case)
        self.path = workshop.folder / "full.qcow2"
        self.path.write_bytes(data)
        self.graph = Graph(lambda _text: None)
        self.node: BlockNode = self.graph.open_image(
            str(self.path), driver="qcow2", read_only=False, cache=CacheMode()
        )
        self.case = case
        self.left = list(case.steps)
        self.models = [self.now]

    def go_on(self) -> None:
        """Do the steps that are left, up to one that fails."""
        cluster_size = self.case.geometry.cluster_size
        while self.left:
            step = self.left[0]
            after = step.on_model(self.now, cluster_size)
            if isinstance(step, Resize) and step.size < self.now.disk.size:
                cut = Disk(self.now.disk.size, after.disk.clusters)
                self.models.append(self.now._replace(disk=cut))
            self.models.append(after)
            step.on_engine(self.node)
            if step.promises:
                self.models = [after]
            self._done(after)
        self.node.flush()

    def _done(self, after: Contents) -> None:
        self.now = after
        self.left.pop(0)

    def finish(self) -> None:
        """Do what is left, now that nothing stands in the way, and close the image."""
        there = [snapshot.id for snapshot in self.node.snapshots()]
        if self.left and there != list(self.now.snapshots):
            # All but the cleaning up behind the step was done.
            assert there == list(self.models[-1].snapshots)
            self._done(self.models[-1])
        self.go_on()
        self.graph.close()

    def faults(self, *, everything: bool = False) -> list[str]:
        """What is wrong with the image as it is in the file."""
        layout = Layout(bytearray(self.path.read_bytes()), None)
        versions = [self.now] if everything else self.models
        found = contents(layout)
        expected = Expectation(versions, is_atomic=everything)
        return soundness(layout).dangers + content_faults(found, expected)


def numbers() -> Iterator[int]:
    """1, 2, 3 and so on; where there are many writes, not each of them."""
    n = 1
    while True:
        yield n
        n += max(1, n // 8)


@pytest.mark.parametrize("stand_in", [NoRoomOnce, FullFile])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_write_without_room_leaves_the_image_sound(
    case: Case, stand_in: type[NoRoomOnce], workshop: Workshop, check: Callable[[Path], int]
) -> None:
    failures = 0
    for n in numbers():
        trial = Play(case, workshop)
        watched = watch(trial.node, stand_in, n)
        assert isinstance(watched, NoRoomOnce)
        said = ""
        try:
            trial.go_on()
        except QemuError as error:
            said = str(error)
            failures += 1
        assert not said or said.endswith(os.strerror(errno.ENOSPC)), f"write {n}"
        assert trial.faults() == [], f"write {n}"
        is_through = watched.left > 0
        watched.has_room = True
        trial.finish()
        assert trial.faults(everything=True) == [], f"write {n}"
        if n < 3 or failures == 10:
            assert check(trial.path) == 0, f"write {n}"
        if is_through:
            break
    # On a full disk, what takes no room works on.
    assert failures or stand_in is FullFile


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.operation.startswith("snapshot create with machine state")],
    ids=lambda case: case.name,
)
def test_where_the_system_lets_no_file_grow_an_operation_fails_and_works_later(
    case: Case, workshop: Workshop, check: Callable[[Path], int]
) -> None:
    trial = Play(case, workshop)
    start = trial.path.stat().st_size
    trial.finish()
    grown = trial.path.stat().st_size - start
    assert grown > 0
    for share in range(8):
        trial = Play(case, workshop)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (start + grown * share // 8 + share % 3, hard))
        try:
            with pytest.raises(QemuError, match=os.strerror(errno.EFBIG)):
                trial.go_on()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert trial.faults() == []
        trial.finish()
        assert trial.faults(everything=True) == []
        assert check(trial.path) == 0
