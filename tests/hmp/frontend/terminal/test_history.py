import asyncio
import os
from pathlib import Path

import pytest

from hmp.frontend.terminal.history import LineHistory, default_path


class Kept:
    """A history in a file, and what it complained of."""

    def __init__(self, path: Path, limit: int = 5) -> None:
        self.complaints: list[str] = []
        self.history = LineHistory(str(path), limit, self.complaints.append)

    def lines(self) -> list[str]:
        async def load() -> list[str]:
            return [line async for line in self.history.load()]

        return asyncio.run(load())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "hmp" / "history"


def test_lines_are_kept_for_the_next_time(path: Path) -> None:
    first = Kept(path)
    assert first.lines() == []
    for line in ("one", "two", "two", "  two ", "", "  ", "one", "três\udcff"):
        first.history.append_string(line)
    again = Kept(path)
    assert again.lines() == ["três\udcff", "one", "two", "one"]
    again.history.append_string("três\udcff")
    assert path.read_bytes() == "one\ntwo\none\ntrês\udcff\n".encode("utf-8", "surrogateescape")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert first.complaints == again.complaints == []


def test_a_line_is_one_line(path: Path) -> None:
    kept = Kept(path)
    kept.history.append_string("a\nb")
    assert not path.exists()


def test_programs_at_once_lose_nothing(path: Path) -> None:
    kept = [Kept(path, 1000) for _ in range(3)]
    for number in range(60):
        kept[number % 3].history.append_string(f"line {number}")
    assert Kept(path, 1000).lines() == [f"line {number}" for number in reversed(range(60))]


def test_an_old_file_is_cut(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{number}\n" for number in range(11)))
    kept = Kept(path, 5)
    assert kept.lines() == ["10", "9", "8", "7", "6"]
    assert path.read_text() == "6\n7\n8\n9\n10\n"
    assert os.listdir(path.parent) == ["history"]


def test_the_end_of_a_huge_file_is_what_counts(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(40 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    assert Kept(path).lines()[0] == "last"


@pytest.mark.parametrize("kind", ["folder", "pipe", "no folder", "full disk"])
def test_a_history_that_can_not_be_kept_is_told_once(path: Path, kind: str) -> None:
    if kind == "no folder":
        path.parent.parent.write_text("")
    else:
        path.parent.mkdir(parents=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "full disk":
        path.symlink_to("/dev/full")
    kept = Kept(path)
    kept.lines()
    for line in ("one", "two"):
        kept.history.append_string(line)
    assert len(kept.complaints) == 1
    assert kept.complaints[0].startswith("The history isn't kept: could not use ")
    assert kept.history.get_strings()[-2:] == ["one", "two"], "it works until the end"


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == f"{tmp_path}/hmp/history"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_path() == "/home/me/.local/state/hmp/history"
