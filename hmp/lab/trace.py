"""`%trace on|off`: the steps of savevm, loadvm and delvm as they happen, and what each took."""

from __future__ import annotations

import time

from blockdev.raw import FileNode
from hmp.block_info import size_text
from hmp.lab.notebook import notebook_of
from hmp.lab.wording import counted, heading, subject
from machine.steps import END, RESUME, STOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from hmp.monitor import Monitor
    from machine.steps import Step


def trace(monitor: Monitor, *, option: bool) -> None:
    notebook, steps = notebook_of(monitor), monitor.machine.steps
    if option and notebook.trace is None:
        notebook.trace = Trace(monitor)
        steps.listen(notebook.trace.hear)
    elif not option and notebook.trace is not None:
        steps.forget(notebook.trace.hear)
        notebook.trace = None


class Trace:
    """Tells a monitor of steps; what a step took is known when the next one begins."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._number = 0
        self._step: Step | None = None
        self._since = self._first = (0, 0, 0)
        self._stopped_ns: int | None = None
        self._pause_ns: int | None = None

    def hear(self, step: Step) -> None:
        """Take a step that is about to begin."""
        say = self._monitor.print_line
        now = self._measures()
        if self._step is None:
            self._first = now
        else:
            say(f"   {subject(self._step)}{_spent(self._since, now)}")
        if step.kind == END:
            if self._pause_ns is not None:
                say(f"The machine stood still for {_time_text(self._pause_ns)}.")
            elif self._stopped_ns is not None:
                say("The machine stays stopped, since the rest failed.")
            say(f"In all: {_spent(self._first, now)}.")
            self._begin_anew()
            return
        if self._step is None or step.kind != self._step.kind:
            self._number += 1
            say(f"{self._number}. {heading(step)}")
        if step.kind == STOP:
            self._stopped_ns = now[0]
        elif step.kind == RESUME and self._stopped_ns is not None:
            self._pause_ns = now[0] - self._stopped_ns
        self._step, self._since = step, self._measures()

    def _measures(self) -> tuple[int, int, int]:
        """The time in ns, and what was written to the files of all drives: bytes, barriers."""
        files = [_file_of(node) for _, node in self._monitor.machine.drives.root_nodes()]
        bytes_written = sum(file.bytes_written for file in files if file)
        barriers = sum(file.barriers for file in files if file)
        return time.monotonic_ns(), bytes_written, barriers


def _file_of(node: BlockNode | None) -> FileNode | None:
    """The node at the bottom of a drive's own image."""
    while node is not None and not isinstance(node, FileNode):
        node = node.file
    return node


def _spent(before: tuple[int, int, int], after: tuple[int, int, int]) -> str:
    time_ns, bytes_written, barriers = (b - a for a, b in zip(before, after, strict=True))
    text = _time_text(time_ns)
    if bytes_written:
        text += f", {size_text(bytes_written)} written"
    if barriers:
        text += f", {counted(barriers, 'barrier')}"
    return text


def _time_text(ns: int) -> str:
    return f"{ns / 1e9:.2f} s" if ns >= 1_000_000_000 else f"{ns / 1e6:.2f} ms"
