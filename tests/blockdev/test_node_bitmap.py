"""Bitmaps of nodes against sets of pieces, and their way to the file when a write fails."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockdev.dirty_bitmap import DirtyBitmap
from blockdev.errors import HintedError, QemuError
from blockdev.graph import Graph
from blockdev.node import BlockNode, CacheMode
from blockdev.node_bitmap import (
    add_bitmap,
    check_bitmap,
    find,
    find_named,
    merge,
    named_bitmaps,
    remove_bitmap,
)
from blockdev.null import NullNode
from tests.blockdev.faults import FailingFile, RecordingFile, watch

MIB = 1 << 20
GRANULARITY = 4096


def opened(path: Path) -> tuple[Graph, BlockNode]:
    graph = Graph(lambda text: None)
    graph.keeps_bitmaps = True
    node = graph.open_image(str(path), driver="qcow2", read_only=False, cache=CacheMode())
    return graph, node


@pytest.fixture
def image(make_image: Callable[..., Path]) -> Path:
    """With one bitmap that records, and one that doesn't."""
    path = make_image("disk.qcow2", "1M")
    graph, node = opened(path)
    add_bitmap(node, "on", granularity=GRANULARITY, is_persistent=True)
    add_bitmap(node, "off", granularity=GRANULARITY, is_persistent=True, is_recording=False)
    node.write(0, [b"x" * 5000])
    graph.close()
    return path


def pieces(marks: DirtyBitmap) -> set[int]:
    size = marks.granularity
    return {
        at // size for start, length in marks.runs() for at in range(start, start + length, size)
    }


def said(path: Path) -> dict[str, set[int] | None]:
    """What the file says of each bitmap's pieces; None for one that can't be trusted."""
    graph = Graph(lambda text: None)
    graph.keeps_bitmaps = True
    cache = CacheMode()
    node = graph.open_image(str(path), driver="qcow2", read_only=True, cache=cache, locking=False)
    found = {
        each.name: None if each.is_inconsistent else pieces(each.marks)
        for each in named_bitmaps(node)
    }
    graph.close()
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, MIB - 1), st.integers(1, 20_000)),
        st.tuples(st.sampled_from(["add", "clear", "enable", "disable"]), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 2)),
        st.tuples(st.just("merge"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("job"), st.integers(0, 2), st.sampled_from(["reclaim", "abdicate"])),
    ),
    max_size=25,
)


@given(STEPS)
def test_bitmaps_are_sets_of_pieces(steps: list[tuple]) -> None:
    node = NullNode("n", "null-co", size=MIB)
    model: dict[str, tuple[set[int], bool]] = {}

    def note(offset: int, size: int) -> None:
        end = min(offset + size, MIB)
        for name, (marked, records) in model.items():
            if records:
                model[name] = (marked | set(range(offset // 4096, -(-end // 4096))), True)

    for verb, *values in steps:
        if verb == "write":
            offset, size = values
            size = min(size, MIB - offset)
            node.write(offset, [bytes(size)])
            note(offset, size)
            continue
        name = f"b{values[0]}"
        if verb == "add" and name not in model:
            add_bitmap(node, name, granularity=GRANULARITY)
            model[name] = (set(), True)
        if name not in model:
            assert find(node, name) is None
            continue
        bitmap, (marked, records) = find_named(node, name), model[name]
        if verb == "clear":
            bitmap.marks.clear()
            model[name] = (set(), records)
        elif verb in ("enable", "disable"):
            bitmap.is_recording = verb == "enable"
            model[name] = (marked, verb == "enable")
        elif verb == "remove":
            remove_bitmap(node, bitmap)
            del model[name]
        elif verb == "merge" and f"b{values[1]}" in model:
            merge(bitmap, find_named(node, f"b{values[1]}"))
            model[name] = (marked | model[f"b{values[1]}"][0], records)
        elif verb == "job":
            bitmap.freeze(node)
            with pytest.raises(QemuError, match="in use by another operation"):
                check_bitmap(bitmap, is_changed=False)
            node.write(0, [bytes(100)])
            if values[1] == "abdicate":
                bitmap.abdicate(node)
                model[name] = (set(), records)
            else:
                bitmap.reclaim(node)
            note(0, 100)
    assert {
        each.name: (pieces(each.marks), each.is_recording) for each in named_bitmaps(node)
    } == model
    assert len(node.dirty_bitmaps) == len(model)


@given(st.integers(0, 5000), st.lists(st.tuples(st.integers(0, 4999), st.integers(1, 900))))
def test_every_byte_is_like_those_that_follow_it(size: int, writes: list[tuple[int, int]]) -> None:
    marks = DirtyBitmap(size, 64)
    for offset, length in writes:
        marks.mark(offset, length)
    marked, at = pieces(marks), 0
    while at < 7000:
        is_marked, length = marks.alike(at)
        assert length > 0
        last = min(at + length, 7000) - 1
        assert {byte // 64 in marked for byte in (at, last)} == {is_marked}
        at += length
        assert at >= 7000 or (at // 64 in marked) is not is_marked


def test_what_was_stored_is_found_again(image: Path, check: Callable[[Path], int]) -> None:
    assert said(image) == {"on": {0, 1}, "off": set()}
    graph, node = opened(image)
    assert said(image) == {"on": None, "off": None}  # it is in use
    node.write(100_000, [b"y"])
    merge(find_named(node, "off"), find_named(node, "on"))
    graph.close()
    assert said(image) == {"on": {0, 1, 24}, "off": {0, 1, 24}}
    assert check(image) == 0


def changes(node: BlockNode) -> Iterator[object]:
    """Each changes what the bitmaps say, or which there are."""
    yield node.write(200_000, [b"z" * 3000])
    yield find_named(node, "off").marks.mark(0, 4096)
    yield add_bitmap(node, "new", granularity=GRANULARITY, is_persistent=True)
    yield remove_bitmap(node, find_named(node, "off"))
    yield node.write(300_000, [b"z" * 3000])


AFTERWARDS = {"on": {0, 1, 48, 49, 73}, "new": {73}}


@pytest.mark.parametrize("n", range(1, 30, 2))
def test_a_failing_write_leaves_bitmaps_true_or_inconsistent(
    n: int, image: Path, check: Callable[[Path], int]
) -> None:
    graph, node = opened(image)
    watched = watch(node, FailingFile, n)
    with contextlib.suppress(QemuError):
        for _ in changes(node):
            pass
    with contextlib.suppress(QemuError):
        graph.close()
    found = said(image)
    if watched.left > 0:  # nothing failed
        assert found == AFTERWARDS
    assert found["on"] is None or found["on"] >= {0, 1}
    assert check(image) in (0, 3)


def test_a_crash_at_any_write_leaves_bitmaps_true_or_inconsistent(
    image: Path, tmp_path: Path, check: Callable[[Path], int]
) -> None:
    graph, node = opened(image)
    before = image.read_bytes()
    recorded = watch(node, RecordingFile)
    for _ in changes(node):
        pass
    graph.close()
    assert said(image) == AFTERWARDS
    assert isinstance(recorded, RecordingFile)
    writes = [entry for entry in recorded.log if entry is not None]
    assert len(writes) > 10
    crashed = tmp_path / "crashed.qcow2"
    for point in range(len(writes) + 1):
        content = bytearray(before)
        for offset, data in writes[:point]:
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        crashed.write_bytes(content)
        for name, found in said(crashed).items():
            assert found is None or found == AFTERWARDS[name], f"after {point} of {len(writes)}"
    assert check(crashed) in (0, 3)


def test_what_cannot_be_trusted_can_only_go(image: Path) -> None:
    graph, _ = opened(image)
    killed = image.with_name("killed.qcow2")
    killed.write_bytes(image.read_bytes())
    graph.close()
    graph, node = opened(killed)
    bitmap = find_named(node, "on")
    with pytest.raises(HintedError) as failure:
        check_bitmap(bitmap)
    assert failure.value.sentence == "Bitmap 'on' is inconsistent and cannot be used"
    remove_bitmap(node, bitmap)
    graph.close()
    assert said(killed) == {"off": None}
