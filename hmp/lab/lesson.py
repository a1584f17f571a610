"""`%lesson`: a lesson with its own disks, its goals, and a question to predict."""

from __future__ import annotations

from blockdev.errors import QemuError
from hmp.lab.course import Course
from hmp.lab.curriculum import find_lesson, lesson_files, read_lesson
from hmp.lab.notebook import notebook_of
from hmp.lab.wording import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hmp.command import Completion
    from hmp.lab.goals import Verdict
    from hmp.monitor import Monitor
    from machine.machine import Machine


def lesson(monitor: Monitor, *, action: str | None, argument: str | None) -> None:
    course = notebook_of(monitor).course
    if action is None and course is None:
        _list(monitor)
    elif action in _ACTIONS or action is None:
        if course is None:
            raise QemuError("No lesson goes on; %lesson 1 begins the first")
        _ACTIONS[action or "text"](monitor, course, argument)
    else:
        _begin(monitor, action, argument or "")


def complete_lesson(_machine: Machine, words: Sequence[str]) -> Completion:
    """Numbers of lessons, and what can be done in one."""
    from hmp.command import Completion

    if len(words) == 1:
        numbers = [str(number) for number, _ in lesson_files()]
        return Completion.of(words[-1], [*numbers, *_ACTIONS])
    if len(words) == 2 and words[0] == "predict":
        return Completion.of(words[-1], "abc")
    return Completion()


def _list(monitor: Monitor) -> None:
    for number, name in lesson_files():
        monitor.print_line(f"{number:4}  {read_lesson(number, name).title}")
    monitor.print_line("Begin one with its number: %lesson 1")


def _begin(monitor: Monitor, word: str, folder: str) -> None:
    notebook = notebook_of(monitor)
    wanted = find_lesson(word)
    if notebook.course is not None:
        _end(monitor, notebook.course, None)
    course = notebook.course = Course(monitor.machine, wanted, folder)
    monitor.when_done = lambda: _look(monitor, course)
    course.met = [verdict.is_met for verdict in course.judge()]
    _tell(monitor, course, None)


# --- what can be done in a lesson


def _tell(monitor: Monitor, course: Course, _argument: str | None) -> None:
    lesson = course.lesson
    monitor.print_line(f"Lesson {lesson.number}: {lesson.title}  (`%lesson hint` helps)")
    _print_text(monitor, course, lesson.text)
    drives = [f"{disk.name} ({disk.file or 'empty'})" for disk in lesson.disks if disk.name]
    where = f"{', '.join(drives)}, in {course.folder}"
    _print_text(monitor, course, f"Disks until `%lesson end`: {where}")
    _check(monitor, course, None)
    if not course.prediction:
        prediction = lesson.prediction
        how = f"Predict, `%lesson predict {prediction.letters[0]}`"
        _print_text(monitor, course, f"{how}: {prediction.question}")
        for letter, choice in zip(prediction.letters, prediction.choices, strict=True):
            monitor.print_line(f"  {letter}) {choice}")


def _check(monitor: Monitor, course: Course, _argument: str | None) -> None:
    for verdict in course.judge():
        monitor.print_line(f"  [{'x' if verdict.is_met else ' '}] {verdict.goal.says}")


def _hint(monitor: Monitor, course: Course, _argument: str | None) -> None:
    hints = course.lesson.hints
    index = min(course.hints_given, len(hints) - 1)
    course.hints_given = index + 1
    left = len(hints) - course.hints_given
    more = f" ({left} more)" if left else ""
    _print_text(monitor, course, f"{hints[index]}{more}")
    for verdict in course.judge():
        if not verdict.is_met:
            monitor.print_line(f"  So far {verdict.fault}.")


def _predict(monitor: Monitor, course: Course, argument: str | None) -> None:
    letters = course.lesson.prediction.letters
    letter = (argument or "").lower()
    if len(letter) != 1 or letter not in letters:
        raise QemuError(f"The answers are {', '.join(letters)}")
    course.prediction = letter
    monitor.print_line("Noted. Now try it.")
    if all(course.met):
        _tell_answer(monitor, course)


def _end(monitor: Monitor, course: Course, _argument: str | None) -> None:
    notebook_of(monitor).course = None
    monitor.when_done = None
    course.end()
    monitor.print_line("The lesson's disks are out of the machine; its own are in again.")


_ACTIONS: dict[str, Callable[[Monitor, Course, str | None], None]] = {
    "text": _tell,
    "check": _check,
    "hint": _hint,
    "predict": _predict,
    "end": _end,
}


# --- after each command


def _look(monitor: Monitor, course: Course) -> None:
    """Tell of goals that the last command met."""
    try:
        verdicts = course.judge()
    except QemuError:
        return  # the machine can't write now; the command has said so
    for line in _news(course, verdicts):
        monitor.print_line(line)
    was_solved = all(course.met)
    course.met = [verdict.is_met for verdict in verdicts]
    if all(course.met) and not was_solved:
        number = course.lesson.number
        monitor.print_line(f"Lesson {number} is solved.")
        _tell_answer(monitor, course)
        if number < len(lesson_files()):
            monitor.print_line(f"The next one: `%lesson {number + 1}`.")


def _news(course: Course, verdicts: Sequence[Verdict]) -> Iterator[str]:
    for was_met, verdict in zip(course.met, verdicts, strict=True):
        if verdict.is_met != was_met:
            yield f"  [{'x' if verdict.is_met else ' '}] {verdict.goal.says}"


def _tell_answer(monitor: Monitor, course: Course) -> None:
    prediction = course.lesson.prediction
    said = course.prediction
    if not said:
        text = f"The answer was {prediction.answer}: {prediction.because}"
    elif said == prediction.answer:
        text = f"You predicted {said}, and so it is: {prediction.because}"
    else:
        text = f"You predicted {said}, but it is {prediction.answer}: {prediction.because}"
    _print_text(monitor, course, text)


def _print_text(monitor: Monitor, course: Course, text: str) -> None:
    """A text whose paragraphs are parted by blank lines, which aren't shown."""
    for paragraph in text.strip().split("\n\n"):
        for line in wrapped(" ".join(paragraph.split())):
            monitor.print_line(line.replace("{folder}", course.folder))
