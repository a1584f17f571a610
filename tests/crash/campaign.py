"""Records a case, replays it to every crash, and judges what is left."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.check import check
from tests.crash.judge import (
    Contents,
    Expectation,
    Soundness,
    content_faults,
    contents,
    snapshot_faults,
    soundness,
)
from tests.crash.layout import DamagedError, Disk, Layout
from tests.crash.operations import Case
from tests.crash.real import RealPrograms, read_disk, written_over
from tests.crash.record import Event, Recording, RecordingGraph, Version
from tests.crash.replay import Crash, Depth, crashes
from tests.crash.steps import Flush, GuestWrite, Resize, Step, pattern


class Effort(NamedTuple):
    """How much of a case is tried.

    Attributes:
        states: at most so many of a recording's states are judged; None: all.
        by_real: of those, how many go through the real programs; None: all.
        by_engine: how many our own engine has to go on with; None: all.
    """

    depth: Depth
    states: int | None
    by_real: int | None
    by_engine: int | None


class Danger(NamedTuple):
    """A state that should not be."""

    crash: str
    faults: list[str]


class Verdict(NamedTuple):
    """What came of one recording.

    Attributes:
        by_real: states that the real programs judged too.
        prefixes: states that a killed process leaves; of those, `dangerous_prefixes`.
        proved: dangerous states where the real programs really lost something.
    """

    writes: int = 0
    barriers: int = 0
    states: int = 0
    by_real: int = 0
    dangers: tuple[Danger, ...] = ()
    prefixes: int = 0
    dangerous_prefixes: int = 0
    proved: int = 0


class BrokenError(Exception):
    """What is left without any crash is wrong already; has the list of faults."""


class Workshop:
    """Makes the images that cases start from and records what is done to them."""

    def __init__(self, folder: Path) -> None:
        self.real = RealPrograms(folder)
        self.folder = folder
        self._starts: dict[tuple[object, ...], tuple[bytes, Contents]] = {}
        self.backing: Disk | None = None

    def start(self, case: Case) -> tuple[bytes, Contents]:
        """The image a case starts from, and what is in it: both by our reading and qemu-img's."""
        start, cluster_size = case.start, case.geometry.cluster_size
        self.backing = None
        path = self.folder / "start.qcow2"
        raw = self.folder / "backing.raw"
        if start.has_backing:
            raw.write_bytes(pattern("below", 0, start.size))
            self.backing = read_disk(raw, cluster_size)
        key = (case.geometry, start)
        if key not in self._starts:
            self._make(path, case, raw if start.has_backing else None)
            data = path.read_bytes()
            now = contents(Layout(bytearray(data), self.backing))
            disk = self.backing or Disk(start.size, {})
            model = Contents(Disk(start.size, disk.clusters), {})
            for step in start.steps:
                model = step.on_model(model, cluster_size)
            assert now == model, f"{case.name}: the start isn't what it should be"
            self._starts[key] = data, now
        return self._starts[key]

    def _make(self, path: Path, case: Case, backing: Path | None) -> None:
        start = case.start
        path.unlink(missing_ok=True)
        options = [*case.geometry.options, *(["lazy_refcounts=on"] if start.is_dirty else [])]
        self.real.create(path, start.size, options, backing)
        if start.by_engine:
            graph, node = _open(path)
            for step in start.steps:
                step.on_engine(node)
            graph.close()
        else:
            for number, step in enumerate(start.steps, 1):
                if start.is_dirty and number == len(start.steps):
                    self.real.leave_dirty(path, step)
                else:
                    self.real.do(path, step)
        if start.autoclear:
            with path.open("r+b") as file:
                file.seek(88)
                file.write(struct.pack(">Q", start.autoclear))
        if start.is_dirty:
            assert Layout(bytearray(path.read_bytes())).is_dirty

    def record(self, case: Case) -> Recording:
        """What our engine does."""
        data, now = self.start(case)
        path = self.folder / "recorded.qcow2"
        path.write_bytes(data)
        log: list[Event] = []
        graph = RecordingGraph(log)
        node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
        versions = [Version(now, 0, 0)]
        for step in case.steps:
            begun = len(log)
            step.on_engine(node)
            versions += _halfway(step, now, begun, case.geometry.cluster_size)
            now = step.on_model(now, case.geometry.cluster_size)
            versions.append(Version(now, begun, len(log) if step.promises else None))
        graph.close()
        return self._finished(case, data, log, versions, path)

    def record_real(self, case: Case) -> Recording:
        """What QEMU does, each step in a process of its own."""
        data, now = self.start(case)
        path = self.folder / "recorded.qcow2"
        path.write_bytes(data)
        log: list[Event] = []
        versions = [Version(now, 0, 0)]
        for step in case.steps:
            begun = len(log)
            if not isinstance(step, Flush):  # the process flushes when it ends
                log += self.real.record(path, step)
            versions += _halfway(step, now, begun, case.geometry.cluster_size)
            now = step.on_model(now, case.geometry.cluster_size)
            versions.append(Version(now, begun, len(log)))
        return self._finished(case, data, log, versions, path)

    def _finished(
        self, case: Case, data: bytes, log: list[Event], versions: list[Version], path: Path
    ) -> Recording:
        # Closing makes everything durable.
        versions[-1] = versions[-1]._replace(promised=versions[-1].promised or len(log))
        layout = Layout(bytearray(path.read_bytes()), self.backing)
        everything = Expectation([versions[-1].contents], is_atomic=True)
        faults = content_faults(contents(layout), everything)
        faults += soundness(layout).dangers
        if faults:
            raise BrokenError(faults)
        return Recording(data, log, versions, case.is_atomic)


def _halfway(step: Step, now: Contents, begun: int, cluster_size: int) -> list[Version]:
    """What is cut off a disk may be gone before the disk is shorter."""
    if not isinstance(step, Resize) or step.size >= now.disk.size:
        return []
    short = step.on_model(now, cluster_size).disk
    return [Version(now._replace(disk=Disk(now.disk.size, short.clusters)), begun, None)]


def _open(path: Path) -> tuple[Graph, BlockNode]:
    graph = Graph(lambda _text: None)
    return graph, graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())


def expectation(recording: Recording, crash: Crash) -> Expectation:
    """What may be found after a crash."""
    first = max(
        n
        for n, version in enumerate(recording.versions)
        if version.promised is not None and version.promised <= crash.certain
    )
    allowed = [
        version.contents
        for n, version in enumerate(recording.versions)
        if n == first or (n > first and version.begun <= crash.begun)
    ]
    return Expectation(allowed, recording.is_atomic)


class Judge:
    """Looks at each state in up to three ways."""

    def __init__(self, workshop: Workshop, effort: Effort) -> None:
        self._workshop = workshop
        self._path = workshop.folder / "gone-on.qcow2"
        self._effort = effort

    def judge(self, recording: Recording, *, ours: bool) -> Verdict:
        """All crashes of a recording; only our own engine is asked to go on with its images."""
        effort = self._effort
        chosen = list(_spread(list(crashes(recording, effort.depth)), effort.states))
        to_real = set(map(id, _spread(chosen, effort.by_real)))
        to_engine = set(map(id, _spread(chosen, effort.by_engine))) if ours else set()
        dangers = []
        prefixes = dangerous_prefixes = proved = 0
        for crash in chosen:
            image = crash.state.image()
            expected = expectation(recording, crash)
            faults, check_exit = self._own_faults(image, expected)
            # Beside the sampled ones, the real programs see what we take for dangerous.
            if id(crash) in to_real or (faults and proved < 3):
                real = self._workshop.real.faults(
                    image, expected, check_exit, self._workshop.backing
                )
                proved += bool(faults) and any("after writing: snapshot" in text for text in real)
                faults += real
            if id(crash) in to_engine and not faults:
                faults += self._engine_faults(image, expected)
            is_prefix = crash.certain == crash.begun
            prefixes += is_prefix
            if faults:
                dangers.append(Danger(crash.label, faults))
                dangerous_prefixes += is_prefix
        return Verdict(
            writes=recording.writes,
            barriers=recording.barriers,
            states=len(chosen),
            by_real=len(to_real),
            dangers=tuple(dangers),
            prefixes=prefixes,
            dangerous_prefixes=dangerous_prefixes,
            proved=proved,
        )

    def _own_faults(self, image: bytearray, expected: Expectation) -> tuple[list[str], int]:
        try:
            layout = Layout(image, self._workshop.backing)
            sound = soundness(layout)
            faults = sound.dangers + content_faults(contents(layout), expected)
            return faults + _checker_faults(image, sound), sound.check_exit
        except DamagedError as error:
            return [str(error)], 1

    def _engine_faults(self, image: bytearray, expected: Expectation) -> list[str]:
        """Our own engine must be able to go on, and not harm any snapshot."""
        path = self._path
        path.write_bytes(image)
        backing = self._workshop.backing
        before = contents(Layout(bytearray(image), backing))
        now = before
        try:
            graph, node = _open(path)
            size = Layout(bytearray(image), backing).cluster_size
            for offset, length in written_over(before, size):
                step = GuestWrite("on", offset, length)
                step.on_engine(node)
                now = step.on_model(now, size)
            graph.close()
        except QemuError as error:
            return [f"our engine can't go on: {error}"]
        try:
            layout = Layout(bytearray(path.read_bytes()), backing)
            found = contents(layout)
            faults = snapshot_faults(found.snapshots, expected)
            if found.disk != now.disk:
                faults.append("a write is lost")
            faults += soundness(layout).dangers
        except DamagedError as error:
            faults = [str(error)]
        return [f"after our engine went on: {fault}" for fault in faults]


def _spread(crashes: list[Crash], limit: int | None) -> Iterable[Crash]:
    """So many of them: first what a killed process leaves, then evenly from all others."""
    if limit is None or len(crashes) <= limit:
        return crashes
    if not limit:
        return []
    first = [crash for crash in crashes if crash.certain == crash.begun]
    if len(first) >= limit:
        return first[:: -(-len(first) // limit)]
    rest = [crash for crash in crashes if crash.certain != crash.begun]
    wanted = limit - len(first)
    return first + [rest[n * len(rest) // wanted] for n in range(wanted)]


class MemoryNode(BlockNode):
    """Bytes that are in no file."""

    driver = "memory"

    def __init__(self, data: bytearray) -> None:
        super().__init__("memory", "memory", read_only=True, cache=CacheMode())
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size]).ljust(size, b"\0")


def _checker_faults(image: bytearray, sound: Soundness) -> list[str]:
    """Our own checker must come to the same verdict."""
    try:
        result = check(MemoryNode(image))
    except QemuError as error:
        return [f"our own check says: {error}"]
    faults = []
    if result.exit_status != sound.check_exit:
        faults.append(f"our own check exits with {result.exit_status}, not {sound.check_exit}")
    if result.is_dangerous != sound.is_wrong:
        faults.append(f"our own check: is_dangerous is {result.is_dangerous}")
    return faults


def run(case: Case, effort: Effort, workshop: Workshop, *, real: bool = False) -> Verdict:
    """Record and judge a case, of ours or as QEMU does it."""
    try:
        recording = workshop.record_real(case) if real else workshop.record(case)
    except BrokenError as error:
        danger = Danger("all through, without any crash", error.args[0])
        return Verdict(states=1, dangers=(danger,))
    return Judge(workshop, effort).judge(recording, ours=not real)


def fast_folder() -> str | None:
    """Memory, where the system has a file system in it: barriers cost nothing there."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
