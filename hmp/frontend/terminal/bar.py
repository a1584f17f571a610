"""The bar below the line: how the machine stands."""

from __future__ import annotations

from collections.abc import Iterator

from prompt_toolkit.utils import get_cwidth

from blockdev.errors import QemuError
from hmp.frontend.terminal.answers import Fragments
from machine.machine import Machine
from machine.snapshot import plan_save

_MAX_TAG = 24  # characters of a tag that are shown


def bar(machine: Machine, columns: int, mode: str = "") -> Fragments:
    """What the bar says, as much as fits; what is worth least goes first.

    Args:
        machine: of which.
        columns: the screen's width.
        mode: the editor's, where it has several.
    """
    parts = list(_parts(machine, mode))
    while len(parts) > 1 and sum(get_cwidth(text) + 1 for _, text in parts) > columns:
        parts.pop()
    fragments: Fragments = []
    for style, text in parts:
        fragments += [(style, text[:columns]), ("", " ")]
    return fragments[:-1]


def _parts(machine: Machine, mode: str) -> Iterator[tuple[str, str]]:
    """The most important first."""
    style = "class:bar.running" if machine.is_running else "class:bar.stopped"
    yield style, f" {machine.status_text()} "
    yield "", _clock_text(machine.clock.now_ns())
    for job in machine.job_names():
        yield "class:bar.job", f" {job} "
    yield from _head(machine)
    yield "", f"| state to {_state_place(machine)}"
    if mode:
        yield "", f"| {mode}"
    yield "", "| F1 help"


def _head(machine: Machine) -> Iterator[tuple[str, str]]:
    head = machine.head
    if head is None or not head.is_there:
        yield "", "| no snapshot yet"
        return
    tag = head.tag if len(head.tag) <= _MAX_TAG else head.tag[: _MAX_TAG - 1] + "…"
    tag = tag.replace("\n", "^J")  # the bar has one line
    yield "", f"| at {tag}"
    changes = [
        _counted(head.pages_changed, "page"),
        _counted(head.clusters_changed, "cluster"),
    ]
    text = " ".join(filter(None, changes))
    yield ("class:bar.changed" if text else ""), (text or "unchanged")


def _counted(count: int, noun: str) -> str:
    return f"+{count} {noun}{'s' * (count != 1)}" if count else ""


def _state_place(machine: Machine) -> str:
    """Where a savevm would put the machine's state."""
    try:
        return plan_save(machine, None).state_disk.shown
    except QemuError:
        return "nowhere"


def _clock_text(ns: int) -> str:
    seconds = ns // 1_000_000_000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
