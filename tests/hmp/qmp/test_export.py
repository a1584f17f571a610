"""Exports over QMP: both programs say the same, to the byte."""

import subprocess

from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import normal, request

ADDRESS = {"type": "unix", "data": {"path": "nbd.sock"}}
DISKS = (
    *("-M", "none"),
    *("-drive", "if=none,id=d,format=raw,file=d.img"),
    *("-blockdev", "driver=null-co,node-name=n,size=1048576"),
    *("-blockdev", "driver=null-co,node-name=ro,read-only=on"),
)


def nbd_export(id: str, node: str, **more: object) -> dict:
    return request("block-export-add", type="nbd", id=id, node_name=node, **more)


REQUESTS = (
    request("nbd-server-stop"),
    request("nbd-server-add", device="d"),
    request("nbd-server-remove", name="d"),
    nbd_export("e", "n"),
    request("nbd-server-start", addr=ADDRESS, tls_creds="none"),
    request("nbd-server-start", addr=ADDRESS),
    request("nbd-server-start", addr=ADDRESS),
    request("nbd-server-add", device="d"),
    request("nbd-server-add", device="d"),
    request("nbd-server-add", device="d", name="x", description="shown", writable=True),
    request("nbd-server-add", device="nope"),
    request("nbd-server-add", device="d", name="b", bitmap="none"),
    request("nbd-server-add", device="ro", writable=True),
    nbd_export("e", "n"),
    nbd_export("e", "n"),
    nbd_export("e2", "n"),
    nbd_export("e2", "nope"),
    nbd_export("e 3", "n"),
    nbd_export("e4", "ro", name="r", writable=True),
    nbd_export("e5", "n", name="q" * 5000),
    nbd_export("e6", "n", name="q", writable=True, description="shown"),
    request("query-block-exports"),
    request("blockdev-del", node_name="n"),
    request("block-export-del", id="nope"),
    request("block-export-del", id="e"),
    request("block-export-del", id="e6", mode="hard"),
    request("blockdev-del", node_name="n"),
    request("nbd-server-remove", name="x"),
    request("nbd-server-remove", name="x", mode="hard"),
    request("eject", device="d", force=True),
    request("query-block-exports"),
    request("nbd-server-stop"),
    request("nbd-server-start", addr=ADDRESS, max_connections=1),
    request("nbd-server-stop"),
)


def test_exports(both: Both) -> None:
    for folder in both.folders():
        command = ["qemu-img", "create", "-q", "-f", "raw", "d.img", "1M"]
        subprocess.run(command, cwd=folder, check=True)
    theirs, ours = (normal(each.ask(REQUESTS)) for each in both(*DISKS))
    assert ours == theirs
