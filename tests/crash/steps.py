"""The steps that operations are made of: each on our engine, on a model, and as a real command."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

from blockdev.errors import QemuError
from blockdev.node import BlockNode
from blockdev.qcow2.image import Image
from blockdev.snapshot import Snapshot, find_by_name
from tests.crash.judge import Contents
from tests.crash.layout import SECTOR, Disk, SnapshotContent


@lru_cache(maxsize=300)
def pattern(label: str, offset: int, size: int) -> bytes:
    """Bytes that say in each sector whose they are and where they belong."""
    first, inside = divmod(offset, SECTOR)
    count = -(-(inside + size) // SECTOR)
    data = b"".join(
        f"{label}@{first + n:x} ".encode().ljust(32, b".") * (SECTOR // 32) for n in range(count)
    )
    return data[inside : inside + size]


def changed(disk: Disk, cluster_size: int, offset: int, data: bytes) -> Disk:
    """The disk with some bytes of it changed."""
    clusters = dict(disk.clusters)
    zeros = bytes(cluster_size)
    done = 0
    while done < len(data):
        number, inside = divmod(offset + done, cluster_size)
        piece = data[done : done + cluster_size - inside]
        old = clusters.get(number, zeros)
        new = old[:inside] + piece + old[inside + len(piece) :]
        if new == zeros:
            clusters.pop(number, None)
        else:
            clusters[number] = new
        done += len(piece)
    return Disk(disk.size, clusters)


class Command(NamedTuple):
    """A step for the real programs: words after ``qemu-img``, or one of qemu-io's lines.

    Attributes:
        data: what ``PATTERN`` in qemu-io's line stands for.
    """

    image: tuple[str, ...] = ()
    line: str = ""
    data: bytes = b""


class Step(Protocol):
    """One thing that is done to an image."""

    @property
    def promises(self) -> bool:
        """Whether it and all before it survives from then on."""

    def on_engine(self, node: BlockNode) -> None: ...

    def on_model(self, now: Contents, cluster_size: int) -> Contents: ...

    def on_real(self) -> Command | None:
        """None where the real programs have no command for it."""


class GuestWrite(NamedTuple):
    """A write of the guest; the bytes tell `label` and place."""

    label: str
    offset: int
    size: int
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        node.write(self.offset, [pattern(self.label, self.offset, self.size)])

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        data = pattern(self.label, self.offset, self.size)
        return now._replace(disk=changed(now.disk, cluster_size, self.offset, data))

    def on_real(self) -> Command:
        data = pattern(self.label, self.offset, self.size)
        return Command(line=f"write -s PATTERN {self.offset} {self.size}", data=data)


class CompressedWrite(NamedTuple):
    """A compressed write of whole clusters, for images the real programs make."""

    label: str
    offset: int
    size: int
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        raise NotImplementedError

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return GuestWrite(self.label, self.offset, self.size).on_model(now, cluster_size)

    def on_real(self) -> Command:
        data = pattern(self.label, self.offset, self.size)
        return Command(line=f"write -c -s PATTERN {self.offset} {self.size}", data=data)


class Zeroes(NamedTuple):
    """Zeros of the guest, which need no data."""

    offset: int
    size: int
    may_unmap: bool = False
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        assert isinstance(node, Image)
        node.write_zeroes(self.offset, self.size, may_unmap=self.may_unmap)

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return now._replace(disk=changed(now.disk, cluster_size, self.offset, bytes(self.size)))

    def on_real(self) -> Command:
        unmap = " -u" if self.may_unmap else ""
        return Command(line=f"write -z{unmap} {self.offset} {self.size}")


class Discard(NamedTuple):
    """The guest has no more use for these clusters."""

    offset: int
    size: int
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        assert isinstance(node, Image)
        node.discard(self.offset, self.size)

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return now._replace(disk=changed(now.disk, cluster_size, self.offset, bytes(self.size)))

    def on_real(self) -> Command:
        return Command(line=f"discard {self.offset} {self.size}")


class Flush(NamedTuple):
    """The guest's barrier."""

    promises: bool = True

    def on_engine(self, node: BlockNode) -> None:
        node.flush()

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return now

    def on_real(self) -> Command:
        return Command(line="flush")


class Resize(NamedTuple):
    """The disk gets another size."""

    size: int
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        assert isinstance(node, Image)
        node.truncate(self.size)

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        clusters = {
            n: data for n, data in now.disk.clusters.items() if n * cluster_size < self.size
        }
        return now._replace(disk=Disk(self.size, clusters))

    def on_real(self) -> Command:
        return Command(image=("resize", "--shrink", str(self.size)))


class Create(NamedTuple):
    """A new snapshot; with `state_size`, of a machine too."""

    name: str
    state_size: int = 0
    promises: bool = True

    def on_engine(self, node: BlockNode) -> None:
        snapshot = Snapshot(name=self.name, date_sec=1, vm_state_size=self.state_size)
        if not self.state_size:
            node.snapshot_create(snapshot, None)
            return
        area = node.open_vmstate()
        data = pattern(self.name, 0, self.state_size)
        try:
            third = len(data) // 3
            for piece in (data[:third], data[third : 2 * third], data[2 * third :]):
                area.write([piece])
            node.snapshot_create(snapshot, area)
        except QemuError:
            area.abandon()
            raise

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        id = str(max((int(known) for known in now.snapshots), default=0) + 1)
        state = Disk(self.state_size, {})
        state = changed(state, cluster_size, 0, pattern(self.name, 0, self.state_size))
        content = SnapshotContent(id, self.name, now.disk, state)
        return now._replace(snapshots=now.snapshots | {id: content})

    def on_real(self) -> Command | None:
        return None if self.state_size else Command(image=("snapshot", "-c", self.name))


class Goto(NamedTuple):
    """Back to a snapshot."""

    name: str
    promises: bool = True

    def on_engine(self, node: BlockNode) -> None:
        node.snapshot_goto(self.name)

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return now._replace(disk=now.snapshots[_id(now, self.name)].disk)

    def on_real(self) -> Command:
        return Command(image=("snapshot", "-a", self.name))


class Delete(NamedTuple):
    """A snapshot goes."""

    name: str
    promises: bool = True

    def on_engine(self, node: BlockNode) -> None:
        found = find_by_name(node.snapshots(), self.name)
        assert found is not None
        node.snapshot_delete(found.id, found.name)

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        gone = _id(now, self.name)
        left = {id: content for id, content in now.snapshots.items() if id != gone}
        return now._replace(snapshots=left)

    def on_real(self) -> Command:
        return Command(image=("snapshot", "-d", self.name))


class Abandon(NamedTuple):
    """Machine state that never becomes a snapshot's."""

    size: int
    promises: bool = False

    def on_engine(self, node: BlockNode) -> None:
        area = node.open_vmstate()
        area.write([pattern("abandoned", 0, self.size)])
        area.abandon()

    def on_model(self, now: Contents, cluster_size: int) -> Contents:
        return now

    def on_real(self) -> None:
        return None


GUEST_STEPS = (GuestWrite, CompressedWrite, Zeroes, Discard)


def _id(now: Contents, name: str) -> str:
    return next(id for id, content in now.snapshots.items() if content.name == name)
