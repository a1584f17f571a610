"""Starting: what is loaded for it, what a wrong command line is told, how the program ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.session import PLAIN, Session, normal, run_to_end

ROOT = Path(__file__).resolve().parent.parent

# Each costs a good part of the whole start; the rich shell's libraries most of all.
HEAVY = (
    "argparse asyncio contextlib dataclasses inspect json logging pathlib prompt_toolkit pygments "
    "re selectors shlex socket subprocess tempfile traceback typing"
).split()

LIST_MODULES = """
import sys
from hmp.__main__ import run
status = run(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


def test_the_plain_front_end_starts_with_little_of_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *PLAIN],
        cwd=ROOT,
        input=b"info status\nquit\n",
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert b"VM status: running" in done.stdout
    loaded = done.stderr.decode().split()
    assert "hmp.monitor" in loaded
    assert not set(HEAVY) & set(loaded)
    assert not [name for name in loaded if name.startswith("hmp.qmp")]


def test_it_runs_from_a_checkout_with_nothing_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys; sys.path.insert(0, sys.argv.pop(1));"
            "from hmp.__main__ import main; sys.exit(main())",
            str(ROOT),
            *PLAIN,
        ],
        cwd=tmp_path,
        input=b"info status\nquit\n",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"VM status: running" in done.stdout


def test_without_arguments_there_is_a_disk_to_try_snapshots_on(hmp: str, tmp_path: Path) -> None:
    session = Session([hmp, "--ui", "plain"], tmp_path)
    assert session("savevm a") == ""
    assert " a  " in session("info snapshots")
    assert session('qemu-io disk0 "write -q 0 64k"') == ""
    assert session("loadvm a") == ""
    assert session.quit() == 0


# Command lines that can't be; each is given to both programs and must be told the same.
BAD = """
-foo
-m
-m 1.5
-m 16x
-m 16,slots=2
-uuid x
-drive
-drive if=bogus,file=disk.qcow2
-drive if=none,file=nosuch.qcow2
-drive if=none,file=.
-drive if=none,file=raw.img,format=qcow2
-drive if=none,file=disk.qcow2,format=bogus
-drive if=none,file=disk.qcow2,foo=bar
-drive if=none,file=disk.qcow2,readonly=maybe
-drive if=none,file=disk.qcow2,cache=bogus
-drive if=none,file=disk.qcow2,media=bogus
-drive if=none,file=disk.qcow2,snapshot=maybe
-drive if=none,file=disk.qcow2,index=x
-drive if=none,id=1x
-drive if=none,id=a -drive if=none,id=a
-drive if=none,bus=0,unit=1,index=1
-drive if=ide,unit=3
-drive if=none,index=3 -drive if=none,index=3
-drive if=none,file=disk.qcow2 -drive if=none,file=disk.qcow2
-drive if=none,format=qcow2
-drive file=disk.qcow2,if=ide
-drive if=scsi,file=disk.qcow2
-hda nosuch.img
-hda disk.qcow2 -hdb nosuch.img
nosuch.img
disk.qcow2 other.qcow2
-blockdev driver=qcow2,file=f0
-blockdev driver=bogus
-blockdev filename=x
-blockdev driver=file,node-name=x
-blockdev driver=file,node-name=x,filename=nosuch.img
-blockdev driver=file,node-name=1x,filename=disk.qcow2
-blockdev driver=file,node-name=x,filename=disk.qcow2,foo=1
-blockdev driver=qcow2,node-name=x
-blockdev driver=qcow2,node-name=x,file=zz
-blockdev driver=qcow2,node-name=x,file.driver=file,file.filename=disk.qcow2,read-only=maybe
-blockdev driver=qcow2,node-name=x,file.driver=file,file.filename=disk.qcow2,file.foo=1
-blockdev driver=qcow2,node-name=x,file.driver=file,file.filename=raw.img
-device bogus
-device virtio-blk-pci,drive=nope
-device ide-hd
-device scsi-hd
-device floppy
-device loader
-device loader,file=nosuch.bin,addr=0,force-raw=on
-device loader,file=raw.img,addr=zz
-device loader,file=raw.img,force-raw=maybe
-device loader,file=raw.img,foo=1
-device loader,addr=16
-device loader,data=1,addr=16
-device
-M bogus
-M none,foo=on
-M none,suppress-vmdesc=maybe
-M pc -device ide-hd
-M pc -device virtio-blk-pci
-M pc -device virtio-blk-pci,drive=nope
-M pc -device ide-cd,drive=nope
-M pc -device ide-cd,bogus=1
-M pc -device ide-cd,id=a -device ide-cd,id=a
-M pc -device scsi-hd
-M pc -device virtio-scsi-pci -device scsi-hd
-M pc -drive if=none,id=x -device ide-hd,drive=x
-M pc -drive if=none,id=x -device virtio-blk-pci,drive=x
-M pc -drive if=none,id=x,file=disk.qcow2,readonly=on -device ide-hd,drive=x
-M pc -drive if=none,id=x,file=disk.qcow2 -device ide-hd,drive=x -device ide-hd,drive=x
-M pc -drive if=ide,index=9,file=disk.qcow2
-M pc -drive if=ide,index=0 -drive if=ide,index=0
-smp bogus
-smp 2
-accel bogus
-display bogus
-rtc base=xx
-rtc clock=xx
-rtc bogus=1
-global migration.foo=off
-global migration.send-configuration=maybe
-name a=b
-loadvm
-loadvm nosuch
-loadvm nosuch -drive if=none,file=disk.qcow2
-monitor
-monitor bogus
-monitor stdio
-monitor chardev:nosuch
-monitor vc:8x
-monitor udp:5
-monitor udp:127.0.0.1:5@6
-monitor con:
-mon
-mon chardev=a
-mon mode=readline
-mon foo=bar
-chardev null,id=a -mon a -mon a
-chardev null,id=a,mux=on -mon a -mon a -mon a -mon a -mon a
-chardev null,id=a -mon a,pretty=maybe
-chardev null,id=a -mon a,pretty=on
-chardev null,id=a -mon a,mode=bogus
-chardev null,id=a -mon a,id=1x
-chardev null,id=a -mon a,id=x -mon a,id=x
-chardev null,id=compat_monitor0
-chardev mux,id=m,chardev=nosuch
-chardev parallel,id=a,path=/dev/null
-chardev udp,id=a
-chardev udp,id=a,port=bogus
-chardev udp,id=a,port=1,ipv4=off,ipv6=off
-chardev socket,id=a,path=x,websocket=on
-chardev socket,id=a,path=x,delay=off,nodelay=on
-chardev socket,id=a,path=x,tls-creds=foo
-chardev socket,id=a,path=x,tls-authz=foo
-chardev socket,id=a,path=x,fd=3
-chardev socket,id=a,fd=0
-chardev socket,id=a,fd=x
-qmp none
-qmp bogus
-qmp stdio
-serial bogus
-serial chardev:nosuch
-serial mon:stdio
-parallel bogus
-parallel null -parallel null -parallel null -parallel null
-daemonize
-nographic -daemonize -monitor null
-pidfile nosuch/pid
-pidfile .
""".strip().splitlines()


@pytest.fixture(scope="module")
def folder(qemu_img: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("startup")
    for name in ("disk.qcow2", "other.qcow2"):
        command = [qemu_img, "create", "-q", "-f", "qcow2", name, "1M"]
        subprocess.run(command, cwd=path, check=True)
    (path / "raw.img").write_bytes(bytes(1 << 20))
    return path


@pytest.mark.parametrize("line", BAD)
def test_a_wrong_command_line_is_told_what_qemu_says(
    line: str, hmp: str, qemu: str, folder: Path
) -> None:
    outcomes = []
    for program in (hmp, qemu):
        status, _, errors = run_to_end([program, *PLAIN, *line.split()], folder)
        name = Path(program).name
        outcomes.append((status, normal(errors.replace(f"{name}: ", "PROGRAM: "))))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == 1


def test_json_options_are_taken(hmp: str, folder: Path) -> None:
    node = {
        "driver": "qcow2",
        "node-name": "n",
        "file": {"driver": "file", "filename": "disk.qcow2"},
    }
    session = Session([hmp, *PLAIN, "-blockdev", json.dumps(node)], folder)
    assert session("info block -n").startswith("n: disk.qcow2 (qcow2)\n")
    assert session.quit() == 0


def test_a_file_without_permission_is_refused(hmp: str, folder: Path) -> None:
    """Root may write any file, so it is a folder on the way that isn't one."""
    status, _, errors = run_to_end(
        [hmp, *PLAIN, "-drive", "if=none,file=raw.img/disk.qcow2"], folder
    )
    assert status == 1
    assert errors == (
        "hmp: -drive if=none,file=raw.img/disk.qcow2: "
        "Could not open 'raw.img/disk.qcow2': Not a directory\n"
    )
