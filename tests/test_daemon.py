"""A program in the background, the file with its number, and who may talk to it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.session import Session

MACHINE = "-M none -nodefaults -display none -S".split()
MONITOR = ["-monitor", "unix:m.sock,server=on,wait=off"]
PATIENCE = 20.0


@pytest.fixture(params=["hmp", "qemu"])
def program(request: pytest.FixtureRequest) -> str:
    """Both, so that what is told of one holds for the other."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One whose `pid` file's process ends with the test."""
    yield tmp_path
    if (tmp_path / "pid").exists():
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def wait_until(is_done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(process: int) -> bool:
    """Or a zombie, where nobody looks after orphans."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def run(program: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """A program whose first process ends; its status and what it said."""
    with (folder / "said").open("wb") as said:
        done = subprocess.run(
            [program, *MACHINE, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=PATIENCE,
            check=False,
        )
    text = (folder / "said").read_text()
    return done.returncode, text.replace(f"{Path(program).name}: ", "PROGRAM: ")


def test_it_goes_on_by_itself_once_the_monitor_is_there(program: str, folder: Path) -> None:
    assert run(program, folder, "-daemonize", "-pidfile", "pid", *MONITOR) == (0, "")
    process = int((folder / "pid").read_text())
    assert stat.S_IMODE((folder / "pid").stat().st_mode) == 0o600
    assert os.getsid(process) not in (process, os.getsid(0))
    assert os.readlink(f"/proc/{process}/cwd") == "/"
    streams = {os.readlink(f"/proc/{process}/fd/{fd}") for fd in (0, 1, 2)}
    assert streams == {"/dev/null"}
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(folder / "m.sock"))
        client.sendall(b"quit\n")
        while client.recv(4096):
            pass
    wait_until(lambda: is_gone(process))
    assert not (folder / "pid").exists()


def test_a_signal_ends_it_and_takes_the_file_away(program: str, folder: Path) -> None:
    assert run(program, folder, "-daemonize", "-pidfile", "pid") == (0, "")
    process = int((folder / "pid").read_text())
    os.kill(process, signal.SIGTERM)
    wait_until(lambda: is_gone(process))
    assert not (folder / "pid").exists()


def test_a_new_terminal_is_told_of_before_the_first_process_ends(
    program: str, folder: Path
) -> None:
    status, said = run(program, folder, "-daemonize", "-pidfile", "pid", "-monitor", "pty")
    assert status == 0
    path = said.removeprefix("char device redirected to ").partition(" ")[0]
    assert said == f"char device redirected to {path} (label compat_monitor0)\n"
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    got = b""
    while not got.endswith(b"(qemu) "):
        got += os.read(terminal, 4096)
    os.close(terminal)


def test_who_started_it_learns_that_it_cannot_be(program: str, folder: Path) -> None:
    place = "unix:nosuch/m.sock,server=on,wait=off"
    assert run(program, folder, "-daemonize", "-pidfile", "pid", "-monitor", place) == (
        1,
        f"PROGRAM: -monitor {place}: "
        "Failed to bind socket to nosuch/m.sock: No such file or directory\n",
    )
    assert not (folder / "pid").exists()


def test_one_file_is_for_one_process(program: str, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("a number that was longer\n")
    first = Session([program, *MACHINE, "-monitor", "stdio", "-pidfile", "pid"], tmp_path)
    assert (tmp_path / "pid").read_text() == f"{first.process.pid}\n"
    for more in (["-monitor", "null"], ["-daemonize"]):
        assert run(program, tmp_path, "-pidfile", "pid", *more) == (
            1,
            "PROGRAM: cannot create PID file: "
            "Cannot lock pid file: Resource temporarily unavailable\n",
        )
    assert first.quit() == 0
    assert not (tmp_path / "pid").exists()


def test_a_socket_is_for_its_owner_alone(hmp: str, folder: Path) -> None:
    """QEMU leaves that to the umask, and so lets others connect."""
    qmp = "socket,id=q,path=q.sock,server=on,wait=off"
    arguments = ["-daemonize", "-pidfile", "pid", *MONITOR, "-chardev", qmp]
    mask = os.umask(0)
    try:
        assert run(hmp, folder, *arguments) == (0, "")
    finally:
        os.umask(mask)
    for name in ("m.sock", "q.sock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o700


def test_ctrl_c_ends_the_wait_for_the_first_client(program: str, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        place = ["-monitor", "unix:m.sock,server=on"]
        process = subprocess.Popen([program, *MACHINE, *place], cwd=tmp_path, stderr=said)
        wait_until(lambda: "waiting for connection" in (tmp_path / "said").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGINT
    assert (tmp_path / "said").read_text().count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_takes_the_socket_away(program: str, number: int, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [program, *MACHINE, *MONITOR, "-pidfile", "pid"], cwd=tmp_path, stderr=said
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            wait_until((tmp_path / "m.sock").exists)
            wait_until(lambda: client.connect_ex(str(tmp_path / "m.sock")) == 0)
            while not client.recv(4096).endswith(b"(qemu) "):
                pass
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
            assert client.recv(4096) == b""
    text = (tmp_path / "said").read_text()
    assert text.startswith(
        f"{Path(program).name}: terminating on signal {int(number)} from pid {os.getpid()} ("
    )
    assert sorted(os.listdir(tmp_path)) == ["said"]
