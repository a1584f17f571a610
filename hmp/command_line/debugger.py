"""A debugger's way to the machine and to its monitor: ``-gdb``, ``-s``, and `gdbserver`."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hmp.command_line.options import Option
    from machine.machine import Machine


def start_debugger(machine: Machine, word: str, tell: Callable[[str], object]) -> None:
    """Wait for a debugger; see `machine.gdb.server.start`."""
    from hmp.monitor import Monitor
    from machine.gdb.server import start

    def run_line(line: str, say: Callable[[str], object], done: Callable[[], object]) -> None:
        monitor = Monitor(machine, say)
        monitor.can_wait = False
        machine.loop.spawn(monitor.execute(line), done)

    start(machine, word, tell, run_line)


class DebuggerOptions:
    """The options of one command line, in order."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._words: list[tuple[str, str]] = []
        self.takers: dict[str, Callable[[Option], object]] = {
            "gdb": self._take,
            "s": self._take,
        }

    def _take(self, option: Option) -> None:
        self._words.append((option.value if option.name == "gdb" else "tcp::1234", option.text))

    def start(self, machine: Machine) -> None:
        """Raises: QemuError: a device can't be had."""
        for word, text in self._words:
            try:
                start_debugger(machine, word, self._tell)
            except QemuError as error:
                if not str(error):  # QEMU ends without a word
                    raise SystemExit(1) from error
                raise QemuError(f"{text}: {error}", error.errno_value) from error
