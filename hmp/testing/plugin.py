"""The pytest plugin: the fixtures `hmp_vm` and `hmp_as_qemu`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hmp.testing.vm import VM

    MakeVM = Callable[..., VM]


@pytest.fixture
def hmp_vm(tmp_path: Path) -> Iterator[MakeVM]:
    """What makes machines, such as one of 16 MiB with two disks.

    ``vm = hmp_vm("-m", "16", disks=["64M", "data:1G"])``; the arguments are those of
    `hmp.testing.VM` after the folder.  A machine runs at once, unless ``start=False`` says
    otherwise; all end with the test.
    """
    from hmp.testing.vm import VM

    made: list[VM] = []

    def make(
        *arguments: str,
        disks: Sequence[str] = (),
        faults: Sequence[str] = (),
        deterministic: bool = False,
        start: bool = True,
    ) -> VM:
        folder = tmp_path / f"vm{len(made)}"
        folder.mkdir()
        vm = VM(folder, *arguments, disks=disks, faults=faults, deterministic=deterministic)
        made.append(vm)
        return vm.start() if start else vm

    yield make
    for vm in made:
        vm.stop()


@pytest.fixture
def hmp_as_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, first on PATH, where QEMU's programs are ours."""
    from hmp.testing.vm import PROGRAMS, find_program

    folder = tmp_path / "hmp-as-qemu"
    folder.mkdir()
    for name, program in PROGRAMS.items():
        try:
            (folder / name).symlink_to(find_program(program))
        except FileNotFoundError:
            continue  # what isn't installed stays the real one
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ.get('PATH', '')}")
    return folder
