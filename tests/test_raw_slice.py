"""Drives that are a part of a file (``format=raw,offset=,size=``), beside the real QEMU."""

import pytest

from tests.twin import check_session

SETUP = (
    "qemu-img create -q -f raw w.raw 256k",
    "qemu-io -f raw -c 'write -P 1 0 64k' -c 'write -P 2 64k 64k' -c 'write -P 3 128k 128k' w.raw",
)
AFTER = ("md5sum w.raw; stat -c %s w.raw",)
LOOK = """
    info block
    info block -v
    qemu-io d "read -P 2 0 64k"
    qemu-io d "write -P 5 60k 4k"
    qemu-io d "write -P 6 1M 4k"
    qemu-io d length
    block_resize d 32k
    block_resize d 512k
    qemu-io d length
    savevm a
"""
PARTS = {
    "a drive": "-drive if=none,id=d,file=w.raw,format=raw,offset=64k,size=65536",
    "up to the end": "-drive if=none,id=d,file=w.raw,format=raw,offset=65536",
    "not in sectors": "-drive if=none,id=d,file=w.raw,format=raw,offset=100",
    "a node": "-blockdev raw,node-name=d,offset=65536,size=65536,file.driver=file,"
    "file.filename=w.raw",
    "a node by JSON": '-blockdev {"driver":"raw","node-name":"d","offset":65536,"file":'
    '{"driver":"file","filename":"w.raw"}}',
    "too far": "-drive if=none,id=d,file=w.raw,format=raw,offset=300000",
    "too much": "-drive if=none,id=d,file=w.raw,format=raw,offset=65536,size=300000",
    "an odd size": "-drive if=none,id=d,file=w.raw,format=raw,size=100",
    "no number": "-drive if=none,id=d,file=w.raw,format=raw,offset=x",
    "no integer": "-blockdev raw,node-name=d,offset=64k,file.driver=file,file.filename=w.raw",
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_file_is_what_qemu_makes_of_it(name: str, hmp: str, qemu: str) -> None:
    check_session(f"-M none {PARTS[name]}", LOOK, hmp, qemu, SETUP, AFTER)
