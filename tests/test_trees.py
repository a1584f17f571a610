"""A machine's trees, of devices, objects and memory regions, beside the real QEMU."""

import re
from pathlib import Path

import pytest

from tests.session import Session

COMMANDS = (
    "info qtree",
    "info qom-tree /",
    "info mtree",
    "info mtree -o -D",
    "info mtree -f -o -d",
    "info pci",
    "info ramblock",
)
ALIKE = ["-S", "-nodefaults", "-display", "none", "-monitor", "stdio"]
# Options of a machine; {disk} is an image's path.
MACHINES = {
    "nothing": "-M none",
    "nothing but RAM": "-M none -m 64",
    "isapc": "-M isapc",
    "isapc with devices": """
        -M isapc -vga std -serial null -serial null -device ne2k_isa,id=n -device isa-serial
        -drive if=ide,file={disk} -fda null-co:// -object iothread,id=io -nic user
    """,
    "isapc with a large memory": "-M isapc -m 3584M -device isa-vga,vgamem_mb=4",
    "pc": "-M pc",
    "pc with processors": "-M pc -smp 3 -m 4G -device virtio-scsi-pci",
    "drives of the board": """
        -M pc -drive if=ide,file={disk} -drive if=floppy -drive if=ide,index=2,media=cdrom
        -drive if=virtio,file=null-co://,format=raw -vga std -serial null -device isa-serial
    """,
    "disks": """
        -M pc -blockdev driver=null-co,node-name=n -device lsi53c895a,id=l
        -drive if=none,id=d,file={disk} -device scsi-hd,drive=d -device scsi-cd,id=c
        -device lsi53c810 -device ide-cd -device ide-hd,bus=ide.0,drive=n,serial=xyz
        -device floppy,unit=1
    """,
    "virtio": """
        -M pc -drive if=none,id=d,file={disk} -device virtio-scsi-pci,id=s -device scsi-cd
        -device virtio-blk-pci,drive=d,id=v,serial=abc,num-queues=2,addr=1f.3
        -nic user,model=virtio -device virtio-net-pci,mac=52:54:00:00:00:01,rombar=0
        -device virtio-scsi-pci,num_queues=2
    """,
    "cards": """
        -M pc -netdev user,id=u -device e1000,netdev=u,romfile= -device e1000e -device pcnet
        -device rtl8139 -device vmxnet3 -device ne2k_pci -device VGA,id=g
    """,
    "what can't be saved": """
        -M pc -object memory-backend-ram,size=1M,id=m,share=on
        -device ivshmem-plain,memdev=m,id=x -blockdev driver=null-co,node-name=n
        -device nvme,drive=n,serial=s -device pvpanic
    """,
}
PORTS = (
    "-device pcie-root-port,id=rp1 -device pcie-root-port,id=rp2,chassis=2,slot=3,addr=4.0 "
    "-device pci-bridge,id=br,chassis_nr=7 -device pcie-pci-bridge,id=pp "
    "-device ioh3420,id=io,chassis=9 -device i82801b11-bridge,id=i8 "
    "-device x3130-upstream,bus=rp2,id=up -device xio3130-downstream,bus=up,id=dn,chassis=11 "
)
MACHINES |= {
    "q35": "-M q35 -m 3G -smp 2",
    "q35 with less": "-M q35,i8042=off,smbus=off,pic=off -fda null-co:// -cdrom null-co://",
    "q35 with devices": """
        -M q35,usb=on -vga std -nic user -serial null -parallel null -fda {disk}
        -drive if=ide,index=5,media=cdrom -device ich9-ahci,id=s -device ide-cd
    """,
    "ports": f"-M q35 {PORTS} -device e1000,bus=br -device VGA,bus=pp",
    "microvm": "-M microvm",
    "microvm with PCI": "-M microvm,pcie=on -device e1000",
    "microvm with USB": "-M microvm,usb=on",
    "microvm with less": "-M microvm,ioapic2=off,rtc=off,pit=off",
    "microvm with devices": """
        -M microvm -serial null -device virtio-net-device -device virtio-scsi-device,id=s
        -device scsi-cd -drive if=none,id=d,file={disk} -device virtio-blk-device,drive=d
    """,
    "cirrus": "-M pc,hpet=off -vga cirrus",
    "x-remote": "-M x-remote",
}
PLUGGED = (
    "device_add e1000,id=new,mac=52:54:00:12:34:99",
    "device_add virtio-scsi-pci,id=bus",
    "device_add scsi-cd,id=cd",
    "device_add scsi-cd",
    "object_add iothread,id=io",
    "object_add memory-backend-ram,size=1M,id=m",
    "device_del cd",
    "object_del io",
)


def normal(command: str, answer: str) -> str:
    """An answer without what differs from run to run.

    That is the names of back ends that QEMU makes up, and the order in which address spaces and
    views are told, which is that of pointers.
    """
    answer = re.sub(r"#net\d+", "#net", answer)
    if not command.startswith("info mtree"):
        return answer
    answer = re.sub(r"(?m)^FlatView #\d+\n((?: AS .*\n)+)", _sorted_spaces, answer)
    answer = re.sub(r"(?m)^((?:address-space: .*\n)+)", _sorted_spaces, answer)
    return "\n\n".join(sorted(answer.rstrip("\n").split("\n\n")))


def _sorted_spaces(found: re.Match[str]) -> str:
    return "".join(sorted(found[1].splitlines(keepends=True)))


@pytest.fixture
def disk(tmp_path: Path, qemu_img: str) -> Path:
    from tests.session import run_to_end

    path = tmp_path / "disk.qcow2"
    assert run_to_end([qemu_img, "create", "-q", "-f", "qcow2", str(path), "10M"], tmp_path)[0] == 0
    return path


def ask(program: str, options: str, lines: tuple[str, ...], folder: Path) -> dict[str, str]:
    session = Session([program, *options.split(), *ALIKE], folder)
    answers = {line: normal(line, session(line)) for line in lines}
    assert session.quit() == 0
    return answers


@pytest.mark.parametrize("name", MACHINES)
def test_the_trees_are_qemus(name: str, hmp: str, qemu: str, tmp_path: Path, disk: Path) -> None:
    options = MACHINES[name].format(disk=disk)
    ours = ask(hmp, options, COMMANDS, tmp_path)
    assert ours == ask(qemu, options, COMMANDS, tmp_path)


def test_what_comes_and_goes_is_in_the_trees(hmp: str, qemu: str, tmp_path: Path) -> None:
    lines = (*PLUGGED, *COMMANDS)
    assert ask(hmp, "-M pc", lines, tmp_path) == ask(qemu, "-M pc", lines, tmp_path)


def test_help_tells_the_properties_of_each_model(hmp: str, qemu: str, tmp_path: Path) -> None:
    listing = ask(qemu, "-M none", ("info qdm",), tmp_path)["info qdm"]
    models = re.findall(r'(?m)^name "([^"]+)"', listing)
    assert len(models) > 400
    strange = {"virtio-gpu-gl-pci", "virtio-vga-gl"}  # the real program ends, without a display
    odd = ("virtio-net,help", "e1000,id=x,?", "nosuch,help", "pci-device,help", "iothread,help")
    lines = tuple(f"device_add {model},help" for model in models if model not in strange)
    lines += tuple(f"device_add {text}" for text in odd)
    assert ask(hmp, "-M pc", lines, tmp_path) == ask(qemu, "-M pc", lines, tmp_path)


@pytest.mark.parametrize("text", ["e1000,help", "help", "nosuch,help", "kvmvapic,?"])
def test_help_of_an_option_ends_the_program(text: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    from tests.session import run_to_end

    ours, real = (run_to_end([program, "-device", text], tmp_path) for program in (hmp, qemu))
    assert ours[:2] == real[:2]
    assert ours[2] == real[2].replace("qemu-system-x86_64: ", "hmp: ")


def test_virtio_devices_tell_of_themselves(hmp: str, qemu: str, tmp_path: Path, disk: Path) -> None:
    options = f"""
        -M pc -smp 2 -drive if=none,id=d,file={disk},readonly=on -netdev user,id=u
        -device virtio-blk-pci,drive=d,id=v,num-queues=2
        -device virtio-net-pci,id=n,mq=on,host_mtu=1500,netdev=u,iommu_platform=off
        -device virtio-net-pci,id=o,mrg_rxbuf=off,status=off,rx_queue_size=1024,packed=on
        -device virtio-scsi-pci,id=s -device virtio-scsi-pci,num_queues=4
    """
    lines = ["info virtio"]
    paths = [f"/machine/peripheral/{id}/virtio-backend" for id in "vnos"]
    paths.append("/machine/peripheral-anon/device[0]/virtio-backend")
    for path in (*paths, "/machine/peripheral/v", "v", "/machine"):
        lines.append(f"info virtio-status {path}")
        lines += [f"info virtio-queue-status {path} {queue}" for queue in (0, 1, 2, 3, 9)]
        lines += [f"info virtio-queue-element {path} {queue}" for queue in ("0", "0 5", "7")]
        lines.append(f"info virtio-vhost-queue-status {path} 0")
    asked = tuple(lines)
    assert ask(hmp, options, asked, tmp_path) == ask(qemu, options, asked, tmp_path)


@pytest.mark.parametrize("options", ["-M none -m 64 -object iothread,id=io", "-M isapc", "-M pc"])
def test_the_properties_of_all_objects_are_listed(
    options: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    tree = ask(qemu, options, ("info qom-tree /",), tmp_path)["info qom-tree /"]
    lines = tuple(f"qom-list {path}" for path in paths(tree) if " " not in path)
    assert len(lines) > 5
    assert ask(hmp, options, lines, tmp_path) == ask(qemu, options, lines, tmp_path)


def paths(tree: str) -> list[str]:
    """The paths of the objects in a tree from the root on."""
    names: list[str] = []
    found = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, _ = line.strip().rpartition(" (")
        names[depth:] = [name.removeprefix("/")]
        found.append("/".join(names) or "/")
    return found


def test_properties_are_read_and_set(hmp: str, qemu: str, tmp_path: Path) -> None:
    card, port = "/machine/peripheral/n", "/machine/unattached/device[16]"
    read = f"""
        {card} type|{card} mac|{card} addr|{card} legacy-addr|{card} parent_bus|{card} realized
        {card} hotplugged|{card} hotpluggable|{card} bootindex|{card} romsize|{card} nosuch
        {port}/port92[0] size|{port}/port92[0] container|{port}/port92[0] addr|{port} port92[0]
        {port} parent_bus|/machine smp|/machine memory|/machine kernel|/machine memory-backend
        /machine/unattached sysbus|/machine/i440fx/pci.0 child[4]|/objects/pc.ram policy
        /objects/pc.ram host-nodes|/objects/pc.ram size|/objects/m size|/objects/m m[0]|n mac
        /machine/peripheral new|new hotplugged|nosuch x|/nosuch x
    """
    lines = [f"qom-get {each.strip()}" for each in read.strip().replace("\n", "|").split("|")]
    lines += [f"qom-list {path}" for path in ("n", "new", "nosuch", "/machine/", "m")]
    lines += [
        f"qom-set {card} mac 52:54:00:12:34:57",
        f"qom-set -j {card} mac 5",
        "qom-set /machine/peripheral-anon/device[0] mac 52:54:00:12:34:57",
        f"qom-set {card} nosuch 1",
        "qom-set /nosuch x y",
    ]
    asked = ("device_add e1000,id=new", *lines)
    options = "-M pc -device e1000,id=n -device rtl8139 -object memory-backend-ram,size=1M,id=m"
    assert ask(hmp, options, asked, tmp_path) == ask(qemu, options, asked, tmp_path)
