"""`hmp --lab --check LESSON [--json] [FOLDER]`: what a folder's images say of a lesson."""

from __future__ import annotations

from hmp.lab.curriculum import find_lesson
from hmp.lab.goals import judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def grade(word: str, folder: str, *, as_json: bool, tell: Callable[[str], object]) -> int:
    """Judge a folder; the exit status, 0 for a lesson that is solved.

    Raises:
        QemuError: there is no such lesson.
    """
    lesson = find_lesson(word)
    verdicts = judge(folder, lesson.goals)
    is_solved = all(verdict.is_met for verdict in verdicts)
    if as_json:
        import json

        report = {
            "lesson": lesson.number,
            "name": lesson.name,
            "folder": folder,
            "solved": is_solved,
            "goals": [
                {"goal": verdict.goal.says, "met": verdict.is_met, "fault": verdict.fault}
                for verdict in verdicts
            ],
        }
        tell(json.dumps(report, indent=4))
    else:
        tell(f"Lesson {lesson.number}: {lesson.title}")
        for verdict in verdicts:
            fault = f": {verdict.fault}" if verdict.fault else ""
            tell(f"  [{'x' if verdict.is_met else ' '}] {verdict.goal.says}{fault}")
    return 0 if is_solved else 1
