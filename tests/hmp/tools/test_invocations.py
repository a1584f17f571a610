"""hmp-img and hmp-io beside the real programs: output, errors and exit status, line by line."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(__file__).resolve().parent.parent.parent.parent / ".venv" / "bin"

# What depends on the clock, on how fast the host is, or on how its file system keeps a file.
UNEVEN = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE"),
    (r'"date-(n?sec)": \d+', r'"date-\1": N'),
    (r", 1 ops; .*", ", 1 ops"),
    (r"(?m)^(\d+,1),\d.*", r"\1"),
    (r"#block\d+", "#block"),
    (r"disk size: .*", "disk size"),
    (r'"actual-size": \d+', '"actual-size"'),
)


def groups() -> dict[str, list[str]]:
    """The lines by group; see the head of the file for what they mean."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in Path(__file__).with_name("invocations.txt").read_text().splitlines():
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


GROUPS = groups()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the real programs' names are those of ours."""
    folder = tmp_path_factory.mktemp("bin")
    for real, name in (("qemu-img", "hmp-img"), ("qemu-io", "hmp-io")):
        assert (BIN / name).exists(), "make test sets it up"
        (folder / real).symlink_to(BIN / name)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def even(text: bytes) -> str:
    shown = text.decode("utf-8", "replace")
    for pattern, replacement in UNEVEN:
        shown = re.sub(pattern, replacement, shown)
    return shown


def answers(
    line: str, folders: tuple[Path, Path], environments: tuple[dict[str, str] | None, ...]
) -> Iterator[tuple[int, str, str]]:
    """What a line says in each folder: status, output, errors; both run at the same time."""
    started = [
        subprocess.Popen(
            ["bash", "-c", line],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for folder, environment in zip(folders, environments, strict=True)
    ]
    for process in started:
        out, errors = process.communicate(timeout=60)
        yield process.returncode, even(out), even(errors)


@pytest.mark.parametrize("group", GROUPS)
def test_every_line_is_answered_as_the_real_programs_answer_it(
    group: str, ours: dict[str, str], qemu_img: str, qemu_io: str, tmp_path: Path
) -> None:
    folders = tmp_path / "real", tmp_path / "ours"
    for folder in folders:
        folder.mkdir()
    for line in GROUPS[group]:
        mark = line[0] if line[0] in "!=" else ""
        environments = (None, None) if mark else (None, ours)
        real, mine = answers(line.removeprefix(mark), folders, environments)
        assert mark == "!" or mine == real, line
