"""Writes, snapshots, reverts: the image must read back like plain bytes, and stay clean."""

import subprocess
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.create import create_image
from blockdev.snapshot import Snapshot, find_by_name

SIZE = 3 << 20
CLUSTER = 1 << 16
offsets = st.integers(0, SIZE - 1) | st.integers(0, SIZE // CLUSTER - 1).map(CLUSTER.__mul__)
lengths = st.sampled_from([1, 512, 4096, CLUSTER - 1, CLUSTER, CLUSTER + 1, 5 * CLUSTER])
states = st.sampled_from([0, 1, 36_000, CLUSTER, 3 * CLUSTER + 17, 1 << 20])


class ImageModel(RuleBasedStateMachine):
    """An image beside a bytearray, and each snapshot beside a copy of it."""

    snapshots = Bundle("snapshots")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "disk.qcow2"
        create_image(str(self.path), SIZE)
        self.disk = bytearray(SIZE)
        self.kept: dict[str, tuple[bytes, bytes]] = {}
        self.count = 0
        self.open()

    def open(self) -> None:
        self.graph = Graph(self.fail)
        self.node: BlockNode = self.graph.open_image(
            str(self.path), driver="qcow2", read_only=False, cache=CacheMode(no_flush=True)
        )

    def fail(self, text: str) -> None:
        raise AssertionError(text)

    def fresh(self, length: int) -> bytes:
        """Bytes that no earlier call gave."""
        self.count += 1
        return (self.count.to_bytes(4, "big") * (length // 4 + 1))[:length]

    @rule(offset=offsets, length=lengths, pieces=st.integers(1, 3))
    def write(self, offset: int, length: int, pieces: int) -> None:
        data = self.fresh(min(length, SIZE - offset))
        step = len(data) // pieces + 1
        self.node.write(offset, [data[n : n + step] for n in range(0, len(data), step)])
        self.disk[offset : offset + len(data)] = data

    @rule(target=snapshots, state=states)
    def save(self, state: int) -> str:
        name = f"s{self.count}-{len(self.kept)}"
        data = self.fresh(state)
        area = None
        if state:
            area = self.node.open_vmstate()
            for start in range(0, state, 100_000):
                area.write([data[start : start + 7], data[start + 7 : start + 100_000]])
        self.node.snapshot_create(Snapshot(name=name, date_sec=1, vm_state_size=state), area)
        self.kept[name] = bytes(self.disk), data
        return name

    @rule()
    def give_up_a_state(self) -> None:
        area = self.node.open_vmstate()
        area.write([self.fresh(3 * CLUSTER + 5)])
        area.abandon()

    @rule(name=snapshots)
    def load(self, name: str) -> None:
        if name in self.kept:
            snapshot = self.node.snapshot_goto(name)
            self.disk[:], state = self.kept[name]
            view = memoryview(bytearray(len(state)))
            if state:
                assert self.node.vmstate_reader(snapshot).read_into(0, view) == len(state)
            assert view == state

    @rule(name=snapshots)
    def delete(self, name: str) -> None:
        if name in self.kept:
            snapshot = find_by_name(self.node.snapshots(), name)
            assert snapshot is not None
            self.node.snapshot_delete(snapshot.id, name)
            del self.kept[name]

    @rule(target=snapshots)
    def open_again(self) -> object:
        self.graph.close()
        self.open()
        return multiple()

    @invariant()
    def reads_back(self) -> None:
        assert self.node.read(0, SIZE) == self.disk

    @invariant()
    def is_clean(self) -> None:
        self.node.write_back()
        command = ["qemu-img", "check", "-q", "-U", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def teardown(self) -> None:
        self.graph.close()
        self.folder.cleanup()


ImageModel.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, print_blob=True
)


TestImageAgainstModel = ImageModel.TestCase
