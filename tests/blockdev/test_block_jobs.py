"""Jobs on real images: what is copied, when one may be stopped, and what a fault leaves."""

import errno
import random
import shutil

import pytest

from blockdev.backend import Backend
from blockdev.backup import BackupJob
from blockdev.blkdebug import BlkDebugNode, InjectError
from blockdev.chain import chain
from blockdev.commit import CommitJob, commit_now
from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.mirror import LEAVE, ActiveCommitJob, MirrorJob
from blockdev.node import CacheMode
from blockdev.qcow2.create import create_image
from blockdev.stream import StreamJob
from tests.blockdev.faults import FailingFile, RecordingFile, watch
from tests.blockdev.test_jobs import Loop

SIZE = 6 << 20
PIECE = 64 << 10


def open_image(graph, path, **options):
    return graph.open_image(
        str(path), driver="qcow2", read_only=False, cache=CacheMode(), **options
    )


def read(path):
    """What an image and those under it hold, opened anew."""
    graph = Graph(print)
    node = graph.open_image(
        str(path), driver="qcow2", read_only=True, cache=CacheMode(), locking=False
    )
    data = node.read(0, SIZE)
    graph.close()
    return data


class Disk:
    """A drive whose image stands on two others, and an empty image of its size beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.loop = Loop()
        self.jobs = self.loop.jobs
        self.graph = Graph(print)
        names = [str(folder / name) for name in ("base", "mid", "top", "target")]
        self.base_path, self.mid_path, self.top_path, self.target_path = names
        create_image(names[0], SIZE)
        create_image(names[1], SIZE, backing=names[0], backing_format="qcow2")
        create_image(names[2], SIZE, backing=names[1], backing_format="qcow2")
        create_image(names[3], SIZE)
        for number, name in enumerate(names[:3]):
            graph = Graph(print)
            image = open_image(graph, name)
            for offset in range(number << 20, SIZE, 1 << 20):
                image.write(offset, [bytes([number + 1]) * (512 << 10)])
            graph.close()
        self.top = open_image(self.graph, names[2])
        _, self.mid, self.base = chain(self.top)
        self.drive = Backend("d0", self.top)
        self.graph.backends.append(self.drive)
        self.content = bytearray(self.drive.read(0, SIZE))
        self.choose = random.Random(1)

    @property
    def target(self):
        found = [node for node in self.graph.nodes.values() if node.filename == self.target_path]
        return next((n for n in found if n.driver == "qcow2"), None) or open_image(
            self.graph, self.target_path
        )

    def start(self, kind):
        job = getattr(self, kind)()
        job.start()
        return job

    def mirror(self, **options):
        target = self.target
        return MirrorJob(self.jobs, self.graph, "d0", self.top, target, base=None, **options)

    def mirror_top(self):
        create_image(self.target_path, SIZE, backing=self.mid_path, backing_format="qcow2")
        target = open_image(self.graph, self.target_path, open_backing=lambda: None)
        return MirrorJob(self.jobs, self.graph, "d0", self.top, target, base=self.mid)

    def backup(self):
        return BackupJob(self.jobs, self.graph, "d0", self.top, self.target, top_only=False)

    def compressed_backup(self):
        return BackupJob(
            self.jobs, self.graph, "d0", self.top, self.target, top_only=False, compress=True
        )

    def stream(self):
        return StreamJob(self.jobs, self.graph, "d0", self.top, None)

    def stream_above_base(self):
        return StreamJob(self.jobs, self.graph, "d0", self.top, self.base)

    def commit(self):
        return CommitJob(self.jobs, self.graph, "d0", self.top, self.mid, self.base)

    def active_commit(self):
        self.base.reopen(read_only=False)
        return ActiveCommitJob(
            self.jobs, self.graph, "d0", self.top, self.base, base=self.base, backing_mode=LEAVE
        )

    def write(self):
        """Something that a guest might write."""
        offset = self.choose.randrange(SIZE - PIECE)
        data = self.choose.randbytes(self.choose.randrange(1, PIECE))
        self.drive.write(offset, [data])
        self.content[offset : offset + len(data)] = data

    def steps(self, count, *, writes=False):
        for _ in range(count):
            self.loop.turn()
            self.loop.now += 1_000_000_000
            if writes:
                self.write()

    def finish(self, job, *, writes=True):
        for turn in range(1000):
            if job.is_over:
                return job
            # A guest that writes faster than a mirror copies would never let it come to an end.
            self.steps(1, writes=writes and turn < 30)
            if job.is_ready and not job.is_cancel_requested:
                job.complete()
        raise AssertionError(f"the job is {job.status} for good")

    def check_source(self):
        """The disk has what the guest wrote, nothing is left of a job, and all may be closed."""
        assert not list(self.jobs)
        assert not any(node.is_filter for node in self.graph.nodes.values())
        assert not any(node.op_blockers for node in self.graph.nodes.values())
        assert not any(node.dirty_bitmaps for node in self.graph.nodes.values())
        assert self.drive.read(0, SIZE) == self.content
        path = self.drive.node.filename
        self.graph.close()
        assert read(path) == self.content


@pytest.fixture
def disk(tmp_path):
    return Disk(tmp_path)


KINDS = [
    "mirror",
    "mirror_top",
    "backup",
    "compressed_backup",
    "stream",
    "stream_above_base",
    "commit",
    "active_commit",
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_disk_is_the_guests_whatever_is_done_beside(disk, kind, check):
    before = bytes(disk.content)
    job = disk.finish(disk.start(kind))
    assert job.error is None
    names = [node.filename for node in chain(disk.drive.node)]
    wanted = {
        "mirror": [disk.target_path],
        "mirror_top": [disk.target_path, disk.mid_path, disk.base_path],
        "backup": [disk.top_path, disk.mid_path, disk.base_path],
        "compressed_backup": [disk.top_path, disk.mid_path, disk.base_path],
        "stream": [disk.top_path],
        "stream_above_base": [disk.top_path, disk.base_path],
        "commit": [disk.top_path, disk.base_path],
        "active_commit": [disk.base_path],
    }
    assert names == wanted[kind]
    if "backup" in kind:
        assert read(disk.target_path) == before
        assert check(disk.target_path) == 0
    used = disk.drive.node.filename
    disk.check_source()
    assert check(used) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("step", "is_paused"), [(0, False), (1, True), (2, False), (3, True), (6, False)]
)
def test_a_job_may_be_cancelled_at_any_step(disk, kind, step, is_paused, check):
    mid, base = read(disk.mid_path), read(disk.base_path)
    job = disk.start(kind)
    disk.steps(step, writes=True)
    if not job.is_over:
        if is_paused:
            job.pause()
            disk.steps(1)
        job.cancel(force=True)
        disk.finish(job, writes=False)
        assert [node.filename for node in chain(disk.drive.node)] == [
            disk.top_path,
            disk.mid_path,
            disk.base_path,
        ]
        assert disk.base.read_only
        disk.check_source()
        assert check(disk.top_path) == 0
        if "commit" not in kind:
            assert (read(disk.mid_path), read(disk.base_path)) == (mid, base)


def with_faults(disk, path, **rule):
    """An image over a file whose writes fail from the first on that the rule is for."""
    file = disk.graph.open_file(path, read_only=False, cache=CacheMode())
    rules = [InjectError("write_aio", iotype="write", **rule)]
    debug = BlkDebugNode(disk.graph.new_name(), file, rules, [])
    disk.graph.add(debug)
    return disk.graph.open_format("qcow2", debug, read_only=False, cache=CacheMode())


@pytest.mark.parametrize("kind", ["mirror", "backup"])
@pytest.mark.parametrize("sector", [-1, 4000, 6000])
def test_a_full_target_ends_the_job_with_one_error(disk, kind, sector):
    target = with_faults(disk, disk.target_path, errno=errno.ENOSPC, sector=sector)
    if kind == "mirror":
        job = MirrorJob(disk.jobs, disk.graph, "d0", disk.top, target, base=None)
    else:
        job = BackupJob(disk.jobs, disk.graph, "d0", disk.top, target, top_only=False)
    job.start()
    disk.finish(job, writes=False)
    assert str(job.error) == "No space left on device"
    errors = [data for name, data in disk.loop.events if name == "BLOCK_JOB_ERROR"]
    assert errors == [{"device": "d0", "operation": "write", "action": "report"}]
    ends = [data["error"] for name, data in disk.loop.events if name == "BLOCK_JOB_COMPLETED"]
    assert ends == ["No space left on device"]
    disk.check_source()


def test_a_job_that_stops_on_a_full_target_goes_on_when_told_to(disk):
    target = with_faults(disk, disk.target_path, errno=errno.ENOSPC, sector=6000, once=True)
    job = BackupJob(
        disk.jobs, disk.graph, "d0", disk.top, target, top_only=False, on_target_error="enospc"
    )
    before = bytes(disk.content)
    job.start()
    disk.steps(20)
    assert (job.status, job.io_status) == ("paused", "nospace")
    for _ in range(20):
        disk.write()  # what it was about to copy is not what was there when it began
    job.resume()
    disk.finish(job)
    assert job.error is None
    disk.check_source()
    assert read(disk.target_path) == before


def test_a_target_whose_file_is_gone_still_takes_the_copy(disk, tmp_path):
    job = disk.start("mirror")
    disk.steps(2)
    (tmp_path / "target").unlink()
    disk.finish(job)
    assert job.error is None
    assert disk.drive.read(0, SIZE) == disk.content
    disk.graph.close()


@pytest.mark.parametrize("kind", ["commit", "stream", "stream_above_base"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 21])
def test_a_write_that_fails_leaves_top_and_base_sound(disk, kind, n, check):
    image = {"commit": disk.base, "stream": disk.top, "stream_above_base": disk.top}[kind]
    job = getattr(disk, kind)()
    watched = watch(image, FailingFile, n)
    job.start()
    disk.finish(job, writes=False)
    if watched.left > 0:
        return  # the job is done with fewer writes
    assert job.error is not None
    assert disk.drive.read(0, SIZE) == disk.content
    assert not any(node.is_filter for node in disk.graph.nodes.values())
    disk.graph.close()
    assert read(disk.top_path) == disk.content
    assert check(disk.top_path) in (0, 3)
    assert check(disk.base_path) in (0, 3)


def crash_points(log):
    """How much of the writes there may be when the power fails: each barrier, and in between."""
    return range(0, len(log) + 1, max(1, len(log) // 12))


@pytest.mark.parametrize("kind", ["now", "commit"])
def test_a_crash_during_a_commit_loses_nothing(tmp_path, kind):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    log = []

    class Shared(RecordingFile):
        """Remembers whose write came when."""

        def __init__(self, file, path):
            super().__init__(file)
            self.path = path

        def write(self, offset, buffers):
            log.append((self.path, offset, b"".join(buffers)))
            self._file.write(offset, buffers)

        def truncate(self, size):
            log.append((self.path, size, None))
            self._file.truncate(size)

    for image in (disk.top, disk.mid, disk.base):
        watch(image, Shared, image.filename.rpartition("/")[2])
    if kind == "now":
        for _ in commit_now(disk.top, print):
            pass
    else:
        disk.finish(disk.start("commit"), writes=False)
    assert disk.drive.read(0, SIZE) == disk.content
    assert len(log) > 5
    for point in crash_points(log):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        for name, offset, data in log[:point]:
            with (folder / name).open("r+b") as file:
                if data is None:
                    file.truncate(offset)
                else:
                    file.seek(offset)
                    file.write(data)
        assert read(disk.top_path) == disk.content, f"after {point} of {len(log)} writes"


def test_a_commit_reaches_the_disk_before_the_top_is_emptied(disk):
    order = []

    class Noting(RecordingFile):
        def write(self, offset, buffers):
            order.append("base" if self._file.name == disk.base_path else self._file.name)
            self._file.write(offset, buffers)

        def flush(self):
            order.append("barrier " + self._file.name.rpartition("/")[2])
            self._file.flush()

    watch(disk.top, Noting)
    watch(disk.mid, Noting)
    for _ in commit_now(disk.top, print):
        pass
    first_of_top = order.index(disk.top_path)
    last_of_mid = max(i for i, each in enumerate(order) if each == disk.mid_path)
    barriers = [i for i, each in enumerate(order) if each == "barrier mid"]
    assert any(last_of_mid < barrier < first_of_top for barrier in barriers)


def test_a_commit_into_a_full_base_leaves_the_top(disk):
    watch(disk.mid, FailingFile, 4)
    disk.mid.reopen(read_only=False)
    with pytest.raises(QemuError):
        for _ in commit_now(disk.top, print):
            pass
    assert disk.drive.read(0, SIZE) == disk.content
    disk.graph.close()
    assert read(disk.top_path) == disk.content


def test_two_jobs_of_one_name_are_refused_without_a_trace(disk):
    job = disk.start("backup")
    with pytest.raises(QemuError, match="Job ID 'd0' already in use"):
        disk.stream()
    job.cancel(force=True)
    disk.finish(job, writes=False)
    disk.check_source()
