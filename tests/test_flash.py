"""Flash chips in the firmware's place, beside the real QEMU: above all, what savevm does."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.programs import has_arrived, wait_until
from tests.session import Session, normal
from tests.test_trees import ask
from tests.twin import check_session

SETUP = (
    "truncate -s 1M code.raw vars.raw",
    "printf ABCDEFGHIJKLMNOP | dd of=code.raw bs=1 seek=1048560 conv=notrunc status=none",
    "printf abcd | dd of=vars.raw bs=1 conv=notrunc status=none",
    "truncate -s 4k small.raw",
    "qemu-img convert -O qcow2 vars.raw vars.qcow2",
    "qemu-img create -q -f qcow2 disk.qcow2 4M",
)
CODE = "-drive if=pflash,file=code.raw,format=raw,readonly=on"
RAW, QCOW2 = ("-drive if=pflash,file=vars.raw,format=raw", "-drive if=pflash,file=vars.qcow2")
DISK = "-drive if=none,id=d,file=disk.qcow2"
NODE = "-blockdev qcow2,node-name=vars,file.driver=file,file.filename=vars.qcow2"
BY_OPTION = (
    f"-M pflash0=code,pflash1=vars {NODE} "
    "-drive if=none,id=code,file=code.raw,format=raw,readonly=on"
)
SAVING = """
    savevm a
    info snapshots
    savevm a
    loadvm a
    info status
    loadvm nosuch
    delvm a
    info snapshots
    savevm b
"""
TABLES = tuple(
    f"qemu-img snapshot -l {name} | awk '{{print $1, $2, $3 == 0}}'"
    for name in ("vars.qcow2", "disk.qcow2")
)
SAVED = {
    "settings in a raw file": f"{CODE} {RAW} {DISK}",
    "a raw file alone": "-drive if=pflash,file=code.raw,format=raw",
    "settings in qcow2": f"{CODE} {QCOW2}",
    "the flash before the disk": f"{CODE} {QCOW2} {DISK}",
    "the disk before the flash": f"{DISK} {CODE} {QCOW2}",
    "none that can be written": f"{CODE} {QCOW2},readonly=on",
    "read-only beside a disk": f"{CODE} {RAW},readonly=on {DISK}",
    "a node": BY_OPTION,
    "overlays": f"{CODE} {RAW} -snapshot",
}
LOOK = """
    info block
    info block -v
    xp /16xb 0xfffffff0
    xp /16xb 0xffff0
    xp /4xb 0xffe00000
    info mtree -f
    info mtree -f -o
    info qtree
    info qom-tree
    info ramblock
    info roms
    qom-list /machine
    qom-list /machine/system.flash0
    qom-get /machine pflash0
    qom-get /machine pflash1
    qom-get /machine/system.flash0 num-blocks
    eject pflash1
    device_del /machine/system.flash0
    drive_del pflash1
    info block
"""


@pytest.mark.parametrize("name", SAVED)
def test_snapshots_take_flash_as_qemu_does(name: str, hmp: str, qemu: str) -> None:
    machine = f"-M pc -accel tcg -m 16 -S {SAVED[name]}"
    check_session(machine, SAVING, hmp, qemu, SETUP, TABLES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for command in SETUP:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize("chips", [f"{CODE} {RAW}", CODE.replace("code", "small"), BY_OPTION])
def test_the_board_shows_its_chips(
    board: str, chips: str, hmp: str, qemu: str, folder: Path
) -> None:
    lines = tuple(line.strip() for line in LOOK.strip().splitlines())
    ours, real = (
        ask(program, f"-M {board} -accel tcg -m 16 {chips}", lines, folder)
        for program in (hmp, qemu)
    )
    for line in lines:
        a, b = normal(ours[line]), normal(real[line])
        if line == "qom-list /machine":  # in the order of a hash table with holes
            a, b = ("\n".join(sorted(re.findall(".*flash.*", each))) for each in (a, b))
        assert a == b


def _machine(program: str, folder: Path, *more: str) -> Session:
    options = "-M pc -accel tcg -m 16 -nodefaults -display none -monitor stdio".split()
    return Session([program, *options, *more], folder)


@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_a_loaded_state_goes_to_the_disk_when_the_machine_runs(
    which: str, hmp: str, qemu: str, folder: Path
) -> None:
    program = {"hmp": hmp, "qemu": qemu}[which]
    chip = "-drive", "if=pflash,format=raw,file={}"
    source = _machine(program, folder, "-S", chip[0], chip[1].format("code.raw"))
    assert source('migrate "exec:cat > stream"') == ""
    source.quit()
    target = _machine(
        program, folder, chip[0], chip[1].format("vars.raw"), "-S", "-incoming", "exec:cat stream"
    )
    wait_until(lambda: has_arrived(target))
    assert (folder / "vars.raw").read_bytes().startswith(b"abcd")
    assert target("cont") == ""
    target.quit()
    assert (folder / "vars.raw").read_bytes() == (folder / "code.raw").read_bytes()


def test_snapshots_bring_back_what_is_in_a_chip(hmp: str, folder: Path) -> None:
    machine = _machine(hmp, folder, "-S", *CODE.split(), *QCOW2.split())
    assert machine("savevm a") == ""
    machine('qemu-io pflash1 "write -P 7 0 4"')
    assert "0x61 0x62 0x63 0x64" in machine("xp /4xb 0xffe00000")
    assert machine("loadvm a") == ""
    assert "verification failed" not in machine('qemu-io pflash1 "read -P 97 0 1"')
    assert "0x61 0x62 0x63 0x64" in machine("xp /4xb 0xffe00000")
    machine.quit()


def test_why_tells_what_to_do_about_a_raw_flash_drive(hmp: str, folder: Path) -> None:
    machine = _machine(hmp, folder, "--lab", *CODE.split(), *RAW.split())
    answer = machine("savevm a")
    assert answer == "Error: Device 'pflash1' is writable but does not support snapshots\n"
    why = machine("%why")
    assert "pflash1 is the flash chip system.flash1" in why
    assert "if=pflash,format=qcow2" in why
    machine.quit()
