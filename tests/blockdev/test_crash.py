"""The short form of `make crash`: operations cut short by a kill or a power failure."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.campaign import Effort, Judge, Verdict, Workshop, fast_folder, run
from tests.crash.judge import CLEAN, ERRORS, LEAKS, soundness
from tests.crash.layout import SECTOR, Layout
from tests.crash.operations import SMALLEST, USUAL, Case, cases
from tests.crash.record import Barrier, Event, Recording, Truncate, Version, Write
from tests.crash.replay import Depth, State, crashes

EFFORT = Effort(Depth(6, (512,), 6), states=20, by_real=1, by_engine=1)
USUAL_ONES = ("new data cluster", "copy-on-write, copied L2 table", "snapshot")
CASES = [
    case
    for case in cases([USUAL, SMALLEST])
    if case.geometry is not USUAL or case.operation.startswith(USUAL_ONES)
    if case.start.name != "L1 table of 70 regions"  # five seconds; `make crash` has it
]


@pytest.fixture(scope="module")
def workshop(qemu_img: str, qemu_io: str) -> Iterator[Workshop]:
    with tempfile.TemporaryDirectory(prefix="crash-", dir=fast_folder()) as folder:
        yield Workshop(Path(folder))


def named(operation: str, start: str) -> Case:
    return next(c for c in CASES if c.operation == operation and c.start.name == start)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_crash_endangers_data(case: Case, workshop: Workshop) -> None:
    verdict = run(case, EFFORT, workshop)
    assert verdict.states > 1
    assert verdict.dangers == ()


def test_new_refcount_blocks_that_one_of_them_counts_are_named_behind_it(
    workshop: Workshop,
) -> None:
    # Which of the names reach a disk that loses its power takes more states to see.
    effort = EFFORT._replace(states=90)
    case = named("refcount blocks in a row", "L1 table of 10 regions")
    verdict = run(case, effort, workshop)
    assert verdict.states == 90
    assert verdict.dangers == ()


def test_the_judge_sees_what_qemus_goto_may_leave(workshop: Workshop) -> None:
    verdict = run(named("snapshot goto", "snapshots"), EFFORT, workshop, real=True)
    assert 0 < verdict.dangerous_prefixes < verdict.prefixes
    assert verdict.proved, "no snapshot changed when the image was written to"


def spoilt(case: Case, workshop: Workshop, spoil: Callable[[Recording], Recording]) -> Verdict:
    recording = spoil(workshop.record(case))
    return Judge(workshop, EFFORT._replace(states=200, by_real=0)).judge(recording, ours=False)


def without_barriers(recording: Recording) -> Recording:
    """As an engine that never waits for the disk would have been recorded."""
    log: list[Event] = [event for event in recording.log if not isinstance(event, Barrier)]
    versions = [version._replace(begun=0, promised=None) for version in recording.versions]
    versions[0] = Version(recording.versions[0].contents, 0, 0)
    return recording._replace(log=log, versions=versions)


@pytest.mark.parametrize(
    ("operation", "start"),
    [
        ("copy-on-write, copied L2 table", "snapshots"),
        ("snapshot create", "snapshots"),
        ("snapshot goto", "snapshots"),
        ("snapshot delete, shared", "snapshots"),
    ],
)
def test_the_judge_misses_the_barriers(operation: str, start: str, workshop: Workshop) -> None:
    assert spoilt(named(operation, start), workshop, without_barriers).dangers


def test_the_judge_sees_a_flush_that_promised_too_early(workshop: Workshop) -> None:
    def promised_at_once(recording: Recording) -> Recording:
        first, *later = recording.versions
        return recording._replace(versions=[first, *(v._replace(promised=0) for v in later)])

    case = named("new data cluster", "written")
    dangers = spoilt(case, workshop, promised_at_once).dangers
    assert dangers[0].crash.startswith("killed before write 1")


# --- the judge's words about counts and marks, beside qemu-img's

SHARED_DATA, SHARED_TABLE = 0x50000, 0x40000  # of the image below


def counted(image: bytearray, host_offset: int, change: int) -> None:
    """Change a stored 16-bit count in an image with one refcount block, at 0x20000."""
    at = 0x20000 + 2 * (host_offset >> 16)
    count = int.from_bytes(image[at : at + 2], "big") + change
    image[at : at + 2] = count.to_bytes(2, "big")


def marked(image: bytearray, entry_offset: int) -> None:
    image[entry_offset] ^= 0x80


@pytest.mark.parametrize(
    ("damage", "exit_status", "is_dangerous"),
    [
        (lambda image: None, CLEAN, False),
        (lambda image: counted(image, SHARED_DATA, 1), LEAKS, False),
        (lambda image: counted(image, SHARED_DATA, -1), ERRORS, True),
        (lambda image: counted(image, SHARED_TABLE, -1), ERRORS, True),
        (lambda image: marked(image, SHARED_TABLE), ERRORS, True),
        (lambda image: marked(image, 0x30000), ERRORS, True),
    ],
    ids=["sound", "leak", "low data count", "low table count", "marked data", "marked table"],
)
def test_the_judge_tells_danger_from_leaks(
    damage: Callable[[bytearray], None],
    exit_status: int,
    is_dangerous: bool,
    workshop: Workshop,
    check: Callable[[Path], int],
    tmp_path: Path,
) -> None:
    case = next(c for c in CASES if c.start.name == "all shared" and c.geometry is USUAL)
    image = bytearray(workshop.start(case)[0])
    assert Layout(image).references()[SHARED_DATA >> 16] == 2
    damage(image)
    sound = soundness(Layout(image))
    path = tmp_path / "damaged.qcow2"
    path.write_bytes(image)
    assert bool(sound.dangers) is is_dangerous
    assert sound.check_exit == exit_status == check(path)


# --- replaying


def recording_of(*log: Write | Truncate | Barrier) -> Recording:
    return Recording(bytes(4 * SECTOR), list(log), [], is_atomic=True)


def images(recording: Recording, depth: Depth) -> set[bytes]:
    return {bytes(crash.state.image()) for crash in crashes(recording, depth)}


def test_all_subsets_of_a_small_group_come_up() -> None:
    writes = [Write(n * SECTOR, b"%d" % n * SECTOR) for n in range(4)]
    found = images(recording_of(*writes), Depth(0, (), 0))
    assert len(found) == 2**4


def test_what_lies_before_a_barrier_is_always_there() -> None:
    log = (Write(0, b"a" * 8), Barrier(), Write(SECTOR, b"b" * 8))
    found = images(recording_of(*log), Depth(0, (), 0))
    assert {(image[0], image[SECTOR]) for image in found} == {(0, 0), (97, 0), (97, 98)}


def test_a_write_is_torn_between_sectors_and_nowhere_else() -> None:
    found = images(recording_of(Write(SECTOR // 2, b"x" * SECTOR)), Depth(0, (512,), 9))
    assert {image.count(b"x") for image in found} == {0, SECTOR // 2, SECTOR}


def test_a_file_that_was_cut_has_zeros_where_it_grows_again() -> None:
    state = State(b"y" * 4 * SECTOR)
    for event in (Truncate(SECTOR + 10), Write(3 * SECTOR, b"z")):
        state.apply(event)
    assert state.image() == b"y" * (SECTOR + 10) + bytes(2 * SECTOR - 10) + b"z"
