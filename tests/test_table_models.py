"""The models of the table, each alone in a machine, beside the real QEMU."""

import re
from pathlib import Path

import pytest

from machine.devices.model_table import rows
from tests.test_trees import ask, disk
from tests.twin import check_session, run

__all__ = ("disk",)  # a fixture
MODELS = [row.name for row in rows() if "disk" not in row.traits]  # those take drives
# The real program may end when these were taken out.
CRASHING = re.compile("pci-serial-[24]x|dc390|i82.*|tulip")
BUSES = {"HDA": "-device intel-hda", "virtio-serial-bus": "-device virtio-serial-pci"}
COMMANDS = (
    "device_add {model},id=j",
    "info qtree",
    "info qom-tree /machine/peripheral",
    "info mtree",
    "info pci",
    "info ramblock",
    "info network",
    "info mice",
    "info usb",
    "info virtio",
    "info balloon",
    "device_del j",
    "device_del i",
    "system_reset",
    "info pci",
    "info mice",
    "device_add {model},id=k",
    "migrate exec:cat>/dev/null",
)


@pytest.fixture(autouse=True)
def _without_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU_AUDIO_DRV", "none")  # else what a host lacks is said


@pytest.mark.parametrize("model", MODELS)
def test_a_device_comes_and_goes_as_qemus(model: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    row = next(row for row in rows() if row.name == model)
    chardev = ",chardev=c" if "needs" in row.traits else ""
    options = f"-M pc,usb=on -chardev null,id=c {BUSES.get(row.bus, '')} "
    options += f"-device {model},id=i{chardev}"
    lines = tuple(line.format(model=model) for line in COMMANDS)
    if CRASHING.fullmatch(model):
        lines = lines[: lines.index("device_del j")]
    elif "unmigratable" not in row.traits:
        lines = lines[:-1]  # the real program may wait for ever when one was taken out
    ours = ask(hmp, options, lines, tmp_path)
    assert ours == ask(qemu, options, lines, tmp_path)


def test_what_cannot_be_is_refused_in_qemus_words(hmp: str, qemu: str) -> None:
    text = """
        device_add edu,dma_mask=zz
        device_add edu,bogus=1
        device_add edu,multifunction=zz
        device_add edu,addr=zz
        device_add edu,acpi-index=99999999999
        device_add edu,romsize=3
        device_add edu,bus=isa.0
        device_add edu,id=1x
        device_add i82550,netdev=zz
        device_add i82550,mac=zz
        device_add virtio-serial-pci,max_ports=-1
        device_add virtio-serial-pci,max_ports=2,id=vs
        info virtio-status /machine/peripheral/vs/virtio-backend
        device_add megasas,msi=zz
        device_add AC97,audiodev=zz
        device_add ib700
        device_add sdhci-pci,capareg=zz
        device_add pci-testdev,membar=zz
        device_add pci-testdev,membar=4M,id=td
        info qom-tree /machine/peripheral/td
        device_add pci-serial,chardev=zz
        info pci
        device_add vmcoreinfo
        device_add virtio-mouse-pci,multifunction=on,addr=1e.0
        device_add virtio-mouse-pci,addr=1e.1
        device_add am53c974,id=sc
        device_add scsi-cd,bus=sc.0
        info qtree
        balloon 64
        device_add virtio-balloon-pci,id=b
        device_add virtio-balloon-pci
        info virtio-status /machine/peripheral/b/virtio-backend
        balloon 64
        balloon 0
        device_add virtio-tablet-pci,id=t
        device_add virtio-keyboard-pci,id=k
        info virtio-queue-status /machine/peripheral/k/virtio-backend 2
        mouse_set 3
        mouse_set 4
        mouse_set 9
        info mice
        device_del t
        system_reset
        info mice
    """
    check_session("-M pc -S", text, hmp, qemu)


def test_usb_devices_find_their_ports(hmp: str, qemu: str) -> None:
    text = """
        info usb
        device_add usb-tablet,id=t1
        device_add usb-mouse,id=t2
        info usb
        info qtree
        device_add usb-kbd
        device_add usb-hub,id=h
        device_add usb-hub
        device_add usb-kbd,port=9
        device_add usb-kbd,port=zz
        device_add usb-kbd,port=1
        device_add usb-kbd,port=2.8
        device_add usb-wacom-tablet,port=2.7,serial=zz
        device_add usb-kbd,port=2.3.1,id=inner
        device_add usb-ehci,id=e
        device_add usb-kbd,bus=e.0,id=k1
        device_add usb-hub,bus=e.0,id=k2
        device_add usb-wacom-tablet,bus=e.0
        device_add usb-mouse,bus=e.0,usb_version=1
        device_add usb-mouse,bus=e.0,usb_version=7
        device_add qemu-xhci,id=x
        device_add usb-kbd,bus=x.0
        device_add usb-hub,bus=x.0
        device_add usb-mouse,bus=x.0,port=4
        device_add usb-mouse,bus=x.0,port=5
        device_add usb-kbd
        device_add usb-kbd
        device_add usb-ccid,id=c
        device_add usb-bot,id=b
        device_add scsi-cd,bus=b.0
        info usb
        info mice
        info qom-tree /machine/peripheral
        info qom-tree /machine/unattached/device[28]
        migrate tcp:127.0.0.1:1
        device_del h
        info usb
        device_del t1
        device_del t2
        device_del k1
        info usb
        info mice
        device_del x
        device_del e
        system_reset
        info usb
        info mice
        info qtree
    """
    check_session("-M pc,usb=on -S", text, hmp, qemu)


@pytest.mark.parametrize("machine", ["q35,usb=on", "pc"])
def test_usb_devices_need_a_bus(machine: str, hmp: str, qemu: str) -> None:
    text = """
        device_add usb-tablet,id=t
        device_add usb-hub,id=h
        device_add usb-wacom-tablet,id=w
        info usb
        info qtree
        migrate tcp:127.0.0.1:1
    """
    check_session(f"-M {machine} -S", text, hmp, qemu)


def test_a_usb_disk_has_its_drive(hmp: str, qemu: str, tmp_path: Path, disk: Path) -> None:
    text = """
        device_add usb-storage
        device_add usb-storage,drive=zz
        device_add usb-storage,drive=d1
        device_add usb-storage,drive=d0,id=us,removable=on,bootindex=3,serial=xyz
        info usb
        info block
        info qtree
        info qom-tree /machine/peripheral
        device_add usb-storage,drive=n0
        device_add usb-storage,drive=d0
        info pci
        device_del us
        info usb
    """
    options = f"-M pc,usb=on -drive if=none,id=d0,file={disk} -drive if=none,id=d1"
    options += " -blockdev driver=null-co,node-name=n0"
    lines = tuple(line.strip() for line in text.strip().splitlines())
    ours = ask(hmp, options, lines, tmp_path)
    assert re.sub(r"#block\d+", "", str(ours)) == re.sub(
        r"#block\d+", "", str(ask(qemu, options, lines, tmp_path))
    )


def test_ports_and_codecs_are_numbered(hmp: str, qemu: str, tmp_path: Path) -> None:
    text = """
        device_add virtio-serial-pci,id=vs,max_ports=12
        device_add virtserialport
        device_add virtconsole
        device_add virtconsole,nr=9,name=foo
        device_add virtserialport,nr=9
        device_add virtserialport,nr=0
        device_add virtserialport,nr=99
        device_add virtserialport,nr=1
        device_add virtserialport,name=org.x,chardev=c0,id=p
        device_add virtserialport,name=org.x
        device_add virtserialport,chardev=c0
        device_add virtserialport,chardev=zz
        device_add virtserialport,chardev=c1
        device_add virtconsole,chardev=c2
        chardev-remove c0
        info qtree
        info qom-tree /machine/peripheral
        device_del p
        device_add virtserialport,nr=7
        info pci
        info qtree
        device_add hda-duplex
    """
    options = (
        "-chardev null,id=c0 -chardev file,id=c1,path=a -chardev file,id=c2,path=b "
        "-device intel-hda -device hda-duplex -device hda-micro,cad=5 -device hda-output"
    )
    lines = tuple(line.strip() for line in text.strip().splitlines())
    assert ask(hmp, f"-M pc {options}", lines, tmp_path) == ask(
        qemu, f"-M pc {options}", lines, tmp_path
    )


@pytest.mark.parametrize(
    "options",
    [
        "-device isa-debugcon",
        "-device isa-debugcon,chardev=c",
        "-device hda-duplex",
        "-device virtserialport",
        "-device usb-tablet",
        "-device intel-hda -device hda-duplex,cad=15",
        "-device ib700,bus=pci.0",
    ],
)
def test_a_start_is_refused_in_qemus_words(options: str, hmp: str, qemu: str) -> None:
    assert run(hmp, f"-M pc {options}", []) == run(qemu, f"-M pc {options}", [])
