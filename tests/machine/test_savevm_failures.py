"""A savevm whose n-th write fails: one error, the VM goes on, no other snapshot is hurt."""

import subprocess
from pathlib import Path

import pytest

from hmp.monitor import Monitor
from machine.assembly import build
from machine.boards import BOARDS
from machine.machine import Machine
from tests.blockdev.faults import FailingFile, watch

IMAGES = ("d0.qcow2", "d1.qcow2")


class Console:
    """A monitor over a machine in this process; a call is a line, its answer the text."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(BOARDS[0], ram_size=8 << 20)
        self.said: list[str] = []
        for name in IMAGES:
            options = {"if": "none", "file": str(folder / name), "id": name[:2], "format": "qcow2"}
            self.machine.drives.add(options)
        build(self.machine)
        self.machine.memory.write(0, b"guest" * 100_000)
        self.machine.cont()
        self.monitor = Monitor(self.machine, self.said.append)

    def __call__(self, line: str) -> str:
        self.said.clear()
        for _ in self.monitor.execute(line):
            pass
        return "".join(self.said)


@pytest.fixture
def folder(qemu_img: str, tmp_path: Path) -> Path:
    for name in IMAGES:
        command = [qemu_img, "create", "-q", "-f", "qcow2", name, "4M"]
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def check(folder: Path) -> set[int]:
    """The exit status of `qemu-img check` for each image: 0 is clean, 3 leaks."""
    return {
        subprocess.run(["qemu-img", "check", "-q", "-U", name], cwd=folder, check=False).returncode
        for name in IMAGES
    }


@pytest.mark.parametrize("disk", [0, 1], ids=["the state's disk", "another disk"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_each_failing_write_is_one_error(disk: int, running: bool, folder: Path) -> None:
    console = Console(folder)
    if not running:
        console("stop")
    assert console("savevm kept") == ""
    status = console("info status")
    node = list(console.machine.drives.backends)[disk].node
    assert node is not None
    failures = 0
    for n in range(1, 100):
        console('qemu-io d0 "write -q -P 1 64k 64k"')
        watched = watch(node, FailingFile, n)
        answer = console("savevm new")
        assert isinstance(watched, FailingFile)
        got_through = watched.left > 0
        watched.left = -1
        if got_through:
            assert answer == ""
            break
        failures += 1
        allowed = (
            f"Error: Could not create snapshot 'new' on 'd{disk}'\n",
            "Error: Error while writing VM state: Input/output error\n",
            f"Error: Could not delete snapshot 'new' on 'd{disk}': "
            "Failed to remove snapshot from snapshot list: Input/output error\n",
            f"Error: Could not delete snapshot 'new' on 'd{disk}': "
            "Failed to update snapshot status in disk: Input/output error\n",
        )
        # QEMU says of memory that couldn't be written which section it was, then fails.
        section = "failed to save SaveStateEntry with id(name): 2(ram): -5\n"
        assert answer.removeprefix(section) in allowed, f"write {n}"
        assert console("info status") == status
        assert check(folder) <= {0, 3}, f"write {n}"
        listing = console("info snapshots")
        assert "kept" in listing
        assert console("loadvm kept") == "", f"write {n}"
        assert console("info status") == status
        assert console.machine.memory.read(0, 500_000) == b"guest" * 100_000
        assert check(folder) <= {0, 3}
    else:
        pytest.fail("savevm never got through")
    assert failures > 5
    assert console("loadvm new") == ""
    console.machine.close()
    assert check(folder) <= {0, 3}
