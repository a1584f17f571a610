"""Opens and uses damaged images in processes with limits; nothing but `QemuError` may come of it.

`python -m tests.blockdev.fuzzing FOLDER FIRST END STEP` works through every STEP-th seed, with the
specimens that `specimens` left in FOLDER, and says on standard output what it is at (`at SEED`)
and what it found (a JSON object a line).
"""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.qcow2.check import check
from blockdev.snapshot import Snapshot
from tests.blockdev.mutations import DAMAGED, PIPE, Damage, Specimen
from tests.blockdev.stories import Compress as Compressed
from tests.blockdev.stories import Geometry, Save, Start, Step, Story, Write, WriteZeroes
from tests.blockdev.storyteller import Storyteller

MEMORY = 512 << 20  # bytes more than at the start
FILE_SIZE = 1 << 30  # bytes; further writes fail as on a full disk
PATIENCE = 15  # seconds for one image, in Python code
LAST_PATIENCE = 40.0  # seconds for one image, then the process is ended

GEOMETRIES = {
    "usual": Geometry(),
    "version 2": Geometry(version=2),
    "small": Geometry(cluster_size=512, refcount_bits=64),
    "one bit": Geometry(cluster_size=4096, refcount_bits=1),
    "subclusters": Geometry(cluster_size=16384, extended_l2=True),
    "zstd": Geometry(compression="zstd", refcount_bits=8),
    "version 2, 1 KiB": Geometry(version=2, cluster_size=1024),
    "large": Geometry(cluster_size=2 << 20, refcount_bits=32),
    "large subclusters": Geometry(cluster_size=1 << 20, extended_l2=True),
    "four bits": Geometry(cluster_size=32768, refcount_bits=4),
}


class Finding(NamedTuple):
    """What should not be.

    Attributes:
        seed: of the image.
        image: what is wrong with it, in words.
        doing: what was done to it.
        fault: the exception with its last place, "hang" or "death".
        trace: the whole traceback.
    """

    seed: int
    image: str
    doing: str
    fault: str
    trace: str


class TooLongError(BaseException):
    """An image takes more than `PATIENCE`; not an Exception, so that nobody catches it."""


# --- specimens


def make_specimens(folder: Path) -> None:
    """Make a sound image of each geometry: data, zeros, compressed clusters, snapshots, state."""
    for number, (name, geometry) in enumerate(GEOMETRIES.items()):
        size = (1 << 20) + 512
        start = Start("raw", size, size // 2) if number % 3 == 1 else Start("compressed", size)
        steps = [Step(Write(200_000, 70_000)), Step(WriteZeroes(0, 131072))]
        if geometry.refcount_bits > 1:
            steps.append(Step(Save(40_000)))
        steps += [Step(Compressed(1 << 19, 3), by_real=True), Step(Write(70_000, 9000))]
        if geometry.refcount_bits > 4:
            steps.append(Step(Save(), by_real=True))
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            teller = Storyteller(Path(inner), Story(geometry, start, steps))
            teller.play()
            # The backing file goes with the folder: one that is gone is damage too.
            teller.path.rename(folder / f"{number} {name}.specimen")


def specimens(folder: Path) -> list[Specimen]:
    """The specimens that are in a folder."""
    return [Specimen(path.stem, path) for path in sorted(folder.glob("*.specimen"))]


# --- in the process with limits


class Victim:
    """One damaged image, and all that is done to it."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._random = random.Random(seed)
        self.doing = ""
        self.opened = 0  # how often it could be opened

    def use(self) -> None:
        for read_only in (True, False):
            graph = Graph(lambda text: None)
            try:
                self.doing = "open read-only" if read_only else "open"
                node = graph.open_image(
                    str(self._path),
                    driver="qcow2",
                    read_only=read_only,
                    cache=CacheMode(no_flush=True),
                )
                self.opened += 1
                for act in self._acts(read_only=read_only):
                    self.doing += f", {act.__name__}"
                    try:
                        act(node)
                    except QemuError as error:
                        self.doing += f" ({_refusal(error)})"
            except QemuError as error:
                self.doing += f" ({_refusal(error)})"
            finally:
                self.doing += ", close"
                _close(graph)

    def _acts(self, *, read_only: bool) -> list[Callable[[BlockNode], None]]:
        if read_only:
            return [self.read_all, self.read_states, self.check]
        acts: list[Callable[[BlockNode], None]] = []
        acts += [self.read_all, self.write, self.write, self.zero, self.discard, self.save]
        acts += [self.goto, self.delete, self.resize, self.flush, self.save, self.goto]
        if self._random.random() < 0.25:  # by far the slowest
            acts.append(self.check)
        self._random.shuffle(acts)
        return acts

    def _offset(self, node: BlockNode) -> int:
        random = self._random
        return random.choice([0, 65536, random.randrange(max(1, min(node.size, 2 << 20)))])

    def read_all(self, node: BlockNode) -> None:
        failed = None
        for offset in [*range(0, min(node.size, 2 << 20), 65536), max(0, node.size - 4096)]:
            try:
                node.read(offset, 65536)
            except QemuError as error:
                failed = error
        if failed:
            raise failed

    def read_states(self, node: BlockNode) -> None:
        for snapshot in node.snapshots()[:4]:
            reader = node.vmstate_reader(snapshot)
            reader.read_into(0, memoryview(bytearray(100_000)))

    def write(self, node: BlockNode) -> None:
        data = bytes([7]) * self._random.choice([512, 9000, 65536, 300_000])
        node.write(self._offset(node), [data[:100], data[100:]])

    def zero(self, node: BlockNode) -> None:
        node.write_zeroes(self._offset(node), self._random.choice([512, 65536, 300_000]))

    def discard(self, node: BlockNode) -> None:
        node.discard(self._offset(node), self._random.choice([512, 65536, 300_000]))

    def save(self, node: BlockNode) -> None:
        area = node.open_vmstate()
        try:
            area.write([b"state" * 20_000])
            snapshot = Snapshot(name="new", date_sec=1, vm_state_size=100_000)
            node.snapshot_create(snapshot, area)
        except QemuError:
            area.abandon()
            raise

    def goto(self, node: BlockNode) -> None:
        if node.snapshots():
            node.snapshot_goto(self._random.choice(node.snapshots()[:4]).name)

    def delete(self, node: BlockNode) -> None:
        if node.snapshots():
            snapshot = self._random.choice(node.snapshots()[:4])
            node.snapshot_delete(snapshot.id, snapshot.name)

    def resize(self, node: BlockNode) -> None:
        node.truncate(self._random.choice([0, 512, 65536, 1 << 20, 3 << 20]))

    def flush(self, node: BlockNode) -> None:
        node.flush()

    def check(self, node: BlockNode) -> None:
        assert node.file is not None
        list(check(node.file).lines())


def _refusal(error: QemuError) -> str:
    """What was said; too much memory or too many files is our own fault, and no answer."""
    if error.errno_value in (errno.ENOMEM, errno.EMFILE):
        raise MemoryError(str(error)) from error
    return str(error)[:60]


def _close(graph: Graph) -> None:
    """Close all; one node that can't write back what it has must not keep the others open."""
    while graph.nodes:
        try:
            graph.close()
        except QemuError:
            continue


def work(folder: Path, first: int, end: int, step: int) -> None:
    """What a process does: see the module."""
    images = specimens(folder)
    limit_memory()
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    signal.signal(signal.SIGALRM, _too_long)
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        os.mkfifo(Path(inner) / PIPE)
        path = Path(inner) / DAMAGED
        for seed in range(first, end, step):
            print(f"at {seed}", flush=True)
            damage = Damage(images[seed % len(images)], seed)
            images[seed % len(images)].write(path, damage.patches, damage.size)
            victim = Victim(path, seed)
            fault = trace = ""
            files = open_files()
            signal.alarm(PATIENCE)
            try:
                victim.use()
            except (Exception, TooLongError) as error:
                signal.alarm(0)
                trace = traceback.format_exc()
                fault = _fault(error)
            signal.alarm(0)
            words, doing, opened = str(damage)[:400], victim.doing, victim.opened
            del victim, damage
            gc.collect()  # an image is a ring of objects, with much memory behind few of them
            left = open_files() - files
            if left and not fault:
                fault = "descriptors left open"
                trace = " ".join(sorted(left))
            for descriptor in left:
                os.close(int(descriptor))
            print(f"opened {opened}", flush=True)
            if fault:
                finding = Finding(seed, words, doing, fault, trace)
                print(json.dumps(finding._asdict()), flush=True)
    print("done", flush=True)


def open_files() -> set[str]:
    """The numbers of this process's open files."""
    # The folder itself is one of them while it is listed, and no more afterwards.
    return {name for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd", name).exists()}


def limit_memory() -> None:
    """Allow this process `MEMORY` more than it has."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TooLongError


def _fault(error: BaseException) -> str:
    """The exception, and the innermost place in the engine where it arose."""
    places = [
        place
        for place in traceback.extract_tb(error.__traceback__)
        if "/blockdev/" in place.filename and "/tests/" not in place.filename
    ]
    where = f"{Path(places[-1].filename).name}:{places[-1].name}" if places else "the test"
    text = f"{type(error).__name__} in {where}"
    if isinstance(error, TooLongError):
        return "hang in " + " < ".join(place.name for place in places[:-4:-1])
    return text


# --- outside


class Campaign:
    """Damaged images `first` to `end`, shared out to processes.

    Attributes:
        findings: what was found, so far.
        done: images tried; of these `opened` times one could be opened.
    """

    def __init__(self, folder: Path, first: int, end: int, workers: int) -> None:
        self._folder = folder
        self._end = end
        self._step = workers
        self._starts = range(first, min(first + workers, end))
        self.findings: list[Finding] = []
        self.done = 0
        self.opened = 0

    def run(self) -> Iterator[None]:
        """Do it all; a turn whenever something happened.  Stopped early, it ends its processes."""
        workers = [_Worker(self._folder, start, self._end, self._step) for start in self._starts]
        try:
            while workers:
                ready, _, _ = select.select(workers, [], [], 1.0)
                for worker in list(workers):
                    if worker in ready and not self._listen(worker):
                        workers.remove(worker)
                    elif worker.is_stuck:
                        worker.end()
                yield
        finally:
            for worker in workers:
                worker.end()
                worker.process.wait()

    def _listen(self, worker: _Worker) -> bool:
        """Take a line from a process; False when it has no more work."""
        line = worker.readline()
        if line.startswith("at "):
            worker.seed = int(line[3:])
            worker.since = time.monotonic()
            self.done += 1
        elif line.startswith("opened "):
            self.opened += int(line[7:])
        elif line.startswith("{"):
            self.findings.append(Finding(**json.loads(line)))
        elif line.startswith("done"):
            worker.process.wait()
            worker.close()
            return False
        elif not line:
            status = worker.process.wait()
            worker.close()
            fault = "hang" if worker.was_ended else "death"
            said = f"exit status {status} {worker.errors()}"
            self.findings.append(Finding(worker.seed, "", "", fault, said))
            if worker.seed + self._step >= self._end:
                return False
            worker.start(worker.seed + self._step)
        return True


class _Worker:
    def __init__(self, folder: Path, first: int, end: int, step: int) -> None:
        self._folder = folder
        self._rest = [str(end), str(step)]
        self.start(first)

    def start(self, first: int) -> None:
        self.seed = first
        self.since = time.monotonic()
        self.was_ended = False
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in `close`
        module = [sys.executable, "-m", "tests.blockdev.fuzzing"]
        self.process = subprocess.Popen(
            [*module, str(self._folder), str(first), *self._rest],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._buffer = b""

    def fileno(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def readline(self) -> str:
        """A whole line; "" at the end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    @property
    def is_stuck(self) -> bool:
        return time.monotonic() > self.since + LAST_PATIENCE

    def end(self) -> None:
        self.was_ended = True
        self.process.kill()

    def errors(self) -> str:
        return self._said

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.seek(0)
        self._said = self._errors.read()[-2000:]
        self._errors.close()


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
