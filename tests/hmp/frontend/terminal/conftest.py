from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blockdev.qcow2.create import create_image
from tests.hmp.frontend.terminal.emulator import Terminal

Start = Callable[..., Terminal]


@pytest.fixture
def start(hmp: str, tmp_path: Path) -> Iterator[Start]:
    """Start the program on a terminal, with settings as the text of their file.

    Unless a machine is asked for, it is one with a disk and without a guest that writes to it.
    """
    terminals: list[Terminal] = []

    def start(*arguments: str, settings: str = "", **options: Any) -> Terminal:
        folder = tmp_path / "config" / "hmp"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(settings)
        if "-M" not in arguments:
            disk = tmp_path / "disk0.qcow2"
            if not disk.exists():
                create_image(str(disk), 64 << 20)
            arguments += ("-M", "none", "-m", "16", "-drive", f"if=none,id=disk0,file={disk}")
        terminal = Terminal([hmp, *arguments], tmp_path, **options)
        terminals.append(terminal)
        terminal.wait(terminal.is_at_prompt, "the prompt")
        return terminal

    yield start
    for terminal in terminals:
        terminal.close()


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Columns and lines."""
    size: tuple[int, int] = request.param
    return size
