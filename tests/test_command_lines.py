"""QEMU's command line: what each option takes and refuses, beside the real program."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ALWAYS = ["-nodefaults", "-display", "none", "-monitor", "stdio"]
PC = ["-M", "pc", "-accel", "tcg", "-m", "16", "-S"]
HALVES = [f"memory-backend-ram,size=8M,id={name}" for name in ("m0", "m1")]
SHORT = {
    "NONE": ["-M", "none"],
    "PC": PC,
    "MEMORY": [*PC, *(word for half in HALVES for word in ("-object", half))],
}
LINES = [
    line
    for line in (Path(__file__).parent / "command_lines.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command-lines")
    for name, size in {
        "empty": 0,
        "disk.img": 1 << 20,
        "bios.bin": 64 << 10,
        "odd.bin": 70000,
    }.items():
        (path / name).write_bytes(bytes(size))
    (path / "good.cfg").write_text(
        '# options\n[drive "d0"]\n  if = "none"\n  file = "disk.img"\n  format = "raw"\n'
        '[name]\n  guest = "box"\n'
    )
    return path


def outcome(program: str, arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """What becomes of a program: its exit status, and what it wrote, without its own name."""
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        input=b"info status\ninfo numa\nquit\n",
        capture_output=True,
        timeout=30,
        check=False,
    )
    name = Path(program).name
    texts = (text.decode().replace(f"{name}:", "PROGRAM:") for text in (done.stdout, done.stderr))
    stdout, stderr = (re.sub(r"QEMU [\d.]+ monitor", "QEMU monitor", text) for text in texts)
    return done.returncode, stdout, stderr


@pytest.mark.parametrize("line", LINES)
def test_an_option_means_what_it_means_to_qemu(
    line: str, hmp: str, qemu: str, folder: Path
) -> None:
    short, *words = shlex.split(line)
    arguments = [*SHORT[short], *ALWAYS, *words]
    assert outcome(hmp, arguments, folder) == outcome(qemu, arguments, folder)
