"""I/O ports looked at by hand, beside the real program."""

import pytest

from tests.twin import check_session

READS = """
i /b 0x20
i /h 0x20
i /w 0xa0
i /b 0x43
i /b 0x60
i /b 0x64
i /h 0x64
i /b 0x61
i /b 0x61
i /h 0x61
i /b 0x70
i /b 0
i /w 1
i /b 0xd0
i /b 0x3f8
i /b 0x2f8
i 0x1234
i /w 0x1234
i /h 0xffff
i /w 0xfffe
i /c 0x61
i /i 0x20
i /xg 0x21
i /b 0x10021
i /b -1
o /b 0x1234
o /b 0x1234 1
o /w 0xffff 1
"""
WRITES = """
o /b 0x70 0xf
o /b 0x71 0x5a
i /b 0x71
i /h 0x70
i /h 0x71
i /xb 0x70.0x0f
o /b 0x21 0xff
i /b 0x21
o /h 0x20 0x1234
i /b 0x20
o /b 0x61 1
i /b 0x61
o /b 0x43 0x34
o /b 0x40 0x12
o /b 0x40 0x34
i /b 0x40
o /b 0x64 0x20
i /b 0x60
"""


@pytest.mark.parametrize("machine", ["-M none", "-M isapc -S", "-M pc -S", "-M microvm -S"])
def test_ports_are_read_as_qemu_reads_them(machine: str, hmp: str, qemu: str) -> None:
    check_session(machine, READS, hmp, qemu)


@pytest.mark.parametrize("machine", ["-M isapc -S", "-M pc -S"])
def test_what_is_written_is_read_again(machine: str, hmp: str, qemu: str) -> None:
    check_session(machine, WRITES, hmp, qemu)


def test_a_serial_port_is_at_its_ports(hmp: str, qemu: str) -> None:
    check_session(
        "-M isapc -S -chardev ringbuf,id=r -serial chardev:r",
        """
        i /b 0x3fd
        i /b 0x3fb
        o /b 0x3f8 0x41
        ringbuf_read r 10
        i /b 0x3f8
        i /b 0x2f8
        """,
        hmp,
        qemu,
    )
