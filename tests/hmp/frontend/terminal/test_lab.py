"""A learner at a terminal: lessons without leaving the program, and colours of what they show."""

from tests.hmp.frontend.terminal.conftest import Start


def test_a_lesson_from_its_text_to_its_end(start: Start, size: tuple[int, int]) -> None:
    terminal = start(size=size)
    terminal.wait_for("%lesson teaches")
    terminal.run("%lesson 3")
    assert "Predict, `%lesson predict a`" in terminal.text()
    terminal.run("%lesson predict b")
    terminal.run("savevm both")
    terminal.wait_style("[x] both is on disk1", fg="brightgreen")
    terminal.run("eject disk0")
    terminal.run("savevm alone")
    terminal.wait_for("Lesson 3 is solved.")
    terminal.wait_for("You predicted b, and so it is")
    terminal.run("%map disk1")
    terminal.wait_style("TVLS", fg="brightcyan")
    terminal.wait_style("VLS", fg="brightmagenta")
    terminal.run("%lesson end")
    terminal.run("info block")
    terminal.wait_for("disk0.qcow2")


def test_the_menu_offers_lessons_by_title(start: Start) -> None:
    terminal = start()
    terminal.type("%lesson ")
    terminal.wait_for("Save and load")
