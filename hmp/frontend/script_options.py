"""The options of scripts and transcripts: `-c`, `--json`, `--record`, `--replay`, `--check`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from hmp.command_line.options import Option
    from hmp.frontend.script import MakeMonitor
    from hmp.transcript import Transcript
    from machine.machine import Machine


def open_transcript(options: Sequence[Option]) -> Transcript | None:
    """The file that `--record` asks for; None without it.

    Raises:
        QemuError: it can't be written.
    """
    path = _value(options, "record")
    if path is None:
        return None
    from hmp.transcript import Transcript

    arguments: list[str] = []
    for option in options:
        if option.name not in ("record", "replay", "check", "json", "c"):
            arguments += option.words
    return Transcript(path, arguments)


def recorded_arguments(options: Sequence[Option]) -> list[str]:
    """Those of the program whose transcript is replayed.

    Raises:
        QemuError: it can't be read.
    """
    from hmp.transcript import read_transcript

    return read_transcript(_value(options, "replay") or "")[0]


def run_script(machine: Machine, make_monitor: MakeMonitor, options: Sequence[Option]) -> None:
    """Let the loop run the lines of a transcript, and of `-c`, when it turns.

    Raises:
        QemuError: the transcript can't be read.
    """
    from hmp.frontend.script import Line, Script

    lines = []
    path = _value(options, "replay")
    if path is not None:
        from hmp.transcript import read_transcript

        is_checked = any(option.name == "check" for option in options)
        for text, answer in read_transcript(path)[1]:
            lines.append(Line(text, answer if is_checked else None))
    lines += [Line(option.value) for option in options if option.name == "c"]
    as_json = any(option.name == "json" for option in options)
    Script(machine, make_monitor, lines, as_json=as_json)


def _value(options: Sequence[Option], name: str) -> str | None:
    return next((option.value for option in reversed(options) if option.name == name), None)
