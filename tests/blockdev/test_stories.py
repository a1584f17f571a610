"""Stories of a disk, told by us, by the real programs, and by both in turns."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.blockdev.stories import (
    Act,
    Chooser,
    Delete,
    Discard,
    Geometry,
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
    choose_story,
)
from tests.blockdev.storyteller import Storyteller

T = TypeVar("T")


class Drawn:
    """Lets Hypothesis choose."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def one_of(self, options: Sequence[T]) -> T:
        chosen: T = self._draw(st.sampled_from(options))
        return chosen

    def number(self, low: int, high: int) -> int:
        chosen: int = self._draw(st.integers(low, high))
        return chosen

    def several(self, make: Callable[[Chooser], T], low: int, high: int) -> list[T]:
        one = st.composite(lambda draw: make(Drawn(draw)))()
        chosen: list[T] = self._draw(st.lists(one, min_size=low, max_size=high))
        return chosen


@st.composite
def stories(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Story:
    return choose_story(Drawn(draw), most_steps=10)


def play(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Storyteller(Path(folder), story).play()


@settings(
    max_examples=30,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(story=stories())
def test_a_disk_reads_back_like_plain_bytes_and_stays_clean(
    qemu_img: str, qemu_io: str, story: Story
) -> None:
    note(str(story))
    play(story)


KINDS = ["compressed", "raw", "qcow2", "empty"]
GEOMETRIES = [
    Geometry(),
    Geometry(version=2),
    Geometry(version=2, cluster_size=512),
    Geometry(cluster_size=512, refcount_bits=64),
    Geometry(cluster_size=1024, refcount_bits=1),
    Geometry(cluster_size=4096, refcount_bits=4, compression="zstd"),
    Geometry(cluster_size=16384, extended_l2=True, refcount_bits=8),
    Geometry(extended_l2=True),
    Geometry(cluster_size=2 << 20, refcount_bits=32),
    Geometry(cluster_size=2 << 20, extended_l2=True, compression="zstd"),
]


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [*zip(GEOMETRIES, KINDS * 3, strict=False), *((Geometry(), kind) for kind in KINDS[1:])],
    ids=lambda value: value.options if isinstance(value, Geometry) else value,
)
def test_every_layout_lives_through_every_kind_of_step(
    qemu_img: str, qemu_io: str, geometry: Geometry, kind: str
) -> None:
    size = geometry.cluster_size
    acts: list[Act] = [
        Write(size // 2, 3 * size + 5, pieces=3),
        WriteZeroes(size + 7, 2 * size),
        Save(300_017),
        Write(2 * size, size + 512),
        Discard(0, 2 * size),
        Save(),
        GiveUpState(65536),
        Write(1 << 20, 200_000),
        Goto(0),
        Write(0, 1),
        Reopen(),
        Delete(0),
        Resize((1 << 20) + 512),
        Write(1 << 20, 512),
        Resize(5 << 20),
        WriteZeroes(4 << 20, 1 << 20, may_unmap=True),
    ]
    start = Start(kind, 3 << 20, (2 << 20) + 512 if kind in ("raw", "qcow2") else 0)
    play(Story(geometry, start, [Step(act) for act in acts]))


def test_one_program_goes_on_where_the_other_stopped(qemu_img: str, qemu_io: str) -> None:
    acts: list[Act] = [
        Write(100, 200_000),
        Save(),
        Write(65536, 65536),
        Goto(0),
        Discard(0, 131072),
        Save(36_000),
        WriteZeroes(1 << 20, 1 << 20),
        Delete(0),
        Goto(0),
        Resize(2 << 20),
        Write(1 << 20, 70_000),
        Resize(4 << 20),
        Write(3 << 20, 1 << 20),
    ]
    for parity in (0, 1):
        steps = [Step(act, by_real=n % 2 == parity) for n, act in enumerate(acts)]
        play(Story(Geometry(), Start("compressed", 3 << 20), steps))
