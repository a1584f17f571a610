"""Snapshots both ways: what hmp saves real QEMU loads, and what QEMU saves hmp loads."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.session import PLAIN, Session

MEGABYTES = 16
RAM = MEGABYTES << 20


@pytest.fixture
def ram(tmp_path: Path) -> bytes:
    """Random RAM with holes of zeros, and the file that the loader device takes it from."""
    data = bytearray(os.urandom(RAM))
    for start, length in ((0, 4096), (5 << 20, 2 << 20), (RAM - 8192, 4096)):
        data[start : start + length] = bytes(length)
    (tmp_path / "ram.bin").write_bytes(data)
    return bytes(data)


def arguments(program: str, *more: str) -> list[str]:
    drive = ["-drive", "if=none,file=disk.qcow2,id=d0"]
    return [program, *PLAIN, "-m", str(MEGABYTES), *drive, *more]


LOADER = ("-device", "loader,file=ram.bin,addr=0,force-raw=on")


def check(folder: Path, *, used_by: str = "") -> None:
    """The image is clean; while QEMU itself uses it, what it keeps in memory looks like leaks."""
    command = ["qemu-img", "check", "-q", "-U", "disk.qcow2"]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    assert status == 0 or (used_by == "qemu" and status == 3)


def memory_of(session: Session, folder: Path) -> bytes:
    assert session(f"pmemsave 0 {RAM} out.bin") == ""
    return (folder / "out.bin").read_bytes()


@pytest.fixture
def programs(hmp: str, qemu: str, qemu_img: str, tmp_path: Path) -> dict[str, str]:
    subprocess.run(
        [qemu_img, "create", "-q", "-f", "qcow2", "disk.qcow2", "64M"], cwd=tmp_path, check=True
    )
    return {"hmp": hmp, "qemu": qemu}


@pytest.mark.parametrize(("saver", "loader"), [("hmp", "qemu"), ("qemu", "hmp"), ("hmp", "hmp")])
@pytest.mark.parametrize("dialect", ["modern", "plain"])
def test_a_saved_machine_is_loaded_by_the_other(
    saver: str, loader: str, dialect: str, programs: dict[str, str], ram: bytes, tmp_path: Path
) -> None:
    switches: list[str] = []
    if dialect == "plain":
        for name in ("send-configuration", "send-section-footer", "store-global-state"):
            switches += ["-global", f"migration.{name}=off"]
        switches += ["-M", "none,suppress-vmdesc=on"]
    session = Session(arguments(programs[saver], *LOADER, *switches), tmp_path)
    assert memory_of(session, tmp_path) == ram
    assert session('qemu-io d0 "write -q -P 0x11 0 192k"') == ""
    assert session("savevm a") == ""
    check(tmp_path, used_by=saver)
    assert session('qemu-io d0 "write -q -P 0x22 64k 64k"') == ""
    assert session("savevm b") == ""
    check(tmp_path, used_by=saver)
    assert session.quit() == 0
    check(tmp_path)

    session = Session(arguments(programs[loader], *switches), tmp_path)
    assert memory_of(session, tmp_path) == bytes(RAM)
    assert session("loadvm a") == ""
    check(tmp_path, used_by=loader)
    assert session("info status") == "VM status: running\n"
    assert memory_of(session, tmp_path) == ram
    assert session('qemu-io d0 "read -q -P 0x11 0 192k"') == ""
    assert session("loadvm b") == ""
    assert session('qemu-io d0 "read -q -P 0x22 64k 64k"') == ""
    assert session("savevm c") == ""
    check(tmp_path, used_by=loader)
    assert session("delvm a") == ""
    assert session("delvm b") == ""
    check(tmp_path, used_by=loader)
    assert session.quit() == 0
    check(tmp_path)

    session = Session(arguments(programs[saver], "-loadvm", "c", *switches), tmp_path)
    assert memory_of(session, tmp_path) == ram
    assert session('qemu-io d0 "read -q -P 0x22 64k 64k"') == ""
    assert session.quit() == 0
    check(tmp_path)


def test_an_image_in_use_is_refused_both_ways(programs: dict[str, str], tmp_path: Path) -> None:
    for holder, other in (("hmp", "qemu"), ("qemu", "hmp")):
        session = Session(arguments(programs[holder]), tmp_path)
        done = subprocess.run(
            arguments(programs[other]), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        text = done.stderr.partition(": ")[2]
        assert text == (
            '-drive if=none,file=disk.qcow2,id=d0: Failed to get "write" lock\n'
            "Is another process using the image [disk.qcow2]?\n"
        )
        reading = subprocess.run(
            ["qemu-img", "info", "disk.qcow2"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 'Failed to get shared "write" lock' in reading.stderr
        assert session.quit() == 0
