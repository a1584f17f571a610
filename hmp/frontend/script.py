"""The front end of `-c` and `--replay`: lines that are given, and nobody at a prompt."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hmp.monitor import Monitor
    from machine.machine import Machine

    MakeMonitor = Callable[[Machine, Callable[[str], object]], Monitor]


class Line:
    """One line of a script, and what became of it.

    Attributes:
        text: the line.
        expected: the answer it must get; None for any.
        answer: what it got.
        has_failed: whether the monitor couldn't do it.
    """

    __slots__ = ("answer", "expected", "has_failed", "text")

    def __init__(self, text: str, expected: str | None = None) -> None:
        self.text = text
        self.expected = expected
        self.answer = ""
        self.has_failed = False

    @property
    def is_as_expected(self) -> bool:
        return self.expected is None or self.expected == self.answer


class Script:
    """Runs lines one after the other, then ends the program.

    Its exit status is 1 when a line failed; when answers are expected, only when one differs.

    Args:
        machine: that launches when the loop turns.
        make_monitor: makes the monitor that runs the lines.
        lines: of the script.
        as_json: whether one JSON document is printed at the end, instead of each answer.
    """

    def __init__(
        self,
        machine: Machine,
        make_monitor: MakeMonitor,
        lines: Sequence[Line],
        *,
        as_json: bool = False,
    ) -> None:
        self._machine = machine
        self._lines = lines
        self._as_json = as_json
        self._said: list[str] = []
        self._monitor = make_monitor(machine, self._said.append)
        machine.loop.spawn(self._steps())

    def _steps(self) -> Iterator[object]:
        done = []
        for line in self._lines:
            yield from self._monitor.execute(line.text)
            line.answer, line.has_failed = "".join(self._said), self._monitor.has_failed
            self._said.clear()
            done.append(line)
            if not self._as_json:
                self._tell(line)
            if self._machine.shutdown_requested:  # by `quit`, whose status it is then
                self._finish(done, self._machine.exit_status)
                return
        self._finish(done, 0)

    def _finish(self, done: Sequence[Line], status: int) -> None:
        if self._as_json:
            _write(_as_json(done, self._machine))
        is_good = all(line.is_as_expected for line in done) and len(done) == len(self._lines)
        if all(line.expected is None for line in self._lines):
            is_good = not any(line.has_failed for line in done)
        self._machine.request_shutdown(status if is_good else 1)

    def _tell(self, line: Line) -> None:
        if line.expected is None:
            _write(line.answer)
        elif not line.is_as_expected:
            from difflib import unified_diff

            before, after = line.expected.splitlines(), line.answer.splitlines()
            difference = unified_diff(before, after, "recorded", "now", lineterm="")
            _write("\n".join([f"(qemu) {line.text}", *difference, ""]))


def _as_json(lines: Sequence[Line], machine: Machine) -> str:
    import json

    document = {
        "lines": [
            {
                "line": line.text,
                "answer": line.answer,
                "failed": line.has_failed,
                **({} if line.expected is None else {"as-recorded": line.is_as_expected}),
            }
            for line in lines
        ],
        "status": machine.status_text(),
    }
    return json.dumps(document, indent=2) + "\n"


def _write(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        pass  # nobody is there to read it
