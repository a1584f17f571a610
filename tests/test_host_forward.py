"""Ports of the host that stand for a guest's: rules, what is refused, who may call."""

import re
import socket
from pathlib import Path

import pytest

from tests.session import Session

MACHINE = "-M pc -S -m 16 -nodefaults -display none -monitor stdio -netdev user,id=n1".split()
# TCP, UDP and AGAIN are free ports.
STORY = """
hostfwd_add tcp::TCP-:22
hostfwd_add tcp::TCP-:23
info usernet
hostfwd_add udp:127.0.0.1:UDP-10.0.2.99:53
hostfwd_add n1 :127.0.0.1:AGAIN-:53
hostfwd_add n2 tcp::AGAIN-:53
info usernet
hostfwd_add xx
hostfwd_add tcp
hostfwd_add tcp:
hostfwd_add tcp::
hostfwd_add tcp::1
hostfwd_add tcp::99999-:22
hostfwd_add tcp::x-:22
hostfwd_add tcp::1-
hostfwd_add tcp::1-:
hostfwd_add tcp::1-22
hostfwd_add tcp::1-:0
hostfwd_add tcp::1-:99999
hostfwd_add tcp::1-zz:22
hostfwd_add tcp:zz:1-:22
hostfwd_add tcp:1.2.3.4:1-:22
hostfwd_add sctp::1-:22
hostfwd_add tcp::-1-:22
hostfwd_remove xx
hostfwd_remove tcp
hostfwd_remove tcp::
hostfwd_remove tcp::x
hostfwd_remove tcp::99999
hostfwd_remove tcp:zz:1
hostfwd_remove sctp::1
hostfwd_remove n2 tcp::1
hostfwd_remove tcp::TCP
hostfwd_remove tcp::TCP
hostfwd_remove udp::UDP
hostfwd_remove udp:127.0.0.1:UDP
hostfwd_remove :127.0.0.1:AGAIN
hostfwd_remove tcp:127.0.0.1:AGAIN
info usernet
netdev_add user,id=n3,hostfwd=tcp
netdev_add user,id=n4,net=10.0.3.0/24,hostfwd=tcp::TCP-:1
netdev_add user,id=n5,dhcpstart=10.0.2.40,hostfwd=udp::UDP-:1
netdev_add user,id=n6,hostfwd=tcp::TCP-:1
netdev_add user,id=n7,guestfwd=tcp:10.0.2.100:80-cmd:cat
netdev_add user,id=n8,guestfwd=tcp:10.0.2.100:80-chardev:nosuch
netdev_del n7
info usernet
netdev_del n4
info network
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_rules_are_taken_and_refused_as_qemu_does_it(hmp: str, qemu: str, tmp_path: Path) -> None:
    ports = free_ports(3)
    lines = STORY
    for name, port in zip(("TCP", "UDP", "AGAIN"), ports, strict=True):
        lines = re.sub(rf"\b{name}\b", str(port), lines)
    stories = []
    for program in (hmp, qemu):
        session = Session([program, *MACHINE], tmp_path)
        answers = [(line, session(line)) for line in lines.strip().splitlines()]
        session.quit()
        stories.append([(line, re.sub(r"\] +\d+", "] <fd>", text)) for line, text in answers])
    ours, theirs = stories
    leaked = "Hub -1 (n8):\n"  # what was refused QEMU lists all the same
    theirs = [(line, text.partition(leaked)[0]) for line, text in theirs]
    assert ours == theirs


@pytest.mark.parametrize("which", ["hmp", "qemu"])
def test_who_calls_is_held_until_the_rule_goes(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    session = Session([request.getfixturevalue(which), *MACHINE], tmp_path)
    assert session(f"hostfwd_add tcp:127.0.0.1:{port}-:22") == ""
    with socket.create_connection(("127.0.0.1", port)):
        assert session("info status") == "VM status: paused (prelaunch)\n"
    removed = session(f"hostfwd_remove tcp:127.0.0.1:{port}")
    assert removed == f"host forwarding rule for tcp:127.0.0.1:{port} removed\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    session.quit()


def test_all_rules_of_an_option_count(hmp: str, qemu: str, tmp_path: Path) -> None:
    first, second = free_ports(2)
    rules = f"user,id=n2,hostfwd=tcp::{first}-:1,hostfwd=tcp::{second}-:2"
    shown = []
    for program in (hmp, qemu):
        session = Session([program, *MACHINE, "-netdev", rules], tmp_path)
        shown.append(re.sub(r"\] +\d+", "] <fd>", session("info usernet")))
        session.quit()
    assert shown[0] == shown[1]
    assert str(first) in shown[0]
    assert str(second) in shown[0]
