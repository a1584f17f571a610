"""What is asked before a command, on a machine with two disks."""

from pathlib import Path

import pytest

from blockdev.qcow2.create import create_image
from hmp.frontend.confirm import question_before
from hmp.reading import read_line
from hmp.settings import Settings
from tests.hmp.trial import Session, TriedMachine


@pytest.fixture
def session(machine: TriedMachine, tmp_path: Path) -> Session:
    for name in ("d0", "d1"):
        create_image(f"{tmp_path}/{name}", 1 << 20)
        options = {"if": "none", "id": name, "file": f"{tmp_path}/{name}"}
        machine.drives.add(options, text="-drive", snapshot=False)
    session = Session(machine)
    assert session("savevm both") == ""
    assert session("snapshot_blkdev_internal d1 single") == ""
    return session


@pytest.mark.parametrize(
    ("line", "setting", "question"),
    [
        ("delvm both", "confirm.delete", "Delete snapshot 'both' on d0, d1?"),
        ("  delvm  single ", "confirm.delete", "Delete snapshot 'single' on d1?"),
        ('delvm "both"', "confirm.delete", "Delete snapshot 'both' on d0, d1?"),
        ("savevm both", "confirm.overwrite", "Replace snapshot 'both' on d0, d1?"),
        ("delvm none", "confirm.delete", ""),
        ("delvm 1", "confirm.delete", ""),  # an ID is no tag
        ("delvm", "confirm.delete", ""),
        ("delvm both x", "confirm.delete", ""),
        ("savevm", "confirm.overwrite", ""),
        ("savevm new", "confirm.overwrite", ""),
        ("loadvm both", "confirm.overwrite", ""),
        ("quit", "confirm.quit", ""),
        ("bogus", "confirm.quit", ""),
        ("", "confirm.quit", ""),
    ],
)
def test_the_question(session: Session, line: str, setting: str, question: str) -> None:
    machine, settings = session.machine, Settings()
    assert question_before(machine, read_line(session.monitor, line), settings) == question
    settings.set(setting, False)
    assert question_before(machine, read_line(session.monitor, line), settings) == ""


@pytest.mark.parametrize("line", ["quit", "q"])
def test_a_running_job_is_asked_about(
    session: Session, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    machine = session.machine
    monkeypatch.setattr(machine, "job_names", lambda: ["migration"])
    reading = read_line(session.monitor, line)
    question = question_before(machine, reading, Settings())
    assert question == "Quit while migration is running?"
