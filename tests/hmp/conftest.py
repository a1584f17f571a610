from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmp.trial import RealSession, Session, TriedMachine


def _build(board: str, ram_size: int) -> Iterator[TriedMachine]:
    machine = TriedMachine(board, ram_size)
    yield machine
    machine.close()
    assert machine.exceptions == []


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lines that write files do so."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def machine(own_folder: None) -> Iterator[TriedMachine]:
    """A machine with nothing in it."""
    yield from _build("none", 0)


@pytest.fixture
def pc(own_folder: None) -> Iterator[TriedMachine]:
    """A PC with 16 MiB."""
    yield from _build("pc", 16 << 20)


@pytest.fixture
def ask(machine: TriedMachine) -> Session:
    return Session(machine)


@pytest.fixture
def ask_pc(pc: TriedMachine) -> Session:
    return Session(pc)


@pytest.fixture
def real(qemu: str, tmp_path: Path) -> Iterator[RealSession]:
    """QEMU's own monitor of a machine with nothing in it."""
    session = RealSession(qemu, ["-M", "none"], str(tmp_path))
    yield session
    session.close()
