"""NBD at the monitor: disks that are elsewhere, and disks shown to others."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nbd import RealServer
from tests.programs import Programs
from tests.session import Session

Serve = Callable[..., RealServer]

MIB = 1 << 20
QCOW2 = "if=none,id=d,format=qcow2,file="


def _image(path: Path, room: int) -> Path:
    """A qcow2 image with so many bytes behind its end."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + room)
    return path


def _tags(answer: str) -> list[str]:
    return re.findall(r"^--\s+(\S+)", answer, re.M)


def _check(path: Path) -> None:
    done = subprocess.run(["qemu-img", "check", str(path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("served", "format"), [("raw", "qcow2"), ("qcow2", "raw")])
def test_snapshots_go_with_the_format_on_our_side(
    serve: Serve, served: str, format: str, start: Programs, tmp_path: Path
) -> None:
    path = _image(tmp_path / "disk", 24 * MIB)
    server = serve(path, "-f", served)
    ours = start("hmp", "-drive", f"if=none,id=d,format={format},file={server.url}")
    first = ours("savevm one")
    if served == "qcow2":
        assert first == "Error: Device 'd' is writable but does not support snapshots\n"
    else:
        assert first == ""
        ours('qemu-io d "write -P 7 0 2M"')
        assert ours("savevm two") == ""
        assert _tags(ours("info snapshots")) == ["one", "two"]
        assert ours("loadvm one") == ""
        assert "verification" not in ours('qemu-io d "read -P 0 0 2M"')
        assert ours("delvm one") == ""
        assert _tags(ours("info snapshots")) == ["two"]
    ours.quit()
    server.stop()
    _check(path)


def test_a_full_export_is_one_error_and_the_image_stays_sound(
    serve: Serve, start: Programs, tmp_path: Path
) -> None:
    path = _image(tmp_path / "disk.qcow2", 5 * 65536)
    server = serve(path, "-f", "raw")
    ours = start("hmp", "-drive", QCOW2 + server.url)
    assert "wrote 65536/65536" in ours('qemu-io d "write -P 1 0 64k"')
    for _ in range(2):
        assert ours('qemu-io d "write -P 2 1M 4M"') == "write failed: Invalid argument\n"
    assert ours("info status") != ""
    assert "verification" not in ours('qemu-io d "read -P 1 0 64k"')
    ours.quit()
    server.stop()
    check = ["qemu-img", "check", str(path)]
    assert subprocess.run(check, capture_output=True, check=False).returncode in (0, 3)


def test_a_server_that_dies_leaves_the_monitor(
    serve: Serve, start: Programs, tmp_path: Path
) -> None:
    path = _image(tmp_path / "disk.qcow2", 24 * MIB)
    server = serve(path, "-f", "raw")
    ours = start("hmp", "-drive", QCOW2 + server.url)
    assert ours("savevm one") == ""
    server.stop()
    assert ours("savevm two") == "Error: Error while writing VM state: Input/output error\n"
    assert "virtual size: 8 MiB" in ours("info block -v")
    server.start()
    assert ours("savevm three") == ""
    assert _tags(ours("info snapshots")) == ["one", "three"]
    ours.quit()
    server.stop()
    _check(path)


REFUSED = (
    "nbd_server_stop",
    "nbd_server_add d",
    "nbd_server_remove x",
    "nbd_server_start foo",
    "nbd_server_start -w unix:s.sock",
    "nbd_server_start unix:s.sock",
    "nbd_server_start unix:s.sock",
    "nbd_server_add nope",
    "nbd_server_add d",
    "nbd_server_add d",
    "nbd_server_add -w ro again",
    "nbd_server_add empty",
    "nbd_server_add d 1x",
    "nbd_server_remove nope",
    "nbd_server_remove d",
    "nbd_server_add n",
    "drive_del n",
    "eject -f ro",
    "nbd_server_remove again",
    "nbd_server_stop",
    "nbd_server_stop",
    "nbd_server_start -a -w unix:s.sock",
    "nbd_server_add n",
    "nbd_server_add d",
    "nbd_server_stop",
)


def test_the_server_says_what_the_real_one_says(start: Programs, tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", "d.img", "1M"], cwd=tmp_path)
    _image(tmp_path / "ro.qcow2", 0)
    answers = []
    for program in ("qemu", "hmp"):
        session = start(
            program,
            *("-drive", "if=none,id=d,format=raw,file=d.img"),
            *("-drive", "if=none,id=ro,format=qcow2,file=ro.qcow2,readonly=on"),
            *("-drive", "if=none,id=empty"),
            *("-blockdev", "driver=null-co,node-name=n,size=1048576"),
        )
        answers.append([session(line) for line in REFUSED])
        session.quit()
    assert answers[1] == answers[0]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def serving(start: Programs, tmp_path: Path) -> Session:
    """Our program with a raw disk and a qcow2 disk, both shown."""
    (tmp_path / "raw.img").write_bytes(bytes(8 * MIB))
    path = _image(tmp_path / "q.qcow2", 0)
    _run("qemu-io", "-c", "write -P 7 1M 3M", "-c", "write -P 9 7M 64k", str(path))
    ours = start(
        "hmp",
        *("-drive", "if=none,id=r,format=raw,file=raw.img"),
        *("-drive", "if=none,id=q,format=qcow2,file=q.qcow2"),
    )
    assert ours("nbd_server_start -a -w unix:s.sock") == ""
    return ours


def test_the_real_programs_use_what_we_show(serving: Session, tmp_path: Path) -> None:
    q, r = (f"nbd+unix:///{name}?socket={tmp_path}/s.sock" for name in "qr")
    assert "virtual size: 8 MiB" in _run("qemu-img", "info", q)
    shown = _run("qemu-nbd", "--list", "-k", f"{tmp_path}/s.sock")
    assert re.findall("export: '(.*)'", shown) == ["r", "q"]
    extents = _run("qemu-img", "map", "--output=json", q)
    assert re.findall(r'"start": (\d+), .*"data": true', extents) == ["1048576", "7340032"]
    assert _run("qemu-img", "convert", "-n", "-W", "-O", "raw", q, r) == ""
    assert _run("qemu-img", "compare", q, r) == "Images are identical.\n"
    said = _run(
        *("qemu-io", "-f", "raw", q),
        *("-c", "write -P 3 12345 70000"),
        *("-c", "read -P 3 12345 70000"),
        *("-c", "write -zu 1M 1M"),
        *("-c", "read -P 0 1M 1M"),
        *("-c", "discard 2M 1M"),
        *("-c", "write -f 0 4k"),
    )
    assert "failed" not in said
    assert serving('qemu-io q "read -P 3 12345 60000"').startswith("read 60000/60000")
    many = [subprocess.Popen(["qemu-img", "compare", q, q]) for _ in range(3)]
    assert serving("info status") == "VM status: running\n"
    assert [each.wait(30) for each in many] == [0, 0, 0]
    serving.quit()
    assert not (tmp_path / "s.sock").exists()
    _check(tmp_path / "q.qcow2")


def test_an_export_in_use_goes_only_by_force(serving: Session, tmp_path: Path) -> None:
    url = f"nbd+unix:///q?socket={tmp_path}/s.sock"
    command = ["qemu-io", "-f", "raw", url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("read 0 512\n")
        client.stdin.flush()
        assert "read 512/512" in client.stdout.readline()
        assert serving("nbd_server_remove q") == (
            "Error: export 'q' still in use\nUse mode='hard' to force client disconnect\n"
        )
        assert serving("nbd_server_remove -f q") == ""
        client.stdin.close()
    serving.quit()


def test_limits_make_clients_wait_and_nobody_else(start: Programs, tmp_path: Path) -> None:
    ours = start(
        "hmp",
        *("-object", "throttle-group,id=t,x-iops-total=10"),
        *("-blockdev", "driver=null-co,node-name=n,size=1048576,read-zeroes=on"),
        *("-blockdev", "driver=throttle,node-name=slow,throttle-group=t,file=n"),
    )
    assert ours("nbd_server_start unix:s.sock") == ""
    assert ours("nbd_server_add slow") == ""
    url = f"nbd+unix:///slow?socket={tmp_path}/s.sock"
    reads = ["-c", "read 0 512"] * 12
    began = time.monotonic()
    with subprocess.Popen(
        ["qemu-io", "-r", "-f", "raw", *reads, url], stdout=subprocess.DEVNULL
    ) as client:
        assert ours("info status") == "VM status: running\n"
        assert client.poll() is None
        assert client.wait(30) == 0
    assert time.monotonic() - began > 0.5


def test_an_overlay_takes_what_clients_write(serving: Session, tmp_path: Path) -> None:
    url = f"nbd+unix:///q?socket={tmp_path}/s.sock"
    serving("snapshot_blkdev q over.qcow2")
    assert "failed" not in _run("qemu-io", "-f", "raw", "-c", "write -P 5 0 64k", url)
    serving.quit()
    said = _run("qemu-img", "map", "--output=json", str(tmp_path / "over.qcow2"))
    assert '"start": 0, "length": 65536, "depth": 0' in said
