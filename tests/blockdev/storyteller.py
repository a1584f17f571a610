"""Plays a story on an image, beside a model of plain bytes, and looks at it after each step."""

from __future__ import annotations

import re
import subprocess
from array import array
from pathlib import Path

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.check import check
from blockdev.qcow2.header import Header, l1_entries_for
from blockdev.snapshot import Snapshot, find_by_name
from blockdev.vmstate_area import VMStateWriter
from tests.blockdev.stories import (
    Compress,
    Delete,
    Discard,
    GiveUpState,
    Goto,
    Reopen,
    Resize,
    Save,
    Start,
    Step,
    Story,
    Write,
    WriteZeroes,
)


class Kept:
    """A snapshot as it must stay: the disk's bytes, and the machine state."""

    def __init__(self, disk: bytes, state: bytes) -> None:
        self.disk = disk
        self.state = state


class Storyteller:
    """Plays one story.

    Args:
        folder: for the image and what is around it; empty.
        story: the story.
    """

    def __init__(self, folder: Path, story: Story) -> None:
        self.geometry = story.geometry
        self.story = story
        self.path = folder / "disk.qcow2"
        self._data = folder / "data"
        self._raw = folder / "copy.raw"
        self._backing = folder / "backing"
        self._marks = 0
        self._graph: Graph | None = None
        self._node: BlockNode | None = None
        self.kept: dict[str, Kept] = {}
        self.disk = bytearray(self._make(story.start))

    def play(self) -> None:
        """The whole story.

        Raises:
            AssertionError: the image isn't what it must be.
        """
        try:
            for step in self.story.steps:
                self._play(step)
                self._look()
            self._close()
            self._look_with_the_real_eye()
        finally:
            if self._graph is not None:
                graph, self._graph = self._graph, None
                graph.close()

    # --- the start

    def _make(self, start: Start) -> bytes:
        if start.kind == "empty":
            self._create(start.size)
            return bytes(start.size)
        backing = self._patches(start.backing_size or start.size)
        self._backing.write_bytes(backing)
        if start.kind == "compressed":
            options = ["-c", "-f", "raw", "-O", "qcow2", "-o", self.geometry.options]
            run("qemu-img", "convert", *options, str(self._backing), str(self.path))
            return backing
        if start.kind == "qcow2":
            raw = self._backing.rename(self._backing.with_suffix(".raw"))
            options = ["-f", "raw", "-O", "qcow2", "-o", self.geometry.options]
            run("qemu-img", "convert", *options, str(raw), str(self._backing))
        self._create(start.size, "-b", str(self._backing), "-F", start.kind)
        return backing[: start.size].ljust(start.size, b"\0")

    def _create(self, size: int, *options: str) -> None:
        layout = ["-f", "qcow2", "-o", self.geometry.options]
        run("qemu-img", "create", "-q", *layout, *options, str(self.path), str(size))

    def _patches(self, size: int) -> bytes:
        """Data here and there, with holes between."""
        disk = bytearray(size)
        for offset in range(0, size, max(size // 5, 512)):
            length = min(60_000, size // 10 + 1, size - offset)
            disk[offset : offset + length] = self._fresh(length)
        return bytes(disk)

    def _fresh(self, length: int) -> bytes:
        """Bytes that no earlier call gave, no two words of them the same."""
        self._marks += 1
        words = range(self._marks << 20, (self._marks << 20) + length // 4 + 1)
        return array("I", words).tobytes()[:length]

    # --- the steps

    def _play(self, step: Step) -> None:
        act = step.act
        if step.by_real:
            self._close()
        match act:
            case Write() | Compress() | WriteZeroes() | Discard() if not self.disk:
                pass
            case Write():
                self._write(act, by_real=step.by_real)
            case Compress():
                self._compress(act)
            case WriteZeroes():
                self._write_zeroes(act, by_real=step.by_real)
            case Discard():
                self._discard(act, by_real=step.by_real)
            case Save():
                self._save(act, by_real=step.by_real)
            case GiveUpState():
                self._state_area(self._fresh(act.state)).abandon()
            case Goto():
                self._goto(act, by_real=step.by_real)
            case Delete():
                self._delete(act, by_real=step.by_real)
            case Resize():
                self._resize(act, by_real=step.by_real)
            case Reopen():
                self._close()

    def _extent(self, offset: int, length: int) -> tuple[int, int]:
        offset %= len(self.disk)
        return offset, min(length, len(self.disk) - offset)

    def _io(self, *commands: str, may_fail: bool = False) -> str:
        arguments = [word for command in commands for word in ("-c", command)]
        return run("qemu-io", "-f", "qcow2", *arguments, str(self.path), may_fail=may_fail)

    def _write(self, act: Write, *, by_real: bool) -> None:
        offset, length = self._extent(act.offset, act.length)
        data = self._fresh(length)
        if by_real:
            self._data.write_bytes(data)
            self._io(f"write -q -s {self._data} {offset} {length}")
        else:
            step = length // act.pieces + 1
            self.node.write(offset, [data[n : n + step] for n in range(0, length, step)])
        self.disk[offset : offset + length] = data

    def _compress(self, act: Compress) -> None:
        size = self.geometry.cluster_size
        first = act.offset % len(self.disk) // size * size
        for offset in range(first, min(first + act.clusters * size, len(self.disk)), size):
            length = min(size, len(self.disk) - offset)
            data = self._fresh(min(length, 40_000)).ljust(length, b"\0")
            self._data.write_bytes(data)
            # A cluster that is there already can't be written so.
            said = self._io(f"write -c -s {self._data} {offset} {length}", may_fail=True)
            if "wrote" in said:
                self.disk[offset : offset + length] = data

    def _write_zeroes(self, act: WriteZeroes, *, by_real: bool) -> None:
        offset, length = self._extent(act.offset, act.length)
        if by_real:
            self._io(f"write -q -z {'-u ' * act.may_unmap}{offset} {length}")
        else:
            self.node.write_zeroes(offset, length, may_unmap=act.may_unmap)
        self.disk[offset : offset + length] = bytes(length)

    def _discard(self, act: Discard, *, by_real: bool) -> None:
        offset, length = self._extent(act.offset, act.length)
        if by_real:
            self._io(f"discard -q {offset} {length}")
        else:
            self.node.discard(offset, length)
        # A whole cluster keeps its bytes or becomes zeros; what is around must stay.
        size = self.geometry.cluster_size
        now = self.node.read(0, len(self.disk))
        for start in range(-(-offset // size) * size, offset + length, size):
            end = min(start + size, len(self.disk))
            if end <= offset + length and not any(now[start:end]):
                self.disk[start:end] = bytes(end - start)

    def _save(self, act: Save, *, by_real: bool) -> None:
        self._marks += 1
        name = f"s{self._marks}"
        state = b""
        if by_real:
            if self.geometry.counts_fill_up:
                return
            run("qemu-img", "snapshot", "-c", name, str(self.path))
        else:
            state = self._fresh(act.state)
            area = self._state_area(state) if state else None
            snapshot = Snapshot(name=name, date_sec=1, vm_state_size=len(state))
            try:
                self.node.snapshot_create(snapshot, area)
            except QemuError:
                assert self.geometry.counts_fill_up
                if area is not None:
                    area.abandon()
                return
        self.kept[name] = Kept(bytes(self.disk), state)

    def _state_area(self, state: bytes) -> VMStateWriter:
        area = self.node.open_vmstate()
        for start in range(0, len(state), 100_000):
            area.write([state[start : start + 7], state[start + 7 : start + 100_000]])
        return area

    def _named(self, which: int) -> str | None:
        names = list(self.kept)
        return names[which % len(names)] if names else None

    def _goto(self, act: Goto, *, by_real: bool) -> None:
        name = self._named(act.which)
        if name is None or (by_real and self.geometry.counts_fill_up):
            return
        # Going to another size, the real program leaks state that is behind the disk.
        is_resize = len(self.kept[name].disk) != len(self.disk)
        if by_real and not (is_resize and self._has_state_behind_the_disk()):
            run("qemu-img", "snapshot", "-a", name, str(self.path))
        else:
            try:
                snapshot = self.node.snapshot_goto(name)
            except QemuError:
                assert self.geometry.counts_fill_up
                return
            self._look_at_state(snapshot)
        self.disk = bytearray(self.kept[name].disk)

    def _look_at_state(self, snapshot: Snapshot) -> None:
        state = self.kept[snapshot.name].state
        if state:
            view = memoryview(bytearray(len(state)))
            assert self.node.vmstate_reader(snapshot).read_into(0, view) == len(state)
            assert view == state, f"the machine state of {snapshot.name} has changed"

    def _delete(self, act: Delete, *, by_real: bool) -> None:
        name = self._named(act.which)
        if name is None:
            return
        if by_real:
            run("qemu-img", "snapshot", "-d", name, str(self.path))
        else:
            snapshot = find_by_name(self.node.snapshots(), name)
            assert snapshot is not None
            self.node.snapshot_delete(snapshot.id, name)
        del self.kept[name]

    def _resize(self, act: Resize, *, by_real: bool) -> None:
        is_refused = self.geometry.version == 2 and bool(self.kept)
        size = act.size
        if by_real:
            size = self._size_for_the_real_program(size)
            if not is_refused:
                options = ["-q", "--shrink", "-f", "qcow2"]
                run("qemu-img", "resize", *options, str(self.path), str(size))
        else:
            try:
                self.node.truncate(size)
            except QemuError:
                assert is_refused
            else:
                assert not is_refused
        if not is_refused:
            del self.disk[size:]
            self.disk += bytes(size - len(self.disk))

    def _size_for_the_real_program(self, size: int) -> int:
        """A size near `size` that it does well.

        It leaves the bytes past the new end in the last cluster, leaks machine state that a goto
        left behind the disk, shows it when the disk grows, and can't hide what a longer backing
        file has from a version 2 image.
        """
        now = len(self.disk)
        if self._has_state_behind_the_disk():
            return now
        if size < now:
            cluster = self.geometry.cluster_size
            return min(now, -(-size // cluster) * cluster)
        return now if self.geometry.version == 2 and self._backing.exists() else size

    def _has_state_behind_the_disk(self) -> bool:
        with self.path.open("rb") as file:
            header = Header.unpack(file.read(Header.SIZE))
            file.seek(header.l1_table_offset)
            l1 = array("Q", file.read(8 * header.l1_size))
        span_bits = 2 * header.cluster_bits - (4 if self.geometry.extended_l2 else 3)
        return any(l1[l1_entries_for(header.size, span_bits) :])

    # --- our own eye

    @property
    def node(self) -> BlockNode:
        """The image, opened by us."""
        if self._node is None:
            self._graph = Graph(_fail)
            self._node = self._graph.open_image(
                str(self.path), driver="qcow2", read_only=False, cache=CacheMode(no_flush=True)
            )
        return self._node

    def _close(self) -> None:
        if self._graph is not None:
            graph, self._graph, self._node = self._graph, None, None
            graph.close()

    def _look(self) -> None:
        node = self.node
        assert node.size == len(self.disk), f"the disk has {node.size} bytes"
        found = node.read(0, len(self.disk))
        assert found == self.disk, f"the disk differs at {_first_difference(found, self.disk):#x}"
        assert [snapshot.name for snapshot in node.snapshots()] == list(self.kept)
        node.write_back()
        assert node.file is not None
        result = check(node.file)
        assert result.is_clean, "\n".join(result.lines())

    # --- the real programs'

    def _look_with_the_real_eye(self) -> None:
        run("qemu-img", "check", "-q", str(self.path))
        for name, kept in self.kept.items():
            self._compare(kept.disk, name, "-l", f"snapshot.name={name}")
        self._compare(bytes(self.disk), "the disk")
        for snapshot in self.node.snapshots():
            self._look_at_state(snapshot)

    def _compare(self, wanted: bytes, what: str, *options: str) -> None:
        options = (*options, "-f", "qcow2", "-O", "raw")
        run("qemu-img", "convert", *options, str(self.path), str(self._raw))
        found = self._raw.read_bytes()
        if what == "the disk":
            assert len(found) == len(wanted)
        # A snapshot is shown at the size that the disk has now.
        end = min(len(found), len(wanted))
        assert found[:end] == wanted[:end], (
            f"{what} differs at {_first_difference(found, wanted):#x} for the real program"
        )


def run(*argv: str, may_fail: bool = False) -> str:
    """Run a real program; what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert may_fail or done.returncode == 0, f"{' '.join(argv)}: {done.returncode} {said}"
    assert may_fail or not re.search(r"^(qemu-\w+: |ERROR)|failed", said), f"{argv}: {said}"
    return said


def _fail(text: str) -> None:
    raise AssertionError(text)


def _first_difference(one: bytes | bytearray, other: bytes | bytearray) -> int:
    if one[: len(other)] == other[: len(one)]:
        return min(len(one), len(other))
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high) // 2
        if one[: middle + 1] == other[: middle + 1]:
            low = middle + 1
        else:
            high = middle
    return low
