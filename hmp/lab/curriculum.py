"""The lessons: each a file in `lessons/`, whose tables are described by the classes here."""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.lab.goals import Goal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOLDER = os.path.join(os.path.dirname(__file__), "lessons")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class LessonDisk:
    """A disk that a lesson is about: ``[[disks]]``.

    Attributes:
        name: the drive's id; "" for a file that is in no drive.
        file: its name; "" for a drive that is empty.
        format: ``qcow2`` or ``raw``.
        size: bytes.
        backing: the file that stands under it; "" for none.
        snapshot: the drive is opened with ``snapshot=on``.
        writes: what the disk has from the beginning: offset, bytes, and the byte they all are.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.name: str = table.get("name", "")
        self.file: str = table.get("file", "")
        self.format: str = table.get("format", "qcow2")
        self.size = read_bytes(table.get("size", "64M"))
        self.backing: str = table.get("backing", "")
        self.snapshot: bool = table.get("snapshot", False)
        self.writes: list[tuple[int, int, int]] = [
            (read_bytes(offset), read_bytes(size), byte)
            for offset, size, byte in table.get("writes", [])
        ]


class Preparation:
    """What is done before the learner begins: ``[[prepare]]``.

    Attributes:
        drives: the ids of the drives that the machine has then; None for all.
        ram_size: bytes of memory of another machine that does it; 0 for the machine itself.
        lines: what is typed.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.drives: list[str] | None = table.get("drives")
        self.ram_size = read_bytes(table.get("ram", 0))
        self.lines: list[str] = table["lines"]


class Prediction:
    """A question to be answered before it is tried: ``[prediction]``.

    Attributes:
        choices: the answers, in order; they are called a, b, c.
        answer: which of them is right, by its letter.
        because: why.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.question: str = table["question"]
        self.choices: list[str] = table["choices"]
        self.answer: str = table["answer"]
        self.because: str = table["because"]

    @property
    def letters(self) -> str:
        return "abcdef"[: len(self.choices)]


class Lesson:
    """One lesson.

    Attributes:
        number, name: from the file's name, such as ``01-save-and-load.toml``.
        title: a few words.
        text: what is to be learnt and done; ``{folder}`` stands for where the files are.
        goals: what is to be so at the end.
        hints: one after the other, each saying more.
    """

    def __init__(self, number: int, name: str, table: dict[str, Any]) -> None:
        self.number = number
        self.name = name
        self.title: str = table["title"]
        self.text: str = table["text"]
        self.disks = [LessonDisk(each) for each in table["disks"]]
        self.preparations = [Preparation(each) for each in table.get("prepare", [])]
        self.goals = [Goal(each) for each in table["goals"]]
        self.hints: list[str] = table["hints"]
        self.prediction = Prediction(table["prediction"])


def read_bytes(value: int | str) -> int:
    """A number of bytes, as a number or with a unit: ``64K``."""
    if isinstance(value, int):
        return value
    return int(value[:-1]) * _UNITS[value[-1]]


def lesson_files() -> list[tuple[int, str]]:
    """Number and name of each lesson, in order."""
    names = sorted(name for name in os.listdir(_FOLDER) if name.endswith(".toml"))
    parts = [name.removesuffix(".toml").partition("-") for name in names]
    return [(int(number), name) for number, _, name in parts]


def find_lesson(word: str) -> Lesson:
    """The lesson of a number or name.

    Raises:
        QemuError: there is none.
    """
    for number, name in lesson_files():
        if word in (str(number), name):
            return read_lesson(number, name)
    raise QemuError(f"There is no lesson '{word}'; %lesson lists them")


def read_lesson(number: int, name: str) -> Lesson:
    """Read a lesson's file."""
    import tomllib

    with open(os.path.join(_FOLDER, f"{number:02}-{name}.toml"), "rb") as file:
        return Lesson(number, name, tomllib.load(file))
