"""Whose each cluster is, held against what qemu-img says of the image."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.qcow2.create import create_image
from blockdev.qcow2.image import Image
from blockdev.qcow2.ownership import FREE, LEAKED, MEANINGS, NOW, SHARED, STATE, owners
from blockdev.snapshot import Snapshot
from tests.blockdev.test_compare import SIZE, play, steps

CLUSTER = 4096


def asked(qemu_img: str, command: str, path: Path) -> Any:
    """What a command of qemu-img says as JSON."""
    done = subprocess.run(
        [qemu_img, command, "-U", "--output=json", str(path)], capture_output=True, check=False
    )
    return json.loads(done.stdout)


def map_of_now(qemu_img: str, path: Path) -> set[int]:
    """The host clusters of what the disk has now."""
    found: set[int] = set()
    for part in asked(qemu_img, "map", path):
        if "offset" in part and part["depth"] == 0:
            first = part["offset"] // CLUSTER
            found |= set(range(first, first - (-part["length"] // CLUSTER)))
    return found


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(0, 3), st.booleans())
def test_the_picture_agrees_with_qemu_img(
    qemu_img: str, story: list[tuple[object, ...]], leaks: int, with_state: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.qcow2"
        create_image(str(path), SIZE, cluster_size=CLUSTER)
        graph = Graph(print)
        image = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
        assert isinstance(image, Image)
        for step in story:
            play(image, step)
        state = 0
        if with_state:
            area = image.open_vmstate()
            area.write([b"x" * 3 * CLUSTER])
            image.snapshot_create(Snapshot(name="vm", date_sec=1, vm_state_size=1), area)
            state = 3
        if leaks:
            first, _ = image.metadata.allocator.allocate(leaks, exactly=True)
            image.file.write(first * CLUSTER, [bytes(leaks * CLUSTER)])
        image.write_back()
        picture = owners(image.metadata)
        check = asked(qemu_img, "check", path)
        now = map_of_now(qemu_img, path)
        graph.close()
        assert set(picture) <= set(MEANINGS)
        assert {n for n, letter in enumerate(picture) if letter in (NOW, SHARED)} == now
        assert picture.count(LEAKED) == check.get("leaks", 0) == leaks
        assert check.get("corruptions", 0) == check["check-errors"] == 0
        assert picture.count(STATE) == state
        used = max(n for n, letter in enumerate(picture) if letter not in (FREE, LEAKED))
        assert (used + 1) * CLUSTER <= check["image-end-offset"]
        if not leaks:
            assert (used + 1) * CLUSTER == check["image-end-offset"]
