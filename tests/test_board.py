"""What a board answers of itself, beside the real QEMU."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.session import Session
from tests.twin import check_session

PC = "-M pc -m 16 -S -accel tcg"
SESSIONS = {
    "processors": (f"{PC} -smp 3", """
        info hotpluggable-cpus
        info mem
        info tlb
        info lapic
        info lapic 2
        info lapic 3
        info pic
        info irq
        gva2gpa 0x1000
        gva2gpa 0x1000000000
        gva2gpa -1
        mce 0 1 2 3 4 5
        mce 0 1 0x8000000000000000 3 4 5
        mce 0 10 0x8000000000000000 3 4 5
        mce 0 -1 0x8000000000000000 3 4 5
        mce 7 9 0x8000000000000000 3 4 5
        mce -b 0 1 2 3 4 5
        nmi
        gdbserver none
    """),
    "its buttons": (PC, """
        boot_set c
        boot_set acn
        boot_set acdn
        boot_set aa
        boot_set e
        boot_set z
        boot_set q
        boot_set CD
        boot_set ""
        boot_set order=c
        system_powerdown
        system_wakeup
    """),
    "what it lacks": (PC, """
        info usb
        info tpm
        info vm-generation-id
        info balloon
        gpa2hva 0x10000000
        gpa2hpa 0x10000000
    """),
    "dumps": (PC, """
        info dump
        dump-guest-memory /nonexistent/file
        dump-guest-memory file 0x1000 0x2000
        info dump
        dump-guest-memory file 0x1000
        dump-guest-memory file 0x10000000 4096
        info dump
        dump-guest-memory -z file 0 4096
        dump-guest-memory -z -l file
        dump-guest-memory -l file
        dump-guest-memory -s file
        dump-guest-memory -w file
        dump-guest-memory -d file 0x3000 1
    """),
    "no board": ("-M none", """
        sync-profile
        info sync-profile
        sync-profile on
        sync-profile
        sync-profile off
        sync-profile reset
        sync-profile bogus
        info jit
        info dirty_rate
        calc_dirty_rate 0
        calc_dirty_rate 61
        calc_dirty_rate 1 64
        calc_dirty_rate 1 20000
        calc_dirty_rate -r -b 1
        boot_set c
        nmi
        system_powerdown
        system_wakeup
        info mem
        info hotpluggable-cpus
        info qom-tree
        info qom-tree /
        info qom-tree /machine/unattached
        info qom-tree unattached
        info qom-tree /nosuch
        info qom-tree nosuch
        info qom-tree ""
        qom-list ""
        qom-set -j /objects/x y zz
        info virtio
        info virtio-status /x
        info virtio-queue-status /x 0
        info virtio-vhost-queue-status /x 0
        info virtio-queue-element /x 0
        info trace-events ""
        gdbserver ""
        singlestep
        info status
        dump-guest-memory file
        info dump
    """),
}  # fmt: skip


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_is_answered_as_qemu_answers_it(name: str, hmp: str, qemu: str) -> None:
    machine, text = SESSIONS[name]
    check_session(machine, text, hmp, qemu)


@pytest.mark.parametrize("part", ["0x1000 0x2001", "0x100000 0x180000"])
def test_a_dump_is_qemus_to_the_byte(part: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 4096)
    for name, program in (("hmp", hmp), ("qemu", qemu)):
        arguments = [*PC.split(), "-smp", "2", "-nodefaults", "-display", "none"]
        loader = ["-device", f"loader,file={content},addr=0x1000,force-raw=on"]
        session = Session([program, *arguments, *loader, "-monitor", "stdio"], tmp_path)
        assert session(f"dump-guest-memory {name} {part}") == ""
        session.quit()
    assert (tmp_path / "hmp").read_bytes() == (tmp_path / "qemu").read_bytes()
    assert os.stat(tmp_path / "hmp").st_mode & 0o777 == 0o400
    shown = subprocess.run(
        ["readelf", "-l", "-n", "hmp"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "NT_PRSTATUS" in shown.stdout
