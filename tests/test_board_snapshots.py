"""Snapshots of the boards beside the real QEMU: what is told of them, and who takes whose."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.session import Session, normal

ALIKE = "-m 16 -S -nodefaults -display none -monitor stdio".split()
DISK = "-drive if=none,id=d,file=disk.qcow2".split()
LINES = (
    "info snapshots",
    "savevm a",
    "savevm b",
    "savevm a",
    "info snapshots",
    "loadvm b",
    "loadvm nosuch",
    "info status",
    "delvm b",
    "delvm b",
    "loadvm b",
    "info snapshots",
)
# A value in RAM that only the machine that is saved starts with.
MARK = "-device loader,file=mark,addr=0x100000,force-raw=on".split()
# Sections with times in them, which are another machine's.
_OF_CLOCKS = ("timer", "i8254", "mc146818rtc", "globalstate")


@pytest.fixture
def folder(tmp_path: Path, qemu_img: str) -> Path:
    command = [qemu_img, "create", "-q", "-f", "qcow2", "disk.qcow2", "64M"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def ask(program: str, options: list[str], lines: tuple[str, ...], folder: Path) -> list[str]:
    session = Session([program, *options, *ALIKE], folder)
    answers = [normal(session(line)) for line in lines]
    assert session.quit() == 0
    return answers


@pytest.mark.parametrize("board", ["q35", "microvm", "pc-q35-6.0"])
def test_the_monitor_tells_of_snapshots_as_qemu_does(
    board: str, hmp: str, qemu: str, folder: Path, qemu_img: str
) -> None:
    options = ["-M", board, *DISK]
    ours = ask(hmp, options, LINES, folder)
    for tag in "ab":
        subprocess.run([qemu_img, "snapshot", "-d", tag, "disk.qcow2"], cwd=folder, check=False)
    assert ours == ask(qemu, options, LINES, folder)


@pytest.mark.parametrize(("saved", "loaded"), [("pc", "q35"), ("q35", "microvm")])
def test_a_snapshot_of_another_board_is_refused(
    saved: str, loaded: str, hmp: str, qemu: str, folder: Path
) -> None:
    ask(hmp, ["-M", saved, *DISK], ("savevm ours",), folder)
    ask(qemu, ["-M", saved, *DISK], ("savevm its",), folder)
    lines = ("loadvm ours", "loadvm its", "info status")
    ours = ask(hmp, ["-M", loaded, *DISK], lines, folder)
    assert ours == ask(qemu, ["-M", loaded, *DISK], lines, folder)
    assert ours[0].startswith("Machine type received is")


def states(hmp: str, folder: Path, tag: str) -> dict[tuple[str, int], Any]:
    """The sections of a snapshot, by name and instance."""
    done = subprocess.run(
        [str(Path(hmp).parent / "hmp-img"), "vmstate", "--json", "disk.qcow2", tag],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return {
        (section["name"], section["instance"]): values(section["state"])
        for section in json.loads(done.stdout)["sections"]
        if section.get("state") is not None and section["name"] not in _OF_CLOCKS
    }


def values(state: Any) -> Any:
    """Values alone: what parts are called is in no stream."""
    if isinstance(state, dict) and "fields" in state:
        subsections = [(each["name"], values(each)) for each in state["subsections"]]
        return [values(field["value"]) for field in state["fields"]], subsections
    return [values(each) for each in state] if isinstance(state, list) else state


@pytest.mark.parametrize("options", ["-M microvm", "-M microvm,ioapic2=off,pit=off -smp 2"])
@pytest.mark.parametrize("saver_is_real", [False, True])
def test_a_microvm_is_taken_from_each_other(
    options: str, saver_is_real: bool, hmp: str, qemu: str, folder: Path
) -> None:
    saver, taker = (qemu, hmp) if saver_is_real else (hmp, qemu)
    machine = [*options.split(), *DISK, "-serial", "null"]
    (folder / "mark").write_bytes(0x12345678.to_bytes(4, "little"))
    assert ask(saver, [*machine, *MARK], ("savevm a",), folder) == [""]
    lines = ("loadvm a", "xp /1wx 0x100000", "info status", "savevm b")
    first, memory, status, last = ask(taker, machine, lines, folder)
    assert (first, last) == ("", "")
    assert memory == "0000000000100000: 0x12345678\n"
    assert status == "VM status: paused (prelaunch)\n"
    assert states(hmp, folder, "b") == states(hmp, folder, "a")


def test_registers_come_back_with_a_snapshot(hmp: str, qemu: str, folder: Path) -> None:
    """The real machine executes a jump that its firmware begins with; ours shows where it is."""
    machine = ["-M", "microvm", "-serial", "null", *DISK]
    session = Session([qemu, *machine, *ALIKE], folder)
    session("cont")
    session("stop")
    assert session("savevm a") == ""
    there = session("p/x $eip")
    assert session.quit() == 0
    assert ask(hmp, machine, ("loadvm a", "p/x $eip"), folder) == ["", there]
