"""The machines that tests of others get: tried as those tests would."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hmp.testing import VM

MakeVM = Callable[..., VM]
MIB = 1 << 20


def test_a_machine_in_a_line(hmp_vm: MakeVM) -> None:
    vm = hmp_vm("-m", "16", disks=["64M", "data:1G", "plain:4M:raw"])
    assert vm("savevm a").startswith("Error: Device 'plain' is writable but does not support")
    assert vm("eject -f plain") == ""
    assert vm("savevm a") == ""
    assert vm("savevm b") == ""
    assert vm("delvm a") == ""
    vm.assert_snapshots("b")
    vm.assert_snapshots("b", on=["data"])
    assert vm.commands == ["savevm a", "eject -f plain", "savevm a", "savevm b", "delvm a"]
    vm.assert_commands("savevm a", "delvm a")
    with pytest.raises(AssertionError, match="'savevm b' did not come in its turn"):
        vm.assert_commands("delvm a", "savevm b", "delvm a")
    with pytest.raises(AssertionError, match="'disk0' has the snapshots"):
        vm.assert_snapshots("a", "b")
    assert vm.stop() == 0
    assert "terminating on signal 15" in vm.stderr


def test_the_program_under_test_talks_to_it_by_itself(hmp_vm: MakeVM) -> None:
    vm = hmp_vm(disks=["1M"])
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "def answer():\n"
        "    data = b''\n"
        "    while not data.endswith(b'(qemu) '): data += s.recv(4096)\n"
        "answer()\n"
        "for line in ('savevm x', 'info status'): s.sendall(line.encode() + b'\\n'); answer()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(vm.monitor_path)], check=True, timeout=30)
    assert vm.transcript == [("savevm x", ""), ("info status", "VM status: running\n")]
    vm.assert_snapshots("x")


def test_its_qmp_socket_greets(hmp_vm: MakeVM) -> None:
    vm = hmp_vm()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(vm.qmp_path))
        assert client.recv(4096).startswith(b'{"QMP": ')


def test_a_child_of_pexpect_is_at_its_prompt(hmp_vm: MakeVM) -> None:
    vm = hmp_vm("-S", start=False)
    child = vm.spawn()
    child.sendline("info status")
    child.expect_exact("VM status: paused (prelaunch)")
    child.sendline("quit")
    child.expect_exact(__import__("pexpect").EOF)
    child.close()
    assert child.exitstatus == 0


def test_two_machines_do_not_meet(hmp_vm: MakeVM) -> None:
    first, second = hmp_vm(disks=["1M"]), hmp_vm(disks=["1M"])
    assert first("savevm a") == ""
    assert second.commands == []
    second.assert_snapshots()


def test_a_deterministic_one_says_the_same_each_time(hmp_vm: MakeVM) -> None:
    lines = ["savevm a", "%run 1.5", "savevm", "info snapshots", "info block"]
    said = []
    for _ in range(2):
        vm = hmp_vm("-m", "1", disks=["d:1M"], deterministic=True)
        for line in lines:
            vm(line)
        said.append([(line, answer.replace(str(vm.folder), "")) for line, answer in vm.transcript])
    assert said[0] == said[1]
    assert "2022-12-14 00:00:01 00:00:01.500" in said[0][3][1]


@pytest.mark.parametrize(
    ("fault", "line", "answer"),
    [
        (
            "unmigratable=pet",
            "savevm a",
            "Error: State blocked by non-migratable device 'pet'\n",
        ),
        (
            "disk-full=disk0:70000",
            "savevm a",
            "Error: Could not create snapshot 'a' on 'disk0'\n",
        ),
        (
            "loadvm-section=1",
            "loadvm good",
            "error while loading state for instance 0x0 of device 'timer'\n"
            "Error: Error -22 while loading VM state\n",
        ),
    ],
)
def test_what_fails_on_purpose(fault: str, line: str, answer: str, hmp_vm: MakeVM) -> None:
    before = hmp_vm("-m", "16", disks=["1M"])
    before("savevm good")
    before.stop()
    image = before.disks["disk0"].path
    vm = hmp_vm("-m", "16", disks=["1M"], start=False)
    os.replace(image, vm.disks["disk0"].path)
    vm.faults = [fault]
    vm.start()
    assert vm(line) == answer
    vm.assert_snapshots("good")


def test_a_slow_savevm_takes_its_time(hmp_vm: MakeVM) -> None:
    import time

    vm = hmp_vm(disks=["1M"], faults=["slow-savevm=0.5"])
    vm("info status")
    begin = time.monotonic()
    assert vm("savevm a") == ""
    assert time.monotonic() - begin >= 0.5


def test_a_prompt_comes_in_two_packets(hmp_vm: MakeVM) -> None:
    vm = hmp_vm(faults=["split-prompt=300"])
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(vm.monitor_path))
        first = client.recv(4096)
        while not first.endswith(b"(qe"):
            first += client.recv(4096)
        assert client.recv(4096) == b"mu) "
    assert vm("info status") == "VM status: running\n"


def test_a_monitor_hangs_up_in_mid_reply(hmp_vm: MakeVM) -> None:
    vm = hmp_vm(faults=["hang-up=200"])
    with pytest.raises(EOFError, match="hung up after"):
        vm("help")
    vm.hang_up()
    assert vm("info status") == "VM status: running\n"
    assert vm.commands[-1] == "info status"


def test_faults_are_listed(hmp_vm: MakeVM) -> None:
    vm = hmp_vm(start=False)
    shown = subprocess.run(
        [vm.argv[0], "--fault", "help"], capture_output=True, text=True, check=True
    )
    for name in ("slow-savevm=SECONDS", "unmigratable[=NAME]", "hang-up=BYTES"):
        assert f"{name} " in shown.stdout


def test_a_machine_that_does_not_start_says_why(hmp_vm: MakeVM) -> None:
    with pytest.raises(RuntimeError, match="there is no fault 'nosuch'"):
        hmp_vm(faults=["nosuch"])
    with pytest.raises(ValueError, match="'1M:vmdk' is no disk"):
        hmp_vm(disks=["1M:vmdk"])


def test_qemus_programs_are_ours(hmp_as_qemu: Path) -> None:
    shown = subprocess.run(
        ["qemu-system-x86_64", "-M", "none", "-monitor", "stdio", "-drive", "file=nosuch"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("qemu-system-x86_64: -drive file=nosuch: Could not open")
