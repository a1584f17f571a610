"""Two programs to talk QMP with, the same way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hmp.qmp.conversation import Conversation


class Both:
    """Ours and the real one, each in a folder of its own."""

    def __init__(self, programs: dict[str, str], folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._open: list[Conversation] = []

    def folders(self) -> list[Path]:
        found = [self._folder / name for name in self._programs]
        for each in found:
            each.mkdir(exist_ok=True)
        return found

    def __call__(self, *args: str, negotiated: bool = True) -> list[Conversation]:
        """Start both: the real one first."""
        made = []
        for folder, program in zip(self.folders(), self._programs.values(), strict=True):
            made.append(Conversation(program, folder, args or ("-M", "none")))
            self._open.append(made[-1])
            if negotiated:
                made[-1].negotiate()
        return made

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def both(hmp: str, qemu: str, tmp_path: Path) -> Iterator[Both]:
    programs = Both({"qemu": qemu, "hmp": hmp}, tmp_path)
    yield programs
    programs.close()
