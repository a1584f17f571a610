"""Character devices that come, change and go: the same lines to both programs."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.session import Session

NONE = "-M none -nodefaults -display none -S -monitor stdio"
PC = "-M pc -nodefaults -display none -S -monitor stdio"

PORTS = "-serial null -serial null -parallel null -chardev null,id=m,mux=on -serial chardev:m"

SCRIPTS = {
    NONE: """
chardev-add
chardev-add null
chardev-add null,id=a
chardev-add null,id=a
chardev-add bogus,id=x
chardev-add null,id=1x
chardev-add socket,id=s
chardev-add socket,id=s,fd=nosuch
chardev-add socket,id=s,path=sk,host=h
chardev-add socket,id=s,host=h
chardev-add socket,id=s,path=sk,wait=off
chardev-add socket,id=s,path=sk,server=on,wait=off
info chardev
chardev-remove s
chardev-remove s
chardev-remove
chardev-add null,id=b,mux=on
chardev-remove b
chardev-remove b-base
chardev-add mux,id=m
chardev-add mux,id=m,chardev=nosuch
chardev-add mux,id=m,chardev=b
chardev-add mux,id=n,chardev=b-base
info chardev
chardev-send-break b
chardev-send-break m
chardev-send-break nosuch
chardev-add stdio,id=c
chardev-add file,id=f
chardev-add file,id=f,path=nosuch/x
chardev-add pipe,id=p
chardev-add pipe,id=p,path=nosuch
chardev-add serial,id=p
chardev-add parallel,id=p
chardev-add udp,id=u
chardev-add udp,id=u,port=5
chardev-add ringbuf,id=r,size=3
chardev-add ringbuf,id=r,size=16
ringbuf_write r hello
ringbuf_read r 2
ringbuf_read r 100
ringbuf_write r a\\\\b\x01\x7f
ringbuf_read r 100
ringbuf_write r 0123456789abcdefgh
ringbuf_read r 100
ringbuf_read r 0
ringbuf_read r
ringbuf_read nosuch 1
ringbuf_read u 1
ringbuf_write nosuch 1
ringbuf_write u 1
info chardev
chardev-change compat_monitor0 null
chardev-change nosuch null
chardev-change nosuch file
chardev-change a file
chardev-change a ringbuf,size=3
info chardev
chardev-add null,id=a
chardev-change a ringbuf
info chardev
chardev-change a null,id=b
chardev-change a bogus
chardev-change a
""",
    f"{PC} {PORTS}": """
info chardev
chardev-change serial0 ringbuf
info chardev
chardev-change serial0 bogus
chardev-change serial0 file
chardev-change serial0 ringbuf,size=5
info chardev
chardev-remove serial0
chardev-change serial0 null,mux=on
chardev-change serial1 file,path=out
info chardev
chardev-send-break serial0
chardev-remove parallel0
chardev-change parallel0 null
chardev-change m null
device_add isa-serial,chardev=nosuch
""",
}


@pytest.mark.parametrize("options", SCRIPTS, ids=("none", "pc"))
def test_both_say_the_same(options: str, hmp: str, qemu: str, tmp_path: Path) -> None:
    sessions = []
    for program in (hmp, qemu):
        folder = tmp_path / Path(program).name
        folder.mkdir()
        sessions.append(Session([program, *options.split()], folder))
    differing = []
    for line in SCRIPTS[options].strip().splitlines():
        ours, real = (session(line) for session in sessions)
        if line == "info chardev":
            # After a device has gone, the places in QEMU's hash table are not what we reckon.
            ours, real = ("".join(sorted(text.splitlines(True))) for text in (ours, real))
        if ours != real:
            differing.append((line, ours, real))
    for session in sessions:
        assert session.quit() == 0
    assert differing == []


def test_a_descriptor_with_a_name_can_be_a_device(hmp: str, tmp_path: Path) -> None:
    place = str(tmp_path / "m")
    session = Session(
        [hmp, *NONE.split(), "-monitor", f"unix:{place},server=on,wait=off"], tmp_path
    )
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as client, ours:
        client.settimeout(20)
        client.connect(place)

        def ask(line: bytes, descriptors: list[int]) -> bytes:
            socket.send_fds(client, [line], descriptors)
            got = b""
            while not re.search(rb"\r\n(.*\r\n)*\(qemu\) $", got):
                got += client.recv(4096)
            return got

        assert client.recv(4096).startswith(b"QEMU")
        with theirs:
            ask(b"getfd given\n", [theirs.fileno()])
        ask(b"chardev-add socket,id=s,fd=given\n", [])
        assert "s: filename=unix:\n" in session("info chardev")
        assert b"has not been found" in ask(b"chardev-add socket,id=t,fd=given\n", [])
    assert session.quit() == 0
