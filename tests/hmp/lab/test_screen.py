"""The guest's screen as text, and a guest that replays from the command line."""

import subprocess
from pathlib import Path

import pytest

from tests.session import Session

LAB = "--lab --ui plain -nodefaults -display none -m 16".split()
PC = ("-M", "isapc", "-vga", "std", "-drive", "if=none,id=d0,file=d.qcow2")
GUEST = ("-device", "hmp-guest,disk=d0,pages-rate=500", "-rtc", "base=2006-06-17T16:01:21,clock=vm")


def test_the_screen_is_shown_as_text(hmp: str, qemu_img: str, tmp_path: Path) -> None:
    subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "1M"], cwd=tmp_path)
    session = Session([hmp, *LAB, "--deterministic", *PC, *GUEST], tmp_path)
    assert session("%run 3.01") == ""
    assert session("sendkey shift-h") == ""
    assert session("sendkey i") == ""
    assert session("%run 0.5") == ""
    shown = session("%screen").splitlines()
    assert shown[0].strip() == "hmp's scripted guest"
    assert shown[2].split() == ["Seconds", "3"]
    assert shown[3].split() == ["Date", "2006-06-17", "16:01:24"]
    assert shown[-1] == "Hi"
    assert session.quit() == 0


def test_without_text_there_is_nothing_to_show(hmp: str, tmp_path: Path) -> None:
    session = Session([hmp, *LAB, "-M", "none"], tmp_path)
    assert session("%screen") == "Error: This machine has no display\n"
    assert session.quit() == 0
    session = Session([hmp, *LAB, "-M", "isapc", "-vga", "std", "-S"], tmp_path)
    assert session("%screen") == "Error: The guest shows no text; it does when it runs\n"
    assert session.quit() == 0


@pytest.mark.parametrize("board", ["isapc", "pc"])
def test_the_same_lines_make_the_same_files(
    board: str, hmp: str, qemu_img: str, tmp_path: Path
) -> None:
    """A disk with a snapshot, so the stream in it and its date too, and the screen as a picture."""
    files = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        subprocess.run([qemu_img, "create", "-q", "-f", "qcow2", "d.qcow2", "8M"], cwd=folder)
        session = Session([hmp, *LAB, "--deterministic", *PC, *GUEST, "-M", board], folder)
        for line in (
            "%run 2",
            "sendkey f2",
            "sendkey f2",
            "%run 1.5",
            "savevm a",
            "sendkey x",
            "%run 2.25",
            "screendump first.ppm",
            "savevm b",
            "loadvm a",
            "sendkey x",
            "%run 2.25",
            "screendump second.ppm",
        ):
            assert session(line) == ""
        assert session.quit() == 0
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]
    assert files[0]["first.ppm"] == files[0]["second.ppm"]
