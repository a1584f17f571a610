from collections.abc import Iterator
from pathlib import Path

import pytest

from blockdev.qcow2.create import create_image
from hmp.lab import COMMANDS_WITH_LAB
from hmp.monitor import Monitor
from tests.hmp.trial import TriedMachine

MIB = 1 << 20


class Lab:
    """A monitor with the words of the lab, on a machine whose disks are `d0` to `dN`."""

    def __init__(self, folder: Path, disks: int = 1, ram_size: int = 2 * MIB) -> None:
        self.folder = folder
        self.machine = TriedMachine("none", ram_size)
        for number in range(disks):
            path = folder / f"d{number}.qcow2"
            create_image(str(path), 8 * MIB)
            self.machine.drives.add({"if": "none", "id": f"d{number}", "file": str(path)})
        self._said: list[str] = []
        self.monitor = Monitor(self.machine, self._said.append, COMMANDS_WITH_LAB)

    def __call__(self, line: str) -> str:
        """Run a line; the answer."""
        self._said.clear()
        for _ in self.monitor.execute(line):
            pass
        assert self.machine.exceptions == []
        return "".join(self._said)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path, disks=2)
    yield lab
    lab.machine.close()
