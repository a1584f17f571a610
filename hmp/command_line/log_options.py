"""What is logged from the start, and where to: ``-d``, ``-D`` and ``-trace``."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_values import HelpAnswer, about
from hmp.command_line.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine.machine import Machine

_TRACE_KEYS = ("enable", "events", "file")


class LogOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
    """

    def __init__(self, program: str, complain: Callable[[str], object]) -> None:
        super().__init__(program, complain)
        self._items: str | None = None
        self._name: str | None = None
        self._trace_name: str | None = None
        self._patterns: list[tuple[str, str]] = []  # with what stands before a warning
        self.takers: dict[str, Callable[[Option], object]] = {
            "d": self._take_items,
            "D": self._take_name,
            "trace": self._take_trace,
        }

    def _take_items(self, option: Option) -> None:
        self._items = option.value

    def _take_name(self, option: Option) -> None:
        self._name = option.value

    def _take_trace(self, option: Option) -> None:
        if option.value == "help":
            _answer_with_events()
        found = self._read(option, "enable")
        for key in found:
            if key not in _TRACE_KEYS:
                raise about(option, QemuError(f"Invalid parameter '{key}'"))
        if "enable" in found:
            self._patterns.append((found["enable"], f"{self._program}: {option.text}: "))
        if "events" in found:
            self._read_events(found["events"])
        if "file" in found:
            self._trace_name = found["file"]

    def _read_events(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read(1 << 20).splitlines()
        except OSError as error:
            self._complain(f"{self._program}:{path}: {os.strerror(error.errno or 0)}")
            raise SystemExit(1) from error
        for number, line in enumerate(lines, 1):
            if line and not line.startswith("#"):
                self._patterns.append((line, f"{self._program}:{path}:{number}: "))

    def apply(self, machine: Machine) -> None:
        """Begin to log.

        Raises:
            QemuError: the file can't be written, or an item is none.
        """
        for pattern, blame in self._patterns:
            if not machine.trace.choose(pattern):
                event = pattern.removeprefix("-")
                self._complain(f"{blame}warning: trace event '{event}' does not exist")
        name = self._trace_name if self._name is None else self._name
        if self._items is None and name is None:
            return
        from machine.log import UnknownItem, describe_items, read_items

        items: frozenset[str] = frozenset()
        if self._items == "trace:help":
            _answer_with_events()
        if self._items is not None:
            try:
                items = read_items(self._items, machine.trace, machine.report)
            except UnknownItem as error:
                text = describe_items("-d").removesuffix("\n")
                raise HelpAnswer(text, status=1) from error
        machine.log.set_name(name or "", items)


def _answer_with_events() -> None:
    from machine.trace import EVENTS

    raise HelpAnswer("\n".join(EVENTS))
