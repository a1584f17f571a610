"""The ``loader`` device with numbers and processors, beside the real program's."""

from pathlib import Path

import pytest

from tests.session import run_to_end
from tests.twin import check_session

MACHINE = "-M isapc -S -m 16 -nodefaults -display none -monitor stdio".split()


@pytest.mark.parametrize(
    "options",
    [
        "data=1,data-len=4,addr=0x1000",
        "data=0x123456789abcdef,data-len=8,addr=0x1000",
        "data=0x12345678,data-len=4,addr=0x1000,data-be=on",
        "data=0x123456789a,data-len=2,addr=0x1001,cpu-num=0",
        "data-len=4",
        "cpu-num=0,addr=0x1000",
    ],
)
def test_what_is_loaded_is_there_after_each_reset(options: str, hmp: str, qemu: str) -> None:
    check_session(
        f"-M isapc -S -m 16 -device loader,{options}",
        """
        xp /12xb 0x1000
        print $eip
        info roms
        system_reset
        xp /12xb 0x1000
        print $eip
        """,
        hmp,
        qemu,
    )


@pytest.mark.parametrize(
    "options",
    [
        "data=1",
        "data-be=on",
        "data=1,data-len=0,addr=0",
        "data=1,data-len=9,addr=0",
        "data=1,data-len=4,data-be=maybe",
        "data=1,data-len=4,file=x",
        "data=1,data-len=4,force-raw=on",
        "data=1,data-len=4,cpu-num=9",
        "cpu-num=9",
        "cpu-num=9,addr=1",
        "cpu-num=zz",
        "addr=5",
    ],
)
def test_what_can_not_be_loaded(options: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    words = [*MACHINE, "-device", f"loader,{options}"]
    ours, theirs = (run_to_end([program, *words], tmp_path) for program in (hmp, qemu))
    assert theirs[0] == 1
    assert ours[0] == 1
    assert ours[2] == theirs[2].replace("qemu-system-x86_64", "hmp")
