"""What a savevm, loadvm or delvm would do to the disks, found out by doing it to their shadows.

The plan is the real one, and so is the code that runs it, on images whose writes stay in memory:
what is foretold and what is done can't drift apart.
"""

from __future__ import annotations

import time

from blockdev.errors import QemuError
from blockdev.qcow2.image import Image
from blockdev.shadow import ShadowNode
from blockdev.snapshot import Snapshot, find_by_name, find_to_go_to
from blockdev.vmstate_area import VMStateWriter
from machine.memory import PAGE_SIZE
from machine.migration.savevm import write_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockdev.file import Buffer
    from machine.machine import Machine
    from machine.memory import Memory
    from machine.snapshot import Disk, LoadPlan, SavePlan

_PIECE = bytes(1 << 20)  # stands for so much machine state


class Effect:
    """What happens to one disk.

    Attributes:
        disk: which.
        snapshot: the one that is made, gone to, or deleted; None where there is none.
        state_bytes: machine state that is written to it, or read from it.
        clusters_taken: how many more are in use afterwards; negative for fewer.
        growth: bytes by which the file grows.
        bytes_written, barriers: on the way.
    """

    __slots__ = (
        "barriers",
        "bytes_written",
        "clusters_taken",
        "disk",
        "growth",
        "snapshot",
        "state_bytes",
    )

    def __init__(self, disk: Disk, snapshot: Snapshot | None, state_bytes: int = 0) -> None:
        self.disk = disk
        self.snapshot = snapshot
        self.state_bytes = state_bytes
        self.clusters_taken = self.growth = self.bytes_written = self.barriers = 0


class Stage:
    """A disk's shadow, on which things are tried.

    Raises:
        QemuError: the disk has no image whose writes could be kept in memory.
    """

    def __init__(self, disk: Disk) -> None:
        node = disk.node
        while not isinstance(node, Image):
            if node.file is None:
                raise QemuError(f"'{disk.shown}' has no internal snapshots")
            node = node.file
        self._disk = disk
        self._size_before = node.file.size
        self._file = ShadowNode(node.file)
        self.image = Image("", self._file, read_only=False, cache=node.cache, report=_hear_nothing)
        self._clusters_before = self._clusters_in_use()

    def effect(self, snapshot: Snapshot | None, state_bytes: int = 0) -> Effect:
        """What has come of it."""
        self.image.write_back()
        effect = Effect(self._disk, snapshot, state_bytes)
        effect.clusters_taken = self._clusters_in_use() - self._clusters_before
        effect.growth = self._file.size - self._size_before
        effect.bytes_written = self._file.bytes_written
        effect.barriers = self._file.barriers
        return effect

    def _clusters_in_use(self) -> int:
        clusters = -(-self._file.size // self.image.cluster_size)
        return self.image.metadata.refcounts.used(clusters)


class Pages:
    """A machine's memory as savevm sees it.

    Attributes:
        total, zero: pages; a zero one takes nine bytes of the state, another all of itself.
    """

    __slots__ = ("total", "zero")

    def __init__(self, memory: Memory) -> None:
        self.total = memory.ram_size // PAGE_SIZE
        self.zero = self.total - sum(
            block.view[offset : offset + PAGE_SIZE] != _ZERO_PAGE
            for block in memory.blocks
            for chunk in range(block.chunks)
            if block.is_touched(chunk)
            for offset in range(chunk << 20, (chunk << 20) + block.chunk_size(chunk), PAGE_SIZE)
        )


_ZERO_PAGE = bytes(PAGE_SIZE)


def rehearse_save(machine: Machine, plan: SavePlan) -> list[Effect]:
    """What `machine.snapshot.save` would do, disk by disk.

    Raises:
        QemuError: what it would fail with.
    """
    machine.settle()
    state = _Measure()
    for _ in write_state(machine, state, machine.runstate):
        pass
    effects = []
    seconds, nanoseconds = divmod(machine.wall_clock_ns(), 1_000_000_000)
    tag = plan.tag
    if tag is None:
        tag = time.strftime("vm-%Y%m%d%H%M%S", time.localtime(seconds))
    for disk in plan.disks:
        stage = Stage(disk)
        for holder, old in plan.replaced:
            if holder.node is disk.node:
                stage.image.snapshot_delete(old.id, old.name)
        holds_state = disk is plan.state_disk
        snapshot = Snapshot(
            name=tag,
            date_sec=seconds,
            date_nsec=nanoseconds,
            vm_clock_nsec=machine.clock.now_ns(),
            vm_state_size=state.size if holds_state else 0,
        )
        area = None
        if holds_state:
            area = stage.image.open_vmstate()
            for start in range(0, state.size, len(_PIECE)):
                area.write([_PIECE[: state.size - start]])
        stage.image.snapshot_create(snapshot, area)
        effects.append(stage.effect(snapshot, state.size if holds_state else 0))
    return effects


def rehearse_load(machine: Machine, plan: LoadPlan) -> list[Effect]:
    """What `machine.snapshot.load` would do to the disks.

    Raises:
        QemuError: what it would fail with.
    """
    machine.settle()
    effects = []
    for disk in plan.disks:
        stage = Stage(disk)
        snapshot = stage.image.snapshot_goto(plan.tag)
        state = snapshot.vm_state_size if disk is plan.state_disk else 0
        effects.append(stage.effect(find_to_go_to(disk.node.snapshots(), plan.tag), state))
    return effects


def rehearse_delete(machine: Machine, plan: Sequence[tuple[Disk, Snapshot]]) -> list[Effect]:
    """What `machine.snapshot.delete` would do.

    Raises:
        QemuError: what it would fail with.
    """
    machine.settle()
    effects = []
    for disk, snapshot in plan:
        stage = Stage(disk)
        stage.image.snapshot_delete(snapshot.id, snapshot.name)
        effects.append(stage.effect(find_by_name(disk.node.snapshots(), snapshot.name)))
    return effects


class _Measure(VMStateWriter):
    """Takes machine state, and keeps its size alone."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, buffers: Sequence[Buffer]) -> None:
        self.size += sum(map(len, buffers))

    def abandon(self) -> None:
        """There is nothing to give back."""


def _hear_nothing(_line: str) -> None:
    pass
