r"""Transcripts: what was typed at the monitors and what they answered, kept in a file.

A file of JSON documents, one a line.  The first has the program's arguments, each other one a
line with its answer: ``{"line": "info status", "answer": "VM status: running\\n"}``.
"""

from __future__ import annotations

import json

from blockdev.errors import QemuError
from hmp.monitor import Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_LIMIT = 64 << 20  # bytes of a transcript that are read


class Transcript:
    """A transcript that is being written; each line is in the file once it was answered.

    Args:
        path: the file, which is made anew.
        arguments: the program's, without those that are about transcripts.

    Raises:
        QemuError: the file can't be written.
    """

    def __init__(self, path: str, arguments: Sequence[str]) -> None:
        self._path = path
        try:
            self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115  open to the end
        except OSError as error:
            raise QemuError(f"--record {path}: {error.strerror}") from error
        self._add({"arguments": list(arguments)})

    def monitor(self, *arguments: Any) -> Monitor:
        """A monitor, made from `Monitor`'s arguments, of which a transcript is kept."""
        return RecordedMonitor(self, *arguments)

    def add(self, line: str, answer: str) -> None:
        """A line was answered.

        Raises:
            QemuError: the file can't be written.
        """
        self._add({"line": line, "answer": answer})

    def _add(self, entry: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        except OSError as error:
            raise QemuError(f"--record {self._path}: {error.strerror}") from error


class RecordedMonitor(Monitor):
    """A monitor whose lines and answers are kept."""

    def __init__(self, transcript: Transcript, *arguments: Any) -> None:
        machine, write, *rest = arguments
        self._transcript = transcript
        self._answer: list[str] = []

        def tee(text: str) -> None:
            self._answer.append(text)
            write(text)

        super().__init__(machine, tee, *rest)

    def execute(self, line: str) -> Iterator[object]:
        self._answer.clear()
        yield from super().execute(line)
        self._transcript.add(line, "".join(self._answer))


def read_transcript(path: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The arguments, and the lines with their answers.

    Raises:
        QemuError: the file can't be read, or is no transcript.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_LIMIT + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a transcript"
        raise QemuError(f"--replay {path}: {reason}") from error
    if len(text) > _LIMIT:
        raise QemuError(f"--replay {path}: the file is too large")
    try:
        head, *entries = (json.loads(line) for line in text.splitlines())
        arguments = [str(each) for each in head["arguments"]]
        return arguments, [(str(each["line"]), str(each["answer"])) for each in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise QemuError(f"--replay {path}: not a transcript") from error
