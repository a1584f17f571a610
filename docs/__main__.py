"""`make docs`: pictures of the screen, and the tutorial's exchanges, made by typing them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs.svg import render
from docs.transcripts import renewed
from tests.hmp.frontend.terminal.emulator import Terminal

HMP = Path(sys.executable).with_name("hmp")
PICTURES = Path(__file__).with_name("pictures")
TUTORIAL = Path(__file__).with_name("tutorial.md")
COLUMNS = 80


def menu(terminal: Terminal) -> None:
    """Tags to go back to, each with date and size."""
    terminal.run("savevm before-the-upgrade")
    terminal.run('qemu-io disk0 "write -q -P 0x22 0 192k"')
    terminal.run("savevm after-the-upgrade")
    terminal.run('qemu-io disk0 "write -q 1M 64k"')
    terminal.type("loadvm ")
    terminal.wait_for("KiB")
    terminal.type("\t")
    terminal.settle()


def tables(terminal: Terminal) -> None:
    """QEMU's tables, with colours; a word that it would refuse is marked."""
    terminal.run("savevm base")
    terminal.run("info block")
    terminal.run("info snapshots")
    terminal.run("loadvm nowhere")
    terminal.type("info status now")
    terminal.settle()


def progress(terminal: Terminal) -> None:
    """How far a long savevm is."""
    terminal.type("savevm big\r")
    terminal.wait_for("Ctrl-C cancels")
    terminal.wait(lambda: re.search(r" [4-6]\d%", terminal.text()) is not None)


def light(terminal: Terminal) -> None:
    """On a light ground: what another monitor does is told above the line."""
    terminal.run("savevm base")
    terminal.run("info snapshots")
    terminal.type("qemu-io disk0 re")
    terminal.wait_for("reads a number")
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(terminal.cwd / "other"))
        other.sendall(b"stop\n")
        terminal.wait_for("STOP")
    terminal.settle()


def map_(terminal: Terminal) -> None:
    """Whose each cluster is: shared with a snapshot, written since, tables, machine state."""
    terminal.run('qemu-io disk0 "write -q 0 3M"')
    terminal.run("savevm base")
    terminal.run('qemu-io disk0 "write -q 1M 1M"')
    terminal.type("%map disk0\r")
    terminal.wait_for("Deleting a snapshot would free")
    terminal.settle()


def lesson(terminal: Terminal) -> None:
    """A lesson: goals are met one by one, and what was predicted is held against what came."""
    terminal.run("%lesson 3 lesson3")
    terminal.run("%lesson predict b")
    terminal.run("savevm both")
    terminal.run("eject disk0")
    terminal.run("savevm alone")
    terminal.settle()


SCENES: dict[str, tuple[Callable[[Terminal], None], str, int, int]] = {
    # name: what is typed, theme, lines of the screen, MiB of memory that isn't empty
    "menu": (menu, "dark", 12, 0),
    "tables": (tables, "dark", 18, 0),
    "progress": (progress, "dark", 6, 1024),
    "light": (light, "light", 16, 0),
    "map": (map_, "dark", 24, 0),
    "lesson": (lesson, "dark", 37, 0),
}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, (scene, theme, lines, megabytes) in SCENES.items():
        with tempfile.TemporaryDirectory() as folder:
            screen, title = play(scene, theme, lines, megabytes, Path(folder))
        (PICTURES / f"{name}.svg").write_text(render(screen, theme=theme, title=title))
        print(f"docs/pictures/{name}.svg")
    renew_tutorial()


def renew_tutorial() -> None:
    """Put what comes now into the tutorial."""
    with tempfile.TemporaryDirectory() as folder:
        TUTORIAL.write_text(renewed(TUTORIAL.read_text(), Path(folder)))
    print("docs/tutorial.md")


def play(
    scene: Callable[[Terminal], None], theme: str, lines: int, megabytes: int, folder: Path
) -> tuple[Any, str]:
    """Play a scene; what the screen shows at its end, and what that is."""
    (folder / "config" / "hmp").mkdir(parents=True)
    (folder / "config" / "hmp" / "config.toml").write_text(f'theme = "{theme}"\n')
    subprocess.run([HMP.with_name("python"), "-c", _MAKE_DISK], cwd=folder, check=True)
    arguments = ["-M", "none", "-m", str(megabytes or 16)]
    arguments += ["-drive", "if=none,id=disk0,file=disk0.qcow2"]
    arguments += ["--ui", "rich", "-monitor", "unix:other,server=on,wait=off"]
    if megabytes:
        (folder / "ram").write_bytes(bytes(range(1, 256)) * (megabytes * (1 << 20) // 255))
        arguments += ["-device", "loader,file=ram,addr=0,force-raw=on"]
    terminal = Terminal([str(HMP), *arguments], folder, size=(COLUMNS, lines))
    try:
        terminal.wait(terminal.is_at_prompt)
        scene(terminal)
        return terminal.screen, " ".join((scene.__doc__ or "").split())
    finally:
        terminal.close()


_MAKE_DISK = "from blockdev.qcow2.create import create_image; create_image('disk0.qcow2', 1 << 30)"

if __name__ == "__main__":
    main()
