"""What is to be so at the end of a lesson, judged from the images alone."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from blockdev.graph import Graph
from blockdev.node import CacheMode
from blockdev.qcow2.image import Image
from blockdev.snapshot import find_by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from blockdev.node import BlockNode
    from blockdev.snapshot import Snapshot

    Judge = Callable[["Images", dict[str, Any]], str]

NOW = "now"


class Goal:
    """One thing that is to be so: ``[[goals]]``.

    Attributes:
        says: it in words.
        kind: which judge in `_JUDGES` decides.
        options: for the judge; what each means stands there.
    """

    __slots__ = ("kind", "options", "says")

    def __init__(self, table: dict[str, Any]) -> None:
        self.options = dict(table)
        self.says: str = self.options.pop("says")
        self.kind: str = self.options.pop("kind")
        assert self.kind in _JUDGES, self.kind


class Verdict:
    """What came of a goal.

    Attributes:
        fault: what isn't so; "" for a goal that is met.
    """

    __slots__ = ("fault", "goal")

    def __init__(self, goal: Goal, fault: str) -> None:
        self.goal = goal
        self.fault = fault

    @property
    def is_met(self) -> bool:
        return not self.fault


def judge(folder: str, goals: list[Goal]) -> list[Verdict]:
    """See which goals the images in a folder meet; nothing is written, nobody is locked out."""
    images = Images(folder)
    try:
        return [Verdict(goal, _fault(images, goal)) for goal in goals]
    finally:
        images.close()


def _fault(images: Images, goal: Goal) -> str:
    try:
        return _JUDGES[goal.kind](images, goal.options)
    except QemuError as error:
        return str(error)


class Images:
    """The images of a folder, opened as they are asked for."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._graph = Graph(_hear_nothing, _hear_nothing)
        self._nodes: dict[str, BlockNode] = {}

    def path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def node(self, name: str) -> BlockNode:
        """An image's node.

        Raises:
            QemuError: it can't be opened.
        """
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = self._graph.open_image(
                self.path(name),
                driver="raw" if name.endswith(".raw") else "qcow2",
                read_only=True,
                cache=CacheMode(),
                locking=False,
                is_literal=True,
            )
        return node

    def snapshot(self, name: str, tag: str) -> Snapshot:
        """A snapshot of an image.

        Raises:
            QemuError: it has none of this tag.
        """
        found = find_by_name(self.node(name).snapshots(), tag)
        if found is None:
            raise QemuError(f"{name} has no snapshot '{tag}'")
        return found

    def read(self, name: str, tag: str, offset: int, size: int) -> bytes:
        """What a disk has now, or had in a snapshot."""
        node = self.node(name)
        if tag == NOW:
            return node.read(offset, size)
        snapshot = self.snapshot(name, tag)
        assert isinstance(node, Image), "only those have snapshots"
        return node.state_of(snapshot).read(offset, size)

    def close(self) -> None:
        self._graph.close()


# --- the judges: each says what isn't so


def _judge_snapshot(images: Images, options: dict[str, Any]) -> str:
    """An image has a snapshot: ``image``, ``tag``; if given, ``state`` (or not) and its ``id``."""
    image, tag = options["image"], options["tag"]
    snapshot = images.snapshot(image, tag)
    has_state = bool(snapshot.vm_state_size)
    if options.get("state", has_state) != has_state:
        return f"'{tag}' on {image} has {'a' if has_state else 'no'} machine state"
    if options.get("id", snapshot.id) != snapshot.id:
        return f"'{tag}' on {image} has the ID {snapshot.id}"
    return ""


def _judge_no_snapshot(images: Images, options: dict[str, Any]) -> str:
    """An image has no snapshot of a tag: ``image``, ``tag``; without a tag, none at all."""
    image, tag = options["image"], options.get("tag")
    names = [each.name for each in images.node(image).snapshots()]
    if tag is None:
        return f"{image} has {', '.join(names)}" if names else ""
    return f"{image} has a snapshot '{tag}'" if tag in names else ""


def _judge_count(images: Images, options: dict[str, Any]) -> str:
    """An image has so many snapshots: ``image``, ``count``."""
    count = len(images.node(options["image"]).snapshots())
    return "" if count == options["count"] else f"{options['image']} has {count} snapshots"


def _judge_bytes(images: Images, options: dict[str, Any]) -> str:
    """A disk has one byte all over: ``image``, ``at`` (a tag or now), ``offset``, ``byte``.

    If given, ``size``, and whether the snapshot has the machine's ``state``.
    """
    image, tag, byte = options["image"], options["at"], options["byte"]
    if "state" in options and (fault := _judge_snapshot(images, {**options, "tag": tag})):
        return fault
    offset, size = options["offset"], options.get("size", 65536)
    data = images.read(image, tag, offset, size)
    if data == bytes([byte]) * size:
        return ""
    where = f"{image} {'now' if tag == NOW else f'in {tag!r}'}"
    found = f"{data[0]:#04x}" if data.count(data[0]) == size else "different bytes"
    return f"{where} has {found} at {offset >> 20}M"


def _judge_over(images: Images, options: dict[str, Any]) -> str:
    """An image stands on another one: ``image``, ``backing``, and as of `_judge_bytes`."""
    image, backing = options["image"], options["backing"]
    name = os.path.basename(images.node(image).backing_name)
    if name != backing:
        return f"{image} stands on {name or 'nothing'}"
    return _judge_bytes(images, {**options, "at": NOW})


def _judge_back(images: Images, options: dict[str, Any]) -> str:
    """A disk has something again since a snapshot was made: ``tag``, and as of `_judge_bytes`."""
    images.snapshot(options["image"], options["tag"])
    return _judge_bytes(images, {**options, "at": NOW})


def _judge_states(images: Images, options: dict[str, Any]) -> str:
    """Several snapshots have the machine's state: ``image``, ``tags``."""
    faults = [
        _judge_snapshot(images, {"image": options["image"], "tag": tag, "state": True})
        for tag in options["tags"]
    ]
    return next(filter(None, faults), "")


def _judge_clock(images: Images, options: dict[str, Any]) -> str:
    """The machine ran from one snapshot to another: ``image``, ``a``, ``b``, ``seconds``."""
    image, a, b = options["image"], options["a"], options["b"]
    first, second = images.snapshot(image, a), images.snapshot(image, b)
    seconds = (second.vm_clock_nsec - first.vm_clock_nsec) / 1e9
    if seconds >= options["seconds"]:
        return ""
    return f"the machine's clock is {seconds:.1f} s further in '{b}' than in '{a}'"


def _judge_turned_back(images: Images, options: dict[str, Any]) -> str:
    """A snapshot is the later one by date and the earlier by machine time: ``image``, ``a``, ``b``.

    A machine that was put back between them is the one way to get there.
    """
    image, a, b = options["image"], options["a"], options["b"]
    first, second = images.snapshot(image, a), images.snapshot(image, b)
    if (first.date_sec, first.date_nsec) > (second.date_sec, second.date_nsec):
        return f"'{b}' was made before '{a}'"
    if second.vm_clock_nsec >= first.vm_clock_nsec:
        return f"the machine's clock in '{b}' is not behind the one in '{a}'"
    return ""


def _judge_memory(images: Images, options: dict[str, Any]) -> str:
    """The memory of two snapshots differs: ``image``, ``a``, ``b``."""
    from machine.migration.decode import decode
    from machine.migration.decode_source import snapshot_source
    from machine.migration.pages import SavedPages, differing_pages

    states = []
    for tag in (options["a"], options["b"]):
        images.snapshot(options["image"], tag)
        source, _ = snapshot_source(images.node(options["image"]), tag)
        states.append(SavedPages(source))
        decode(source, states[-1])
    is_any = next(differing_pages(*states), None) is not None
    return "" if is_any else f"the memory of '{options['a']}' and '{options['b']}' is the same"


def _judge_length(images: Images, options: dict[str, Any]) -> str:
    """A file is no longer than: ``image``, ``most`` (bytes)."""
    path = images.path(options["image"])
    try:
        length = os.stat(path).st_size
    except OSError as error:
        return f"{options['image']}: {error.strerror}"
    if length <= options["most"]:
        return ""
    return f"{options['image']} is {length / (1 << 20):.1f} MiB long"


_JUDGES: dict[str, Judge] = {
    "snapshot": _judge_snapshot,
    "no-snapshot": _judge_no_snapshot,
    "count": _judge_count,
    "bytes": _judge_bytes,
    "over": _judge_over,
    "back": _judge_back,
    "states": _judge_states,
    "clock": _judge_clock,
    "turned-back": _judge_turned_back,
    "memory": _judge_memory,
    "length": _judge_length,
}


def _hear_nothing(_line: str) -> None:
    pass
