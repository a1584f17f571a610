"""Each lesson can be solved, and isn't by what misses its point."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockdev.qcow2.create import create_image
from hmp.commands import COMMANDS
from hmp.lab import COMMANDS_WITH_LAB
from hmp.lab.course import Course
from hmp.lab.curriculum import Lesson, lesson_files, read_lesson
from hmp.lab.goals import Goal, judge
from hmp.lab.notebook import notebook_of
from hmp.monitor import Monitor
from machine.clock import VirtualClock
from machine.memory import PAGE_SIZE
from tests.hmp.trial import TriedMachine

WRITE_22 = 'qemu-io disk0 "write -q -P 0x22 1M 64k"'
RUN = "@run"  # the machine runs for two seconds, in which its guest counts

# For each lesson what solves it, and what doesn't though it looks alike.
STORIES: dict[str, tuple[list[str], list[str]]] = {
    "save-and-load": (
        ["savevm first", WRITE_22, "savevm second", "loadvm first"],
        ["savevm first", "savevm second", WRITE_22, "loadvm first"],
    ),
    "what-is-in-it": (
        ["savevm before", RUN, "savevm after"],
        ["savevm before", "stop", RUN, "savevm after"],
    ),
    "who-holds-the-state": (
        ["savevm both", "eject disk0", "savevm alone"],
        ["savevm both", "savevm alone"],
    ),
    "same-tag-twice": (
        ["savevm x", "savevm y", WRITE_22, "savevm x"],
        ["savevm x", "savevm y", WRITE_22, "delvm x", "savevm z"],
    ),
    "id-or-tag": (
        ["loadvm 2", "delvm 2"],
        ["delvm 2", "loadvm 2"],
    ),
    "partial": (
        ["snapshot_blkdev_internal disk1 left", "loadvm left"],
        ["loadvm left"],
    ),
    "raw-and-read-only": (
        ["savevm mixed", "change disk1 {folder}/disk1.raw raw read-only", "savevm mixed"],
        ["savevm mixed"],
    ),
    "snapshot-is-not-a-snapshot": (
        [
            *(WRITE_22, "savevm kept", "eject disk0", "change disk0 {folder}/disk0.qcow2"),
            *(WRITE_22, "savevm kept"),
        ],
        [WRITE_22, "savevm kept"],
    ),
    "internal-or-external": (
        ["savevm inside", "snapshot_blkdev disk0 {folder}/top.qcow2", WRITE_22],
        ["savevm inside", WRITE_22, "snapshot_blkdev disk0 {folder}/top.qcow2"],
    ),
    "changed-machine": (
        ["loadvm old", "cont", "savevm new"],
        ["savevm new", "loadvm old"],
    ),
    "delete-and-space": (
        [
            *("savevm a", 'qemu-io disk0 "write -q -P 0x22 1M 4M"', "savevm b", "delvm a"),
            'qemu-io disk0 "write -q -P 0x33 8M 4M"',
        ],
        [
            *("savevm a", 'qemu-io disk0 "write -q -P 0x22 1M 4M"', "savevm b"),
            *('qemu-io disk0 "write -q -P 0x33 8M 4M"', "delvm a"),
        ],
    ),
    "locks": (
        [
            *("change disk0 {folder}/right.qcow2", "eject disk0", "eject disk1"),
            *("change disk0 {folder}/right.qcow2", "change disk1 {folder}/left.qcow2"),
            "savevm swapped",
        ],
        ["change disk0 {folder}/right.qcow2", "savevm swapped"],
    ),
    "clock": (
        ["savevm early", RUN, "savevm late", "loadvm early", "savevm again"],
        ["savevm early", RUN, "savevm late", "savevm again"],
    ),
}
LESSONS = [read_lesson(number, name) for number, name in lesson_files()]


class School:
    """A machine with a disk of its own, and a monitor on which lessons are done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lesson"
        self.own = folder / "own.qcow2"
        create_image(str(self.own), 1 << 20)
        self.machine = TriedMachine("none", 16 << 20)
        self.machine.clock = VirtualClock(manual=True)
        self.machine.drives.add({"if": "none", "id": "disk0", "file": str(self.own)})
        self.machine.cont()
        self.said: list[str] = []
        self.monitor = Monitor(self.machine, self.said.append, COMMANDS_WITH_LAB)

    def begin(self, lesson: Lesson) -> str:
        return self(f"%lesson {lesson.number} {self.folder}")

    def __call__(self, line: str) -> str:
        self.said.clear()
        if line == RUN:
            self.machine.clock.advance(2_000_000_000)
            if self.machine.is_running:
                self.machine.memory.write(PAGE_SIZE, b"counted")
        else:
            for _ in self.monitor.execute(line.replace("{folder}", str(self.folder))):
                pass
        assert self.machine.exceptions == []
        return "".join(self.said)

    @property
    def course(self) -> Course:
        course = notebook_of(self.monitor).course
        assert course is not None
        return course


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    school = School(tmp_path)
    yield school
    school.machine.close()


def by_name(lesson: Lesson) -> str:
    return lesson.name


def test_there_is_a_story_for_each() -> None:
    assert [lesson.name for lesson in LESSONS] == list(STORIES)
    assert [lesson.number for lesson in LESSONS] == list(range(1, len(LESSONS) + 1))
    assert len(LESSONS) >= 12


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_it_can_be_solved(lesson: Lesson, school: School) -> None:
    text = school.begin(lesson)
    assert text.startswith(f"Lesson {lesson.number}: {lesson.title}  (")
    told = [school(line) for line in STORIES[lesson.name][0]]
    assert "is solved." in told[-1]
    assert not any("is solved." in each for each in told[:-1])
    assert lesson.prediction.because.split()[0] in told[-1]
    assert all(verdict.is_met for verdict in judge(str(school.folder), lesson.goals))


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_it_is_not_solved_by_what_misses_the_point(lesson: Lesson, school: School) -> None:
    school.begin(lesson)
    for line in STORIES[lesson.name][1]:
        assert "is solved." not in school(line)
    verdicts = judge(str(school.folder), lesson.goals)
    assert not all(verdict.is_met for verdict in verdicts)
    assert "So far " in school("%lesson hint")


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_its_words_fit_a_screen(lesson: Lesson, school: School) -> None:
    lines = school.begin(lesson).splitlines()
    assert len(lines) <= 22
    assert max(len(line.replace(str(school.folder), "/tmp/x")) for line in lines) < 80
    for each in range(len(lesson.hints)):
        assert lesson.hints[each].split()[0] in school("%lesson hint")


@pytest.mark.parametrize("lesson", LESSONS, ids=by_name)
def test_only_real_commands_are_named(lesson: Lesson) -> None:
    for text in (lesson.text, *lesson.hints):
        for piece in text.split("`")[1::2]:
            word = piece.split()[0]
            if " " in piece or word.startswith("%"):
                assert COMMANDS_WITH_LAB.find(word) or COMMANDS.find(word), piece
    prediction = lesson.prediction
    assert prediction.answer in prediction.letters
    assert lesson.hints


def test_the_machine_gets_its_own_disks_back(school: School) -> None:
    school("savevm mine")
    before = [node.node_name for node in school.machine.graph.nodes.values()]
    assert "own.qcow2" not in school("%lesson 3")
    assert "own.qcow2" not in school("info block")
    school("savevm both")
    school("%lesson end")
    assert "own.qcow2" in school("info block")
    assert [node.node_name for node in school.machine.graph.nodes.values()] == before
    assert "mine" in school("info snapshots")
    assert "both" not in school("info snapshots")
    assert school("%lesson hint").startswith("Error: No lesson goes on")


def test_a_machine_does_one_lesson_at_a_time(school: School, tmp_path: Path) -> None:
    school.begin(LESSONS[2])
    said: list[str] = []
    other = Monitor(school.machine, said.append, COMMANDS_WITH_LAB)
    list(other.execute(f"%lesson 1 {tmp_path}/other"))
    assert said == ["Error: The machine's drives are set aside already\n"]
    assert "disk1" in school("info block")
    school("%lesson end")
    assert "own.qcow2" in school("info block")


def test_one_lesson_follows_the_other(school: School) -> None:
    school("%lesson 1")
    first = school.course.folder
    school("%lesson 2")
    assert not Path(first).exists(), "a folder of the program's own goes with the lesson"
    assert "disk0" in school("info block")
    assert school("%lesson").startswith("Lesson 2: ")


def test_no_file_is_written_over(school: School) -> None:
    school.folder.mkdir()
    (school.folder / "disk1.qcow2").write_text("precious")
    assert "disk1.qcow2' is there already" in school.begin(LESSONS[2])
    assert (school.folder / "disk1.qcow2").read_text() == "precious"
    assert not (school.folder / "disk0.qcow2").exists()
    assert "own.qcow2" in school("info block")
    assert notebook_of(school.monitor).course is None


def test_what_was_predicted_is_told_apart(school: School) -> None:
    school.begin(LESSONS[8])
    assert school("%lesson predict z").startswith("Error: The answers are a, b, c")
    assert school("%lesson predict a") == "Noted. Now try it.\n"
    assert "Predict, " not in school("%lesson text")
    for line in STORIES["internal-or-external"][0]:
        told = school(line)
    assert "You predicted a, but it is b: " in told


def test_news_come_as_goals_are_met_and_lost(school: School) -> None:
    school("%lesson 4")
    assert school("savevm y") == "  [x] y has 0x11 there\n"
    assert school("info status") == "VM status: running\n"
    assert "[ ] y has 0x11 there" in school("delvm y")


def test_words_that_are_none_are_refused(school: School) -> None:
    assert "There is no lesson '99'" in school("%lesson 99")
    assert "There is no lesson 'hint'" not in school("%lesson hint")
    assert "   1  Save and load" in school("%lesson").splitlines()[0]


def test_a_goal_on_a_missing_file_is_not_met(tmp_path: Path) -> None:
    for lesson in LESSONS:
        verdicts = judge(str(tmp_path), lesson.goals)
        assert not any(verdict.is_met for verdict in verdicts)


def test_a_goal_on_a_damaged_file_is_not_met(tmp_path: Path) -> None:
    (tmp_path / "disk0.qcow2").write_bytes(b"QFI\xfb" + bytes(100))
    goal = Goal({"says": "it", "kind": "count", "image": "disk0.qcow2", "count": 0})
    assert judge(str(tmp_path), [goal])[0].fault


# --- for graders


def check(hmp: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([hmp, "--lab", *words], cwd=folder, capture_output=True, text=True)


def test_a_grader_gets_an_exit_status_and_json(hmp: str, school: School) -> None:
    school.begin(LESSONS[0])
    done = check(hmp, school.folder, "--check", "1", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["lesson"], report["name"], report["solved"]) == (1, "save-and-load", False)
    assert [goal["met"] for goal in report["goals"]] == [False] * 3
    assert report["goals"][0]["fault"] == "disk0.qcow2 has no snapshot 'first'"
    for line in STORIES["save-and-load"][0]:
        school(line)
    done = check(hmp, school.folder.parent, "--check", "save-and-load", "--json", "lesson")
    assert done.returncode == 0
    assert json.loads(done.stdout)["solved"] is True
    done = check(hmp, school.folder, "--check", "1")
    assert done.returncode == 0
    assert done.stdout.count("[x]") == 3


def test_a_grader_is_told_what_cannot_be_checked(hmp: str, tmp_path: Path) -> None:
    done = check(hmp, tmp_path, "--check", "99")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hmp: There is no lesson '99'; %lesson lists them\n"
