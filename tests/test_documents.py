"""What the documents say of the program is there."""

import re
from pathlib import Path

import pytest

from hmp.commands import COMMANDS
from hmp.lab import LAB
from hmp.lab.curriculum import lesson_files

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


def by_name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_the_files_that_are_named_are_there(document: Path) -> None:
    text = document.read_text()
    for name in re.findall(r"`((?:hmp|machine|blockdev|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (document.parent / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_the_names_are_in_the_files_they_are_said_to_be_in(document: Path) -> None:
    text = " ".join(document.read_text().split())
    for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", text):
        code = (ROOT / path).read_text()
        assert re.search(rf"^ *(?:def|class) {name}\b", code, re.MULTILINE), (name, path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_the_words_of_the_lab_exist(document: Path) -> None:
    names = {row.name for row in LAB}
    for word in re.findall(r"`(%\w+)", document.read_text()):
        assert word in names, word


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_lessons_are_called_by_numbers_that_there_are(document: Path) -> None:
    numbers = {str(number) for number, _ in lesson_files()}
    for number in re.findall(r"%lesson (\d+)", document.read_text()):
        assert number in numbers


def test_each_word_of_the_lab_has_help_and_takes_what_its_row_says() -> None:
    for row in LAB:
        assert row.help
        assert row.help_line().startswith(f"{row.name} ")
        assert len(row.help_line()) < 80
        assert COMMANDS.find(row.name) is None
        assert row.parameters is not None
