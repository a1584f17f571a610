"""The real programs: they make images, are recorded as the yardstick, and judge what is left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.crash.blklogwrites import image_options, read_log
from tests.crash.judge import (
    CLEAN,
    Contents,
    Expectation,
    content_faults,
    contents,
    snapshot_faults,
    soundness,
)
from tests.crash.layout import DamagedError, Disk, Layout, SnapshotContent
from tests.crash.record import Event
from tests.crash.steps import Command, Step

_WRITE_WHOLE_DISKS_UP_TO = 16 << 20
_OVERWRITTEN = 0xA5


class Answer(NamedTuple):
    """What a program said, and its exit status."""

    status: int
    text: str


class RealPrograms:
    """qemu-img and qemu-io, with a folder for their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str | Path) -> Answer:
        done = subprocess.run(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace").strip())

    def must(self, *words: str | Path) -> None:
        answer = self.run(*words)
        assert answer.status == 0, f"{words}: {answer.text}"

    # --- making images

    def create(self, path: Path, size: int, options: Sequence[str], backing: Path | None) -> None:
        words = ["qemu-img", "create", "-q", "-f", "qcow2"]
        if options:
            words += ["-o", ",".join(options)]
        if backing:
            words += ["-b", str(backing), "-F", "raw"]
        self.must(*words, path, str(size))

    def do(self, path: Path, step: Step) -> None:
        """One step on an image."""
        command = step.on_real()
        assert command is not None
        if command.image:
            self.must("qemu-img", *_with_image(command.image, [str(path)]))
        else:
            self._io("-f", "qcow2", path, command=command)

    def _io(self, *image: str | Path, command: Command, more: Sequence[str] = ()) -> None:
        source = self.folder / "pattern"
        source.write_bytes(command.data)
        line = command.line.replace("PATTERN", str(source))
        self.must("qemu-io", "-t", "writeback", *more, "-c", line, *image)

    def leave_dirty(self, path: Path, step: Step) -> None:
        """Do a step with qemu-io and have it killed, so that the image stays marked as dirty."""
        command = step.on_real()
        assert command is not None
        source = self.folder / "pattern"
        source.write_bytes(command.data)
        line = command.line.replace("PATTERN", str(source))
        self.run("qemu-io", "-f", "qcow2", "-c", line, "-c", "flush", "-c", "sigraise 9", path)

    def record(self, path: Path, step: Step) -> list[Event]:
        """One step on an image, and what QEMU wrote for it."""
        command = step.on_real()
        assert command is not None
        log = self.folder / "log"
        log.write_bytes(b"")
        options = image_options(path, log)
        if command.image:
            words = _with_image(command.image, ["--image-opts", options])
            self.must("qemu-img", *words)
        else:
            self._io("--image-opts", options, command=command)
        return read_log(log)

    # --- judging images

    def faults(
        self, image: bytearray, expected: Expectation, check_exit: int, backing: Disk | None
    ) -> list[str]:
        """What the real programs find wrong with what a crash has left.

        Args:
            check_exit: what `qemu-img check` should exit with, as our own judge sees it.
        """
        path = self.folder / "crashed.qcow2"
        path.write_bytes(image)
        answer = self.run("qemu-img", "check", "-q", "-f", "qcow2", path)
        faults = []
        if answer.status != check_exit:
            faults.append(f"qemu-img check exits with {answer.status}, we {check_exit}: {answer}")
        faults += self._repair_faults(image, expected, backing)
        try:
            faults += self._write_faults(path, expected, backing)
        except DamagedError as error:
            faults.append(str(error))
        return faults

    def _repair_faults(
        self, image: bytearray, expected: Expectation, backing: Disk | None
    ) -> list[str]:
        path = self.folder / "repaired.qcow2"
        path.write_bytes(image)
        answer = self.run("qemu-img", "check", "-q", "-r", "all", "-f", "qcow2", path)
        if answer.status != CLEAN:
            return [f"qemu-img check -r all exits with {answer.status}: {answer.text}"]
        try:
            layout = Layout(bytearray(path.read_bytes()), backing)
            if not soundness(layout).is_clean:
                return ["after qemu-img check -r all the image isn't clean"]
            faults = content_faults(contents(layout), expected)
        except DamagedError as error:
            faults = [str(error)]
        return [f"after qemu-img check -r all: {fault}" for fault in faults]

    def _write_faults(self, path: Path, expected: Expectation, backing: Disk | None) -> list[str]:
        """Write over everything that a snapshot may share, and see that no snapshot changes.

        Raises:
            DamagedError: the image can't be read, before or after.
        """
        raw = self.folder / "active.raw"
        answer = self.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
        if answer.status:
            return [f"qemu-img convert: {answer.text}"]
        layout = Layout(bytearray(path.read_bytes()), backing)
        size = layout.cluster_size
        before = contents(layout)
        read = read_disk(raw, size)
        faults = []
        if read != before.disk:
            faults.append("qemu-img reads another disk than we do")
        words: list[str] = []
        for offset, length in written_over(before, size):
            words += ["-c", f"write -P {_OVERWRITTEN} {offset} {length}"]
            words += ["-c", f"read -P {_OVERWRITTEN} {offset} {length}"]
        answer = self.run("qemu-io", "-t", "writeback", "-f", "qcow2", *words, path)
        if answer.status or "failed" in answer.text:
            faults.append(f"qemu-io, writing over everything: {answer.text}")
        found = {}
        for id, snapshot in before.snapshots.items():
            options = f"snapshot.id={id},snapshot.name={snapshot.name}"
            words = ["qemu-img", "convert", "-f", "qcow2", "-l", options, "-O", "raw"]
            answer = self.run(*words, path, raw)
            if answer.status:
                faults.append(f"qemu-img convert -l {options}: {answer.text}")
                continue
            found[id] = _as_converted(read_disk(raw, size), snapshot, size)
        faults += [f"after writing: {fault}" for fault in snapshot_faults(found, expected)]
        after = soundness(Layout(bytearray(path.read_bytes()), backing))
        return faults + [f"after writing: {danger}" for danger in after.dangers]


def _as_converted(raw: Disk, snapshot: SnapshotContent, cluster_size: int) -> SnapshotContent:
    """A snapshot as `qemu-img convert -l` gives it.

    The tool gives no machine state, and of the disk as much as the active one has: the rest is as
    our own reader has it.
    """
    clusters = {
        n: data for n, data in raw.clusters.items() if n * cluster_size < snapshot.disk.size
    }
    for n, data in snapshot.disk.clusters.items():
        if n * cluster_size >= raw.size:
            clusters[n] = data
    return snapshot._replace(disk=Disk(snapshot.disk.size, clusters))


def _with_image(words: Sequence[str], image: Sequence[str]) -> list[str]:
    """A qemu-img command; the size of ``resize`` comes behind the image."""
    if words[0] == "resize":
        return ["resize", "-q", *words[1:-1], *_resize_image(image), words[-1]]
    if image[0] == "--image-opts":
        return [words[0], image[0], *words[1:], image[1]]
    return [*words, *image]


def _resize_image(image: Sequence[str]) -> list[str]:
    return list(image) if image[0] == "--image-opts" else ["-f", "qcow2", *image]


def written_over(now: Contents, cluster_size: int) -> list[tuple[int, int]]:
    """Ranges of the disk, offset and size, that hold all clusters anybody has."""
    disk = now.disk
    if disk.size <= _WRITE_WHOLE_DISKS_UP_TO:
        return [(0, disk.size)]
    numbers = set(disk.clusters)
    for snapshot in now.snapshots.values():
        numbers |= snapshot.disk.clusters.keys()
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        offset = number * cluster_size
        size = min(cluster_size, disk.size - offset)
        if size <= 0:
            break
        if ranges and sum(ranges[-1]) == offset:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + size)
        else:
            ranges.append((offset, size))
    return ranges


def read_disk(path: Path, cluster_size: int) -> Disk:
    """A raw image's content; holes aren't read."""
    clusters: dict[int, bytes] = {}
    zeros = bytes(cluster_size)
    with path.open("rb") as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        at = 0
        while at < size:
            try:
                at = os.lseek(descriptor, at, os.SEEK_DATA) // cluster_size * cluster_size
            except OSError:  # ENXIO: no data from here on
                break
            end = os.lseek(descriptor, at + 1, os.SEEK_HOLE)
            while at < end:
                data = os.pread(descriptor, cluster_size, at).ljust(cluster_size, b"\0")
                if data != zeros:
                    clusters[at // cluster_size] = data
                at += cluster_size
    return Disk(size, clusters)
