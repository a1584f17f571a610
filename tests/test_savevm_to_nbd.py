"""savevm where the disk is an export that is full, or that is gone, beside the real QEMU."""

import subprocess
from pathlib import Path

from tests.programs import wait_until
from tests.session import PLAIN, Session


def _story(program: str, folder: Path, qemu_img: str) -> list[str]:
    """What a machine says whose state can't go where it should."""
    folder.mkdir()
    create = [qemu_img, "create", "-q", "-f", "qcow2", "full.qcow2", "4M"]
    subprocess.run(create, cwd=folder, check=True)
    # An export can't grow, and this one has no room for more than its own tables.
    server = subprocess.Popen(
        ["qemu-nbd", "-f", "raw", "-t", "-k", folder / "s", "full.qcow2"], cwd=folder
    )
    try:
        wait_until((folder / "s").exists)
        drive = f"if=none,id=d,format=qcow2,file=nbd+unix:///?socket={folder}/s"
        machine = Session([program, *PLAIN, "-m", "16", "-drive", drive], folder)
        answers = [machine(line) for line in ("savevm a", "info snapshots", "info status")]
    finally:
        server.kill()
        server.wait()
    lines = (
        "savevm b",
        "info status",
        "info snapshots",
        "loadvm a",
        "delvm a",
        "cont",
        "info status",
    )
    answers += [machine(line) for line in lines]
    machine.quit()
    return answers


def test_a_full_export_and_a_dead_server_are_told_of(
    hmp: str, qemu: str, qemu_img: str, tmp_path: Path
) -> None:
    ours, real = (
        _story(program, tmp_path / name, qemu_img) for name, program in (("h", hmp), ("q", qemu))
    )
    assert ours == real
