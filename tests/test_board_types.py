"""The machine types: their names, their options, and what each is as it starts, beside QEMU."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.session import PLAIN, Session, normal, run_to_end
from tests.twin import check_session

QUESTIONS = """
    info pci
    info block
    info network
    info chardev
    info usb
    info cpus
    info memdev
    info irq
    info pic
    info hotpluggable-cpus
    info roms
    info mice
    info virtio
    info lapic
    info ramblock
    device_add e1000
    device_add ide-cd
    device_add isa-serial
    device_add floppy
    device_add virtio-net-device
    device_add qemu64-x86_64-cpu
    device_add nvdimm
    device_del /machine/unattached/device[0]
    device_del /machine/unattached/device[1]
    boot_set c
    nmi
    system_powerdown
    savevm a
"""
# Machines without anything that was plugged in.
BARE = [
    "-M q35",
    "-M microvm",
    "-M x-remote",
    "-M pc-i440fx-2.0",
    "-M pc-q35-2.4",
    "-M q35,usb=on,pic=off -smp 3",
    "-M pc,acpi=off,hpet=off -usb",
    "-M q35,sata=off,smbus=off,acpi=off -smp 2,maxcpus=4,cores=2",
    "-M microvm,pit=off,rtc=off,isa-serial=off -serial null",
    "-M microvm,pcie=on,memory.size=32M",
]
PORTS = (
    "-device pcie-root-port,id=rp1 -device pcie-root-port,id=rp2,chassis=2,slot=3,addr=4.0 "
    "-device pci-bridge,id=br,chassis_nr=7 -device pcie-pci-bridge,id=pp "
    "-device ioh3420,id=io,chassis=9 -device i82801b11-bridge,id=i8 "
    "-device x3130-upstream,bus=rp2,id=up -device xio3130-downstream,bus=up,id=dn,chassis=11"
)
SESSIONS = {
    "ports and bridges": (f"-M q35 {PORTS}", """
        device_add virtio-net-pci,bus=rp1,id=n1
        device_add virtio-net-pci,bus=rp1,id=n2
        device_add e1000,bus=rp1,addr=1
        device_add e1000e,bus=rp1,addr=0.1,id=n3
        device_add e1000,bus=br,id=n4
        device_add e1000,bus=br,addr=0
        device_add e1000,bus=pp,id=n5
        device_add e1000,bus=io,id=n6
        device_add e1000,bus=i8,id=n7
        device_add e1000,bus=dn,id=n8
        device_add e1000,bus=up
        device_add pcie-root-port,id=rp9,chassis=3
        device_add pcie-root-port,id=rp9,bus=rp1,chassis=3
        device_add pci-bridge,id=b2,bus=br
        device_add pci-bridge,id=b2,bus=br,chassis_nr=9
        device_add e1000,bus=b2,id=n10
        info network
        info pci
        device_del n1
        device_del n1
        device_del n4
        device_del n8
        device_del rp1
        device_del up
        device_del dn
        device_del /machine/q35
        system_reset
        info network
        info pci
        device_del n1
        device_add e1000,bus=rp1,id=n1
    """),
    "processors": ("-M q35 -smp 2,maxcpus=4", """
        device_add qemu64-x86_64-cpu,socket-id=0
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=1
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=1,thread-id=0
        device_add qemu64-x86_64-cpu,socket-id=9,core-id=1,thread-id=0
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=9,thread-id=0
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=x,thread-id=0
        device_add qemu64-x86_64-cpu,socket-id=0,die-id=1,core-id=2,thread-id=0
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=3,thread-id=0,id=c
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=3,thread-id=0,id=d
        device_add 486-x86_64-cpu
        info hotpluggable-cpus
        info lapic 3
        cpu 3
        cpu 2
        device_del c
        device_del c
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=2,thread-id=0,foo=1
        device_add qemu64-x86_64-cpu,socket-id=0,core-id=2,thread-id=0
        info hotpluggable-cpus
        info qom-tree
    """),
    "places of a q35's drives": (
        "-M q35,hpet=off,i8042=off,vmport=off -fda null-co:// -cdrom null-co:// -serial null "
        "-smp 2", "info block"),
    "places of a pc's drives": (
        "-M pc,pit=off,vmport=off -fda null-co:// -cdrom null-co:// -parallel null -vga std "
        "-nic user", "info block"),
    "disks of a q35": (
        "-M q35 -drive if=ide,index=5,media=cdrom -drive if=ide,media=cdrom -fda null-co:// "
        "-device ich9-ahci,id=ah -device ide-cd,bus=ah.2,id=c -device ide-cd -serial null", """
        info block
        device_del c
        device_del ah
        info qtree
    """),
    "transports": (
        "-M microvm -netdev hubport,id=h,hubid=0 -device virtio-net-device,id=n,netdev=h "
        "-device virtio-scsi-device,id=s -device scsi-cd,id=c,bus=s.0 "
        "-device virtio-net-device", """
        device_add virtio-net-device
        device_add virtio-net-device,bus=virtio-mmio-bus.0
        device_add virtio-net-device,bus=virtio-mmio-bus.23
        device_add scsi-cd,bus=s.0,id=d
        device_add virtio-mmio
        info network
        info virtio
        info block
        device_del n
        device_del c
        device_del s
        info qtree
        system_reset
        info status
    """),
}  # fmt: skip

# Command lines that end at once; without a type of its own each is of a q35.
ENDING = """
-M help
-M q35,help
-M microvm,smm=on,?
-M pc-i440fx-1.4,help
-M none,help
-smp help
-M q35,foo=on
-M q35,smm=maybe
-M q35,hpet=x
-M q35,max-fw-size=x
-M q35,max-fw-size=32M
-M q35,max-ram-below-4g=8G
-M q35,smbios-entry-point-type=16
-M q35,x-oem-id=abcdefghij
-M q35,memory-backend=foo
-M q35,phandle-start=x
-M q35,boot=z
-M q35,boot.order=z
-M q35,smp=2
-M q35,sgx-epc=1
-M q35,confidential-guest-support=x
-M q35,memory-encryption=x
-M q35,append=x
-M q35,smm
-M ,smm=on
-M q35,id=x
-M q35,=x
-M bogus,smm=on
-M q35,smm.x=1
-M q35,foo=on -m 16x
-M q35,foo=on -smp 1000
-M q35,accel=bogus
-M bogus -M q35,x
-M q35,smm=maybe -drive file=/nosuch
-M bogus -chardev file,id=a,path=/nosuch/x
-M q35,smm=x -netdev user,id=a,net=foo
-M microvm,hpet=on
-M microvm,rtc=maybe
-M isapc,rtc=on
-smp -1
-smp 4,sockets=2,cores=2,threads=2
-smp 2,maxcpus=300
-smp 4,maxcpus=2
-smp cpus=2,sockets=2,cores=2
-smp foo=1
-smp 2,foo
-smp 2,clusters=2
-smp 18446744073709551615
-smp 256
-M microvm -smp 2,dies=2
-M microvm -smp 3,sockets=2
-M isapc -smp 1,maxcpus=2
-device pcie-root-port,id=a -device pcie-root-port,id=b
-device pcie-root-port,chassis=300
-device pcie-root-port,bus=ide.0
-device pci-bridge
-device e1000,addr=1f
-device floppy
-device virtio-blk-device
-device ide-cd -device ide-cd
-device ide-cd,unit=1
-device ide-cd,bus=ide.9
-cdrom null-co:// -device ide-cd,bus=ide.2
-drive if=ide
-drive if=ide,index=6
-drive if=ide,unit=1
-drive if=sd
-drive if=xen
-drive if=virtio
-M q35,sata=off -drive if=ide
-M q35,sata=off -device ide-cd
-M microvm -drive if=virtio
-M microvm -drive if=ide
-M microvm -drive if=none,unit=1
-M microvm -device e1000
-M microvm -device VGA
-M microvm -device virtio-blk-device
-M microvm -device virtio-scsi-device,bus=virtio-mmio-bus.24
-M microvm,ioapic2=off -device virtio-scsi-device,bus=virtio-mmio-bus.8
""".strip().splitlines()
ENDING.append(
    "-M microvm -device virtio-scsi-device,bus=virtio-mmio-bus.0 "
    "-device virtio-scsi-device,bus=virtio-mmio-bus.0"
)


QMP = (
    "-M q35 -m 16 -S -smp 2,maxcpus=3 -nodefaults -display none -qmp stdio "
    "-device pcie-root-port -device pci-bridge,chassis_nr=1"
)


@pytest.mark.parametrize("options", BARE)
def test_a_bare_board_answers_as_qemu_does(options: str, hmp: str, qemu: str) -> None:
    check_session(f"{options} -m 16 -S", QUESTIONS, hmp, qemu)


@pytest.mark.parametrize("options", ["-M q35", "-M microvm", "-M pc -smp 2"])
def test_default_devices_are_qemus(options: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    answers = []
    for program in (hmp, qemu):
        arguments = [*options.split(), "-m", "16", "-S", "-display", "none", "-monitor", "stdio"]
        session = Session([program, *arguments], tmp_path)
        lines = "info pci|info block|info chardev|info network|info qtree|info qom-tree".split("|")
        answers.append([re.sub(r"#net\d+", "#net", session(line)) for line in lines])
        assert session.quit() == 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_is_answered_as_qemu_answers_it(name: str, hmp: str, qemu: str) -> None:
    machine, text = SESSIONS[name]
    check_session(f"{machine} -m 16 -S", text, hmp, qemu)


@pytest.mark.parametrize("line", ENDING)
def test_a_command_line_ends_as_qemus_does(line: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    outcomes = []
    for program in (hmp, qemu):
        command = [program, *PLAIN, "-M", "q35", "-m", "16", *line.split()]
        status, output, errors = run_to_end(command, tmp_path)
        name = Path(program).name
        # The greeting may stand before what is said of devices.
        shown = output if "help" in line or "?" in line else ""
        outcomes.append((status, shown, normal(errors.replace(f"{name}: ", "PROGRAM: "))))
    assert outcomes[0] == outcomes[1]


def test_qmp_tells_of_the_same_types_and_processors(hmp: str, qemu: str) -> None:
    answers = []
    for program in (hmp, qemu):
        names = ("query-machines", "query-hotpluggable-cpus", "query-pci")
        done = subprocess.run(
            [
                program,
                *"-M q35 -m 16 -S -smp 2,maxcpus=3 -nodefaults -qmp stdio".split(),
                "-display",
                "none",
            ],
            input="".join(
                f'{{"execute": "{name}"}}\n' for name in ("qmp_capabilities", *names, "quit")
            ),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        machines, *others = [line["return"] for line in lines if line.get("return")]
        answers.append((sorted(machines, key=lambda row: str(row["name"])), others))
    assert answers[0] == answers[1]
