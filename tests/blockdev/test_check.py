import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockdev.errors import QemuError
from blockdev.file import ByteFile
from blockdev.node import CacheMode
from blockdev.qcow2.check import CheckResult, check
from blockdev.qcow2.create import create_image
from blockdev.qcow2.repair import repair
from blockdev.qcow2.tally import Tally
from blockdev.raw import FileNode

from .faults import FailingFile, RecordingFile

MIB = 1 << 20
COPIED = 1 << 63
OFFSETS = 0x00FFFFFFFFFFFE00

GEOMETRIES = [
    ("0.10", 512, 16, "off"),
    ("0.10", 65536, 16, "off"),
    ("1.1", 512, 1, "off"),
    ("1.1", 512, 64, "off"),
    ("1.1", 1024, 2, "off"),
    ("1.1", 4096, 4, "off"),
    ("1.1", 4096, 16, "off"),
    ("1.1", 16384, 8, "on"),
    ("1.1", 65536, 16, "on"),
    ("1.1", 65536, 32, "off"),
    ("1.1", 2 << 20, 16, "off"),
]


# By the width of a count.
NARROW = {geometry[2]: geometry for geometry in GEOMETRIES if geometry[2] < 16}


class Bytes:
    """An image's bytes, to be damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        self.size = 1 << self.get(20, 4)

    def get(self, offset: int, width: int = 8) -> int:
        return int.from_bytes(self.data[offset : offset + width], "big")

    def put(self, offset: int, value: int, width: int = 8) -> None:
        self.data[offset : offset + width] = value.to_bytes(width, "big")

    @property
    def l1(self) -> int:
        return self.get(40)

    @property
    def l2(self) -> int:
        return self.get(self.l1) & OFFSETS

    @property
    def block(self) -> int:
        return self.get(self.get(48))

    def save(self, cut: int | None = None) -> None:
        self.path.write_bytes(self.data[:cut])


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Callable[[Path], FileNode]:
    """Opens an image's file, without its locks."""

    def open_(path: Path) -> FileNode:
        file = ByteFile(str(path), read_only=False, locking=False)
        request.addfinalizer(file.close)
        return FileNode("file", file, cache=CacheMode())

    return open_


@pytest.fixture
def verdict(qemu_img: str) -> Callable[..., tuple[int, list[str], list[str]]]:
    """`qemu-img check`: exit status, the lines on its standard error, those on its output."""

    def run(path: Path, *options: str) -> tuple[int, list[str], list[str]]:
        command = [qemu_img, "check", *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = [
            line.removeprefix("qemu-img: ")
            for line in done.stderr.splitlines()
            if not line.startswith(("qcow2: ", "qemu-img: warning: "))
            and line != "qemu-img: Check failed"
        ]
        return done.returncode, said, done.stdout.splitlines()

    return run


@pytest.fixture(scope="session")
def filled(
    qemu_img: str, qemu_io: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, int, int, str], int], Path]:
    """An image with data, zero and compressed clusters and some snapshots, made only once."""
    folder = tmp_path_factory.mktemp("filled")

    def make(geometry: tuple[str, int, int, str], snapshots: int) -> Path:
        compat, cluster_size, refcount_bits, extended_l2 = geometry
        path = folder / "-".join(map(str, (*geometry, snapshots)))
        if path.exists():
            return path
        options = (
            f"compat={compat},cluster_size={cluster_size},refcount_bits={refcount_bits},"
            f"extended_l2={extended_l2}"
        )
        create = [qemu_img, "create", "-q", "-f", "qcow2", "-o", options, str(path), "8M"]
        subprocess.run(create, check=True)

        def write(*commands: str) -> None:
            words = [word for command in commands for word in ("-c", command)]
            subprocess.run([qemu_io, *words, str(path)], check=True, capture_output=True)

        at = 4 * MIB
        zeros = ["write -z 64k 64k", "write -z -u 5M 64k"] if compat == "1.1" else []
        write(
            "write -P 1 0 200k",
            "write -P 2 3M 33k",
            f"write -c -P 3 {at} {cluster_size}",
            f"write -c -P 4 {at + cluster_size} {cluster_size}",
            *zeros,
        )
        for number in range(snapshots):
            command = [qemu_img, "snapshot", "-c", f"s{number}", str(path)]
            subprocess.run(command, check=True)
            write(f"write -P {5 + number} {70 + 64 * number}k 20k")
        return path

    return make


@pytest.fixture
def fill(
    filled: Callable[[tuple[str, int, int, str], int], Path], tmp_path: Path
) -> Callable[..., Path]:
    """A copy of an image from `filled`; counts of 1 and 2 bits are too narrow for snapshots."""

    def make(
        geometry: tuple[str, int, int, str] = ("1.1", 65536, 16, "off"), *, snapshots: int = 2
    ) -> Path:
        path = tmp_path / "disk.qcow2"
        shutil.copy(filled(geometry, snapshots if geometry[2] > 2 else 0), path)
        return path

    return make


def assert_same(result: CheckResult, verdict: tuple[int, list[str], list[str]]) -> None:
    assert list(result.findings()) == verdict[1]
    assert list(result.summary()) == verdict[2]
    assert result.exit_status == verdict[0]


# --- sound images


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "-".join(map(str, g)))
def test_what_qemu_wrote_is_clean(
    geometry: tuple[str, int, int, str],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(geometry)
    result = check(node(path))
    assert result.is_clean
    assert not result.is_dangerous
    assert_same(result, verdict(path))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "-".join(map(str, g)))
def test_an_image_made_with_all_its_clusters_is_clean(
    geometry: tuple[str, int, int, str],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    tmp_path: Path,
) -> None:
    compat, cluster_size, refcount_bits, extended_l2 = geometry
    path = tmp_path / "disk.qcow2"
    create_image(
        str(path),
        5 * MIB,
        version=3 if compat == "1.1" else 2,
        cluster_size=cluster_size,
        refcount_bits=refcount_bits,
        extended_l2=extended_l2 == "on",
        preallocation="metadata",
    )
    assert_same(check(node(path)), verdict(path))


def test_bitmaps_are_references(
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    qemu_img: str,
    qemu_io: str,
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill()
    for name in ("one", "two"):
        subprocess.run([qemu_img, "bitmap", "--add", str(path), name], check=True)
    subprocess.run([qemu_io, "-c", "write 0 1M", str(path)], check=True, capture_output=True)
    assert check(node(path)).is_clean
    image = Bytes(path)
    image.put(88, 0)  # autoclear: the bitmaps don't count any more
    image.save()
    result = check(node(path))
    assert result.leaks
    status, _, summary = verdict(path)
    assert (result.exit_status, list(result.summary())) == (status, summary)


def test_a_luks_header_is_a_reference(node: Callable[[Path], FileNode], tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    create_image(str(path), MIB, cluster_size=512)
    image = Bytes(path)
    image.data += bytes(-len(image.data) % 512 + 3 * 512)
    first = len(image.data) // 512 - 3
    for cluster in range(first, first + 3):
        image.put(image.block + 2 * cluster, 1, 2)
    image.save()
    assert len(check(node(path)).leaks) == 3
    image.data[112:136] = struct.pack(">IIQQ", 0x0537BE77, 16, first * 512, 1100)
    image.save()
    assert check(node(path)).is_clean


# --- damage


def leak(image: Bytes) -> None:
    image.put(image.block + 2 * 5, 9, 2)


def low_count(image: Bytes) -> None:
    image.put(image.block + 2 * 5, 1, 2)


def no_count(image: Bytes) -> None:
    image.put(image.block + 2 * 4, 0, 2)


def copied_l1(image: Bytes) -> None:
    image.put(image.l1, image.get(image.l1) ^ COPIED)


def copied_l2(image: Bytes) -> None:
    image.put(image.l2, image.get(image.l2) ^ COPIED)


def shared_data(image: Bytes) -> None:
    image.put(image.l2 + 8, image.get(image.l2))


def data_over_l1(image: Bytes) -> None:
    image.put(image.l2, image.l1 | COPIED)


def past_the_end(image: Bytes) -> None:
    image.put(image.l2, 0x7000000000 | COPIED)


def unaligned_data(image: Bytes) -> None:
    image.put(image.l2, image.get(image.l2) + 512)


def unaligned_zeros(image: Bytes) -> None:
    image.put(image.l2, image.get(image.l2) + 513)


def unaligned_l2(image: Bytes) -> None:
    image.put(image.l1, image.get(image.l1) + 512)


def reserved_l1(image: Bytes) -> None:
    image.put(image.l1, image.get(image.l1) | 1 << 60)


def reserved_l2(image: Bytes) -> None:
    image.put(image.l2, image.get(image.l2) | 1 << 60)


def compressed_copied(image: Bytes) -> None:
    place = image.l2 + 8 * (4 * MIB // image.size)
    image.put(place, image.get(place) | COPIED)


def missing_block(image: Bytes) -> None:
    image.put(image.get(48), 0)


def unaligned_block(image: Bytes) -> None:
    image.put(image.get(48), image.block + 512)


def reserved_block(image: Bytes) -> None:
    image.put(image.get(48), image.block + 1)


def shared_block(image: Bytes) -> None:
    image.put(image.l2, image.block | COPIED)


def outside_block(image: Bytes) -> None:
    image.put(image.get(48), 0x7000000000)


def snapshot_l1(image: Bytes) -> None:
    image.put(image.get(64) + 6, 0x1234, 2)


def snapshot_l1_size(image: Bytes) -> None:
    image.put(image.get(64) + 8, 0x7000000, 4)


def block_cleared(image: Bytes) -> None:
    image.put(image.get(48), 0)
    image.data += bytes(3 * image.size)  # references past what was counted too
    image.put(image.l2, len(image.data) - image.size | COPIED)


def unaligned_block_and_a_longer_file(image: Bytes) -> None:
    image.put(image.get(48), image.block + 512)
    image.put(image.l2, len(image.data) | COPIED)


def a_table_twice(image: Bytes) -> None:
    image.put(36, 2, 4)  # entries of the L1 table
    image.put(image.l1 + 8, image.get(image.l1))


def odd_length(image: Bytes) -> None:
    image.data = image.data[: len(image.data) - image.size + 100]
    image.put(image.l2, len(image.data) // image.size * image.size | COPIED)


DAMAGES = [
    leak,
    low_count,
    no_count,
    copied_l1,
    copied_l2,
    shared_data,
    data_over_l1,
    past_the_end,
    unaligned_data,
    unaligned_zeros,
    unaligned_l2,
    reserved_l1,
    reserved_l2,
    compressed_copied,
    missing_block,
    unaligned_block,
    reserved_block,
    shared_block,
    outside_block,
    snapshot_l1,
    snapshot_l1_size,
    block_cleared,
    unaligned_block_and_a_longer_file,
    a_table_twice,
    odd_length,
]
NEED_SNAPSHOTS = [low_count, snapshot_l1, snapshot_l1_size]


@pytest.mark.parametrize(
    ("damage", "snapshots"),
    [(damage, 2) for damage in DAMAGES]
    + [(damage, 0) for damage in DAMAGES if damage not in NEED_SNAPSHOTS],
)
def test_damage_gets_qemus_verdict_word_for_word(
    damage: Callable[[Bytes], None],
    snapshots: int,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(snapshots=snapshots)
    image = Bytes(path)
    damage(image)
    image.save()
    result = check(node(path))
    assert not result.is_clean
    assert_same(result, verdict(path))


@pytest.mark.parametrize("refcount_bits", [1, 2, 4, 8])
def test_references_that_no_count_can_hold_are_told_in_qemus_order(
    refcount_bits: int,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(NARROW[refcount_bits])
    image = Bytes(path)
    used = [n for n in range(0, image.size, 8) if image.get(image.l2 + n)]
    for place in used:  # all of a table's entries to the same clusters, in turn
        image.put(image.l2 + place, image.get(image.l2 + used[place // 8 % 2]))
    for n in range(3):  # and the table from several places
        image.put(image.l1 + 8 * n, image.get(image.l1))
    image.save()
    result = check(node(path))
    assert any("overflow" in line for line in result.findings()) == (refcount_bits < 8)
    assert_same(result, verdict(path))


@pytest.mark.parametrize("left", [0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_gets_qemus_verdict(
    left: float,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(snapshots=0)
    image = Bytes(path)
    image.save(int(len(image.data) * left))
    assert_same(check(node(path)), verdict(path))


def scramble(path: Path, chance: random.Random) -> None:
    """Damage a few entries of an image's tables."""
    image = Bytes(path)
    places = [image.l1, image.l1, image.get(48)]
    places += [image.block + n for n in range(4, 24, 5)]
    for table in {image.get(image.l1 + 8 * n) & OFFSETS for n in range(image.get(36, 4))}:
        if table:
            used = [n for n in range(0, image.size, 8) if image.get(table + n)]
            places += [table + chance.choice(used) for _ in range(3)]
    if image.get(60, 4):
        places.append(image.get(64) + chance.choice([0, 4, 8]))
    for _ in range(chance.randrange(1, 4)):
        place = chance.choice(places)
        way = chance.randrange(4)
        if way == 0:
            image.put(place, 0)
        elif way == 1:
            cluster = chance.randrange(len(image.data) // image.size + 2)
            image.put(place, cluster * image.size | chance.choice([0, COPIED]))
        else:
            place += chance.randrange(8)
            image.put(place, image.get(place, 1) ^ 1 << chance.randrange(8), 1)
    image.save(len(image.data) - chance.choice([0, 0, 0, image.size]))


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_gets_qemus_verdict(
    seed: int,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    tmp_path: Path,
) -> None:
    chance = random.Random(seed)
    whole = fill(GEOMETRIES[seed % (len(GEOMETRIES) - 1)])
    path = tmp_path / "damaged.qcow2"
    for _ in range(4):
        shutil.copy(whole, path)
        scramble(path, chance)
        status, said, summary = verdict(path)
        try:
            result = check(node(path))
        except QemuError:
            assert (status, summary) == (1, [])
            continue
        assert list(result.findings()) == said
        assert list(result.summary()) == summary
        assert result.exit_status == status


def test_a_header_without_sense_is_refused(
    node: Callable[[Path], FileNode], tmp_path: Path
) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(bytes(1000))
    with pytest.raises(QemuError, match="Image is not in qcow2 format"):
        check(node(path))


# --- what is dangerous


@pytest.mark.parametrize("damage", [leak, copied_l2, copied_l1])
def test_what_a_crash_may_leave_is_not_dangerous(
    damage: Callable[[Bytes], None], fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill(snapshots=0)
    image = Bytes(path)
    damage(image)
    image.save()
    result = check(node(path))
    assert not result.is_clean
    assert not result.is_dangerous
    assert bool(result.leaks) == (damage is leak)
    assert bool(result.slips)


@pytest.mark.parametrize("damage", [copied_l1, copied_l2])
def test_a_copied_bit_over_a_snapshots_cluster_is_dangerous(
    damage: Callable[[Bytes], None],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    qemu_img: str,
) -> None:
    path = fill(snapshots=0)
    subprocess.run([qemu_img, "snapshot", "-c", "s", str(path)], check=True)
    image = Bytes(path)
    damage(image)
    image.save()
    result = check(node(path))
    assert result.is_dangerous
    assert len(result.shared_marks) == 1
    assert not result.slips


@pytest.mark.parametrize("damage", [low_count, no_count])
def test_a_count_too_low_is_dangerous(
    damage: Callable[[Bytes], None], fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill()
    image = Bytes(path)
    damage(image)
    image.save()
    result = check(node(path))
    assert result.is_dangerous
    assert len(result.low_counts) == 1


def test_a_table_that_is_data_too_is_dangerous_even_when_counted_right(
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(snapshots=0)
    image = Bytes(path)
    l1_cluster = image.l1 // image.size
    image.put(image.block + 2 * (image.get(image.l2) & OFFSETS) // image.size, 0, 2)
    image.put(image.l2, image.l1)
    image.put(image.block + 2 * l1_cluster, 2, 2)
    image.save()
    assert verdict(path)[0] == 0
    result = check(node(path))
    assert result.exit_status == 0
    assert result.overlaps == [l1_cluster]
    assert result.is_dangerous


# --- repair


@pytest.mark.parametrize("damage", DAMAGES)
def test_repair_leaves_what_qemus_leaves(
    damage: Callable[[Bytes], None],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    tmp_path: Path,
) -> None:
    path = fill()
    image = Bytes(path)
    damage(image)
    image.save()
    theirs = tmp_path / "theirs.qcow2"
    shutil.copy(path, theirs)
    result = repair(node(path), leaks=True, errors=True)
    assert_same(result, verdict(path))
    verdict(theirs, "-r", "all")
    assert result.exit_status <= verdict(theirs)[0]


@pytest.mark.parametrize("damage", [leak, low_count, no_count, copied_l1, copied_l2, shared_data])
def test_repair_says_what_qemu_says(
    damage: Callable[[Bytes], None],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    tmp_path: Path,
) -> None:
    path = fill()
    image = Bytes(path)
    damage(image)
    image.save()
    theirs = tmp_path / "theirs.qcow2"
    shutil.copy(path, theirs)
    result = repair(node(path), leaks=True, errors=True)
    assert result.is_clean
    _, said, summary = verdict(theirs, "-r", "all")
    if damage is not no_count:  # QEMU writes all counts anew then, where one is enough
        assert list(result.repairs) == said
        assert f"    {result.leaks_fixed} leaked clusters" in summary
        assert f"    {result.corruptions_fixed} corruptions" in summary


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "-".join(map(str, g)))
def test_lost_refcounts_are_written_anew(
    geometry: tuple[str, int, int, str],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    qemu_img: str,
    tmp_path: Path,
) -> None:
    path = fill(geometry)
    before = tmp_path / "before.qcow2"
    shutil.copy(path, before)
    image = Bytes(path)
    missing_block(image)
    image.save()
    assert verdict(path)[0] == 2
    result = repair(node(path), leaks=True, errors=True)
    assert result.is_clean
    assert verdict(path)[0] == 0
    assert subprocess.run([qemu_img, "compare", "-q", str(path), str(before)]).returncode == 0


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: "-".join(map(str, g)))
def test_counts_are_written_anew_where_a_cluster_in_use_has_none(
    geometry: tuple[str, int, int, str],
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
) -> None:
    path = fill(geometry)
    image = Bytes(path)
    image.put(image.block, 0)  # some are 0
    image.data[image.block + 15] ^= 2  # and one too high, where it isn't one bit wide
    image.save()
    assert check(node(path)).exit_status == 2
    result = repair(node(path), leaks=True, errors=True)
    assert result.is_clean
    assert "Rebuilding refcount structure" in list(result.repairs)
    assert Bytes(path).block != image.block
    assert verdict(path)[0] == 0


def test_leaks_alone_are_repaired_without_leave_for_errors(
    fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill(snapshots=0)
    image = Bytes(path)
    image.put(image.block + 2 * 40, 7, 2)
    image.put(image.block + 2 * 5, 3, 2)
    image.save(max(len(image.data), 41 * image.size))
    result = repair(node(path), leaks=True, errors=False)
    assert result.is_clean
    assert Bytes(path).block == image.block


def test_leaks_are_not_repaired_where_all_counts_must_be_written_anew(
    fill: Callable[..., Path], node: Callable[[Path], FileNode], qemu_img: str
) -> None:
    path = fill(snapshots=0)
    image = Bytes(path)
    image.put(image.block, 0, 2)
    image.save()
    command = [qemu_img, "check", "-r", "leaks", str(path)]
    real = subprocess.run(command, capture_output=True, text=True, check=False)
    with pytest.raises(QemuError) as caught:
        repair(node(path), leaks=True, errors=False)
    assert real.stderr.startswith(f"{caught.value}\n")


def test_without_leave_for_errors_they_stay(
    fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill()
    image = Bytes(path)
    low_count(image)
    image.put(image.block + 2 * 6, 7, 2)
    image.save()
    result = repair(node(path), leaks=True, errors=False)
    assert not result.leaks
    assert len(result.low_counts) == 1


def test_repair_of_a_sound_image_writes_nothing(
    fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill()
    file = node(path)
    recording = RecordingFile(file.bytes)
    file.bytes = recording  # type: ignore[assignment]  # it quacks like a ByteFile
    assert repair(file, leaks=True, errors=True).is_clean
    assert not recording.log


@pytest.mark.parametrize("damage", [leak, low_count, missing_block])
def test_the_dirty_and_corrupt_bits_go_with_the_damage(
    damage: Callable[[Bytes], None], fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill()
    image = Bytes(path)
    damage(image)
    image.put(72, image.get(72) | 0b11)
    image.save()
    file = node(path)
    recording = RecordingFile(file.bytes)
    file.bytes = recording  # type: ignore[assignment]  # it quacks like a ByteFile
    assert repair(file, leaks=True, errors=True).is_clean
    assert Bytes(path).get(72) == 0
    assert recording.log[-3:] == [None, (72, bytes(8)), None]


def test_the_corrupt_bit_stays_with_damage_that_stays(
    fill: Callable[..., Path], node: Callable[[Path], FileNode]
) -> None:
    path = fill()
    image = Bytes(path)
    past_the_end(image)
    image.put(72, 0b10)
    image.save()
    assert repair(node(path), leaks=True, errors=True).exit_status == 2
    assert Bytes(path).get(72) == 0b10


def test_snapshot_entries_get_what_version_3_asks_for(
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    verdict: Callable[..., tuple[int, list[str], list[str]]],
    qemu_img: str,
) -> None:
    path = fill(("0.10", 65536, 16, "off"))
    image = Bytes(path)
    start = image.get(64)
    entries = [start, start + 40 + image.get(start + 36, 4) + 3]
    entries[1] += -entries[1] % 8
    table = b"".join(
        image.data[entry : entry + 36]
        + bytes(4)
        + image.data[entry + 40 + image.get(entry + 36, 4) :][:3].ljust(8, b"\0")
        for entry in entries
    )
    image.data[start : start + len(table)] = table
    # Version 3, with a header of its length and no extensions.
    image.put(4, 3, 4)
    image.data[72:112] = struct.pack(">QQQIIQ", 0, 0, 0, 4, 104, 0)
    image.save()

    def listed() -> list[str]:
        command = [qemu_img, "snapshot", "-l", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [line.split()[1] for line in done.stdout.splitlines()[2:]]

    result = check(node(path))
    assert list(result.corruptions) == [
        f"ERROR snapshot table entry {number} is incomplete" for number in range(2)
    ]
    assert_same(result, verdict(path))
    result = repair(node(path), leaks=False, errors=True)
    assert result.is_clean
    assert result.corruptions_fixed == 2
    assert verdict(path)[0] == 0
    assert listed() == ["s0", "s1"]


def states_of_a_cut_repair(
    whole: Path, path: Path, node: Callable[[Path], FileNode], *, torn: bool
) -> Iterator[CheckResult]:
    """What a check finds after a repair whose n-th write or barrier fails, for every n."""
    for n in range(1, 200):
        shutil.copy(whole, path)
        file = node(path)
        real = file.bytes
        file.bytes = FailingFile(real, n, torn=torn)  # type: ignore[assignment]  # it quacks so
        try:
            assert repair(file, leaks=True, errors=True).is_clean
        except QemuError:
            file.bytes = real
            yield check(file)
            assert repair(file, leaks=True, errors=True).is_clean
        else:
            return
    raise AssertionError("a repair never ends")


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("damages", [(leak, copied_l2), (leak, copied_l1)])
def test_a_repair_cut_short_makes_nothing_dangerous(
    damages: tuple[Callable[[Bytes], None], ...],
    torn: bool,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    tmp_path: Path,
) -> None:
    whole = fill(snapshots=0)
    image = Bytes(whole)
    for damage in damages:
        damage(image)
    image.save()
    cut = list(states_of_a_cut_repair(whole, tmp_path / "cut.qcow2", node, torn=torn))
    assert cut
    assert not any(result.is_dangerous for result in cut)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize(
    "damages",
    [(low_count, leak), (shared_data,), (missing_block, copied_l2), (shared_block, leak)],
)
def test_a_repair_cut_short_makes_nothing_worse(
    damages: tuple[Callable[[Bytes], None], ...],
    torn: bool,
    fill: Callable[..., Path],
    node: Callable[[Path], FileNode],
    tmp_path: Path,
) -> None:
    whole = fill()
    image = Bytes(whole)
    for damage in damages:
        damage(image)
    image.save()
    before = check(node(whole))
    low = {cluster for cluster, _, _ in before.low_counts}
    shared = {slip.host_offset for slip in before.shared_marks}
    for result in states_of_a_cut_repair(whole, tmp_path / "cut.qcow2", node, torn=torn):
        assert {cluster for cluster, _, _ in result.low_counts} <= low
        # A mark over two references was there before, when the count was too low besides.
        assert {slip.host_offset for slip in result.shared_marks} <= shared | set(
            range(image.l2, image.l2 + image.size)
        )


# --- the tally


@pytest.mark.parametrize("order", range(7))
def test_a_tally_reads_and_writes_counts_of_every_width(order: int) -> None:
    chance = random.Random(order)
    maximum = (1 << (1 << order)) - 1
    wanted = [0, 0, 1, 1, 2, 3, 254, 255, 256, 257, 65535, 1 << 40]
    count = 512 * 8 >> order
    values = [min(chance.choice(wanted), maximum) for _ in range(count)]
    tally = Tally(count)
    for cluster, value in enumerate(values):
        tally.set(cluster, value)
    block = tally.encode(512, order, 0)
    if order >= 3:
        width = 1 << order - 3
        assert block == b"".join(value.to_bytes(width, "big") for value in values)
    for room in (count, count - 1, 7, 1):
        other = Tally(room + 3)
        other.decode(block, order, 3)
        assert [other.get(3 + n) for n in range(room)] == values[:room]


def test_tallies_differ_where_their_counts_do() -> None:
    one, other = Tally(10000), Tally(10000)
    for tally in (one, other):
        tally.add(100, 5000)
        tally.add(4000, 10, 300)
    other.add(4005, 1)
    other.add(9999, 1)
    one.add(50, 1, 255)
    assert list(one.differences(other)) == [50, 4005, 9999]
    assert one.get(4005) == 301
    assert other.get(4005) == 302
