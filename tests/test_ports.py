"""I/O ports, read and written from the monitor, beside the real QEMU."""

import re
from pathlib import Path

import pytest

from tests.session import Session

ALIKE = ["-S", "-nodefaults", "-display", "none", "-monitor", "stdio"]
MACHINES = (
    "-M none",
    "-M isapc",
    "-M pc",
    "-M pc -smp 3 -vga std -serial null -device isa-serial -drive if=ide,file=null-co://,format=raw",
    "-M isapc -drive if=ide,index=2,media=cdrom -device ne2k_isa -device pvpanic",
)
# QEMU's own monitor dies of the first; the others tell the time, or have it in their high byte.
NOT_READ = ("vmport", "rtc")
# What has registers whose answer depends on how much is read of them at once.
ONLY_BYTES = ("acpi-pci-hotplug", "ne2000", "fwcfg")
WRITTEN = """
    o/w 0xcf8 0x80000000|i/w 0xcfc|i/h 0xcfc|i/b 0xcfd|i/w 0xcf8|i/h 0xcf8|i/b 0xcfb
    o/b 0xcf8 5|i/w 0xcf8|o/w 0xcf8 0x80000b08|i/w 0xcfc|o/w 0xcf8 0x8000f000|i/w 0xcfc
    o/w 0xcf8 0x80000004|o/h 0xcfc 3|i/w 0xcfc|o/b 0x92 2|i/b 0x92|i/h 0x92
    o/b 0x81 0x55|i/b 0x81|i/h 0x81|i/w 0x81|o/b 0xb2 7|o/b 0xb3 9|i/h 0xb2
    o/b 0x61 3|i/b 0x61|i/b 0x61|o/b 0x80 7|i/b 0x80|o/h 0x510 5|i/b 0x511|i/b 0x511
    o/h 0x510 3|i/b 0x511|i/b 0x511|i/b 0x511|i/b 0x511|i/h 0x510|i/w 0x514|o/b 0x510 1|i/b 0x511
    o/b 0x21 0xfb|i/b 0x21|o/b 0x4d0 0xff|i/b 0x4d0|info pic
    o/b 0x43 0x34|o/b 0x40 0x12|o/b 0x40 0x34|i/b 0x40|i/b 0x40
    o/b 0 0x34|o/b 0 0x12|i/b 0|i/b 0|i/b 2|o/b 0xa 5|i/b 0x9|o/b 0xf 3|i/b 0x9|o/b 0xd 0|i/b 9
    o/b 0x60 0xed|i/b 0x60|i/b 0x64|o/b 0x64 0x20|i/b 0x64|i/b 0x60
    i/b 0x70|o/b 0x70 0x0d|i/b 0x71|o/b 0x70 0x0b|i/b 0x71|o/b 0x70 0x40|o/b 0x71 0x77|i/b 0x71
    o/b 0x70 0x32|i/b 0x71|o/b 0x71 0x19|i/b 0x71|i/b 0x71.0x0d|o/b 0x70 0x0d|i/h 0x70|i/w 0x70
    i/x 0x80|i/g 0x80|i 0x80|i/d 0x80|i/c 0x60|i/3b 0x92|i/b 0x10000|i/b -1|i/w 0xffff|i/i 0x1234
    i/b 0x92|o/g 0x80 1|o 0x80|i|o|i/b|o/w 0x70|i/z 3|i/b 0x71 0x9
"""


def ask(program: str, options: str, lines: list[str], folder: Path) -> list[tuple[str, str]]:
    session = Session([program, *options.split(), *ALIKE], folder)
    answers = [(line, session(line)) for line in lines]
    assert session.quit() == 0
    return answers


def readings(view: str) -> list[str]:
    """The lines that read all ports of a flat view at which a device answers, and some more."""
    ports = next(block for block in view.split("\n\n") if 'AS "I/O"' in block)
    lines = []
    for first, last, name in re.findall(r"  (\w{16})-(\w{16}) \(prio \d+, i/o\): (\S+)", ports):
        if name.startswith(NOT_READ):
            continue
        begin, end = int(first, 16), int(last, 16)
        sizes = "b" if name in ONLY_BYTES else "bhw"
        if name == "io":
            end, sizes = begin, "b"
        lines += [f"i/{size} {port:#x}" for size in sizes for port in range(begin, end + 1)]
    return lines


@pytest.mark.parametrize("options", MACHINES)
def test_ports_are_read_as_a_reset_leaves_them(
    options: str, hmp: str, qemu: str, tmp_path: Path
) -> None:
    ((_, view),) = ask(qemu, options, ["info mtree -f"], tmp_path)
    lines = readings(view)
    assert ask(hmp, options, lines, tmp_path) == ask(qemu, options, lines, tmp_path)


@pytest.mark.parametrize("board", ["none", "isapc", "pc"])
def test_what_is_written_to_ports(board: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    lines = [line for row in WRITTEN.split("\n") for line in row.strip().split("|") if line]
    options = f"-M {board} -m 16"
    assert ask(hmp, options, lines, tmp_path) == ask(qemu, options, lines, tmp_path)


def test_a_byte_to_a_serial_port_goes_out(hmp: str, tmp_path: Path) -> None:
    options = f"-M pc -serial file:{tmp_path}/line"
    ask(hmp, options, ["o/b 0x3f8 0x48", "o/b 0x3f8 0x69"], tmp_path)
    assert (tmp_path / "line").read_bytes() == b"Hi"
